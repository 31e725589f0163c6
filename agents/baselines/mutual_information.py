"""Mutual information between what is measured and what is not, under a Gaussian process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from agents.base import MaskAgent
from agents.baselines.growing import GrowingMatrix
from agents.baselines.low_rank import LowRankInformation, design_prior
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel
from scr2st_env.inducing_points import DENSE_UP_TO

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


class Information:
    """Ratios of variances of noisy observations, from their dense covariance.

    Parameters
    ----------
    covariance
        Prior covariance K of the spots, (N, N); the noise is added to it in place.
    noise
        Noise variance s of a measured spot.
    """

    def __init__(self, covariance: Matrix, noise: float) -> None:
        covariance[np.diag_indices_from(covariance)] += noise
        inverse = cho_solve(cho_factor(covariance, lower=True), np.eye(len(covariance)))
        self._given_bought = SchurComplement(covariance)
        self._given_others = SchurComplement(inverse)

    def observe(self, index: int) -> None:
        """Let a spot be bought."""
        self._given_bought.eliminate(index)
        self._given_others.eliminate(index)

    @property
    def ratio(self) -> Matrix:
        """Variance given what is bought over that given all others, (N,); of unbought spots."""
        ratios: Matrix = self._given_bought.diagonal * self._given_others.diagonal
        return ratios


class MutualInformationAgent(MaskAgent):
    """Buys the spot that tells most of the unmeasured spots, not of itself.

    argmax over i of var(y_i | A) / var(y_i | V - A - i), with y noisy observations of a Gaussian
    process, A what is bought, initial and pending spots included, and V every spot of the slide,
    also those that cannot be bought. It is greedy for the mutual information of A and V - A. A
    pick costs O(N |A|) after one inversion of an N x N matrix. Ratios equal within one part in a
    million are drawn from at random.

    On slides of more than ``dense_up_to`` spots the prior is one of low rank m
    (:func:`~scr2st_env.inducing_points.inducing_factor`): a pick then costs O(N m), and memory is
    4 N m bytes.

    Parameters
    ----------
    kernel
        Prior covariance of the expression of two spots; default: coordinates and features at
        equal weights (coordinates alone where there are no features).
    rank
        m, on large slides; at least twice the budget, or an :class:`InputError` is raised.
    dense_up_to
        Number of spots up to which the covariance of all spots is kept and inverted.

    References
    ----------
    Krause, Singh & Guestrin, Near-optimal sensor placements in Gaussian processes, 2008,
    algorithm 1.
    """

    name = "mutual-information"

    def __init__(
        self, kernel: Kernel | None = None, *, rank: int = 1024, dense_up_to: int = DENSE_UP_TO
    ) -> None:
        if rank < 1:
            raise InputError(f"rank must be at least 1, got {rank}")
        self.kernel = Kernel(feature_weight=0.5) if kernel is None else kernel
        self.rank = rank
        self.dense_up_to = dense_up_to

    def prepare(self, slide: PublicSlide) -> None:
        """Set the variances back to the prior's."""
        noise = self.kernel.noise
        self.information: Information | LowRankInformation
        if slide.n_spots <= self.dense_up_to:
            self.information = Information(self.kernel.for_slide(slide), noise)
        else:
            factor = design_prior(self.kernel, slide, self.rank, self.budget)
            self.information = LowRankInformation(factor, noise)
        self.observed = np.zeros(slide.n_spots, bool)

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the available spot with the largest ratio of variances."""
        del slide
        for spot in np.flatnonzero(bought & ~self.observed):
            self.information.observe(int(spot))
        self.observed = bought.copy()
        candidates = np.flatnonzero(available)
        ratio = self.information.ratio[candidates]
        return int(self.rng.choice(candidates[ratio >= ratio.max() * (1 - TIE)]))
