"""Mutual information between what is measured and what is not, under a Gaussian process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from agents.base import MaskAgent
from agents.baselines.growing import GrowingMatrix
from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]

TIE = 1e-6


class SchurComplement:
    """The diagonal of M - M_S' M_SS^-1 M_S while rows enter S one by one, O(N |S|) each.

    For the covariance of observations it is their variance given those in S; for its inverse,
    one over their variance given all others outside S.

    Parameters
    ----------
    matrix
        M, symmetric and positive definite, (N, N); kept, not copied or changed.
    """

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        self.diagonal = matrix.diagonal().copy()
        self._factor = GrowingMatrix(len(matrix))

    def eliminate(self, index: int) -> None:
        """Let a row enter S."""
        known = self._factor.rows
        row = self.matrix[index] - known[:, index] @ known
        row /= np.sqrt(row[index])
        self._factor.append(row)
        self.diagonal -= row**2


class MutualInformationAgent(MaskAgent):
    """Buys the spot that tells most of the unmeasured spots, not of itself.

    argmax over i of var(y_i | A) / var(y_i | V - A - i), with y noisy observations of a Gaussian
    process, A what is bought, initial and pending spots included, and V every spot of the slide,
    also those that cannot be bought. It is greedy for the mutual information of A and V - A. A
    pick costs O(N |A|) after one inversion of an N x N matrix. Ratios equal within one part in a
    million are drawn from at random.

    Parameters
    ----------
    kernel
        Prior covariance of the expression of two spots; default: coordinates and features at
        equal weights (coordinates alone where there are no features).

    References
    ----------
    Krause, Singh & Guestrin, Near-optimal sensor placements in Gaussian processes, 2008,
    algorithm 1.
    """

    name = "mutual-information"

    def __init__(self, kernel: Kernel | None = None) -> None:
        self.kernel = Kernel(feature_weight=0.5) if kernel is None else kernel

    def prepare(self, slide: PublicSlide) -> None:
        """Compute the covariance of all observations and its inverse."""
        covariance = self.kernel.for_slide(slide)
        covariance[np.diag_indices_from(covariance)] += self.kernel.noise
        inverse = cho_solve(cho_factor(covariance, lower=True), np.eye(slide.n_spots))
        self.given_bought = SchurComplement(covariance)
        self.given_others = SchurComplement(inverse)
        self.observed = np.zeros(slide.n_spots, bool)

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the available spot with the largest ratio of variances."""
        del slide
        for spot in np.flatnonzero(bought & ~self.observed):
            self.given_bought.eliminate(int(spot))
            self.given_others.eliminate(int(spot))
        self.observed = bought.copy()
        candidates = np.flatnonzero(available)
        ratio = self.given_bought.diagonal[candidates] * self.given_others.diagonal[candidates]
        return int(self.rng.choice(candidates[ratio >= ratio.max() * (1 - TIE)]))
