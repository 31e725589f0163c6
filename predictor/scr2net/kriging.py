"""Kriging: what measured neighbours, in the tissue and in looks, say about a spot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from predictor.gaussian_process import candidate_kernels, kernel_between
from predictor.leave_one_out import kernel_residuals
from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


# Neither places alone nor little noise: twenty spots cannot prove them, and often seem to.
WEIGHTS = (0.5, 0.75, 1.0)
NOISES = (2.0, 4.0, 8.0)
N_KERNELS = 12
SHARPNESS = 1.0


@dataclass(frozen=True)
class Kriging:
    """A mean of Gaussian processes with different kernels, weighted by their held-out errors.

    Which kernel is best cannot be told from twenty spots; a mean of the better ones beats the
    seemingly best one.

    Parameters
    ----------
    places
        Coordinates of the measured spots in pitches, (n, 2), or None.
    looks
        Their features as a projection returns them, (n, d).
    values
        What is interpolated, standardised and centred, (n, G).
    kernels
        K kernels.
    weights
        (K,), summing to 1.
    """

    places: Matrix | None
    looks: Matrix
    values: Matrix
    kernels: tuple[Kernel, ...]
    weights: Matrix

    @classmethod
    def fit(
        cls,
        places: Matrix | None,
        looks: Matrix,
        values: Matrix,
        n_kernels: int = N_KERNELS,
        sharpness: float = SHARPNESS,
    ) -> Kriging:
        """Choose kernels, each with the noise of least leave-one-out error.

        Parameters
        ----------
        places, looks, values
            See the class.
        n_kernels
            How many of the best to keep.
        sharpness
            Weights are proportional to exp(-sharpness n (error - least error)), the error being
            the mean square over spots and genes.

        Returns
        -------
        Kriging
        """
        scored: list[tuple[float, Kernel]] = []
        for kernel in candidate_kernels(places is not None, looks.shape[1], WEIGHTS):
            prior = kernel_between(kernel, places, looks, places, looks)
            held_out = _held_out(prior, values, NOISES)
            errors = [float(((values - predicted) ** 2).mean()) for predicted in held_out]
            best = int(np.argmin(errors))
            scored.append((errors[best], replace(kernel, noise=NOISES[best])))
        scored = sorted(scored, key=lambda entry: entry[0])[:n_kernels]
        errors_kept = np.array([error for error, _ in scored])
        weights = np.exp(-sharpness * len(looks) * (errors_kept - errors_kept[0]))
        kernels = tuple(kernel for _, kernel in scored)
        return cls(places, looks, values, kernels, weights / weights.sum())

    def held_out(self) -> Matrix:
        """Return the prediction of each measured spot from all others, (n, G).

        Relative to the mean of the others, as predictions are relative to the mean of all: else
        every one would lean away from its own spot, which is how the mean of the others moves,
        and a dozen spots could teach no gate.
        """
        predicted = np.zeros_like(self.values)
        for kernel, weight in zip(self.kernels, self.weights, strict=True):
            prior = kernel_between(kernel, self.places, self.looks, self.places, self.looks)
            (part,) = _held_out(prior, self.values, [kernel.noise])
            predicted += weight * part
        return predicted

    def predict(self, places: Matrix | None, looks: Matrix) -> Matrix:
        """Return the interpolated values at other spots, (m, G)."""
        predicted = np.zeros((len(looks), self.values.shape[1]))
        for kernel, weight, (_, solved) in zip(
            self.kernels, self.weights, self._solved, strict=True
        ):
            across = kernel_between(kernel, places, looks, self.places, self.looks)
            predicted += weight * (across @ solved)
        return predicted

    def relative_variance(self, places: Matrix | None, looks: Matrix) -> Matrix:
        """Return the predictive variance over that of a spot that nothing is known about, (m,)."""
        variance = np.zeros(len(looks))
        for kernel, weight, (factor, _) in zip(
            self.kernels, self.weights, self._solved, strict=True
        ):
            across = kernel_between(kernel, places, looks, self.places, self.looks)
            explained = np.einsum("mn,nm->m", across, cho_solve(factor, across.T))
            prior = 1 + kernel.noise
            variance += weight * (prior - explained) / prior
        return variance

    def held_out_variance(self) -> Matrix:
        """Return the relative variance of each measured spot, were it not measured, (n,)."""
        variance = np.zeros(len(self.looks))
        identity = np.eye(len(self.looks))
        for kernel, weight, (factor, _) in zip(
            self.kernels, self.weights, self._solved, strict=True
        ):
            precision = cho_solve(factor, identity).diagonal()
            variance += weight / precision / (1 + kernel.noise)
        return variance

    @cached_property
    def _solved(self) -> list[tuple[tuple[Matrix, bool], Matrix]]:
        solved = []
        for kernel in self.kernels:
            system = kernel_between(kernel, self.places, self.looks, self.places, self.looks)
            system[np.diag_indices_from(system)] += kernel.noise
            factor = cho_factor(system, lower=True)
            solved.append((factor, cho_solve(factor, self.values)))
        return solved


def _held_out(prior: Matrix, values: Matrix, noises: Sequence[float]) -> Iterator[Matrix]:
    """Yield, per noise, sum_j a_ij (y_j - mean of y without i), for centred y.

    With b_i = sum_j a_ij, the leave-one-out prediction of ones, that is
    sum_j a_ij y_j + b_i y_i / (n - 1).
    """
    with_ones = np.column_stack([values, np.ones(len(values))])
    for residuals in kernel_residuals(prior, with_ones, noises):
        predicted = with_ones - residuals
        yield predicted[:, :-1] + predicted[:, -1:] * values / max(len(values) - 1, 1)
