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
PROGRAM_NOISES = tuple(2.0 ** np.arange(-1, 7))
N_KERNELS = 12
SHARPNESS = 1.0
PROGRAM_SHARPNESS = 0.15


@dataclass(frozen=True)
class Kriging:
    """A mean of Gaussian processes with different kernels, weighted by their held-out errors.

    Which kernel is best cannot be told from twenty spots; a mean of the better ones beats the
    seemingly best one. How much to smooth differs: some expression programs are seen in places and
    looks almost without noise, most hardly at all. So each program has a mean of noises of its
    own, and what lies outside all programs has one more.

    Parameters
    ----------
    places
        Coordinates of the measured spots in pitches, (n, 2), or None.
    looks
        Their features as a projection returns them, (n, d).
    values
        What is interpolated, standardised and centred, (n, G).
    kernels
        K kernels; their own noise is that of all genes together, and decides the variance.
    weights
        (K,), summing to 1.
    programs
        Orthonormal columns, (G, R).
    shares
        Share of each of N noises, (K, N, R + 1), summing to 1 over N; the last column is for
        what lies outside the programs.
    """

    places: Matrix | None
    looks: Matrix
    values: Matrix
    kernels: tuple[Kernel, ...]
    weights: Matrix
    programs: Matrix
    shares: Matrix

    @classmethod
    def fit(
        cls,
        places: Matrix | None,
        looks: Matrix,
        values: Matrix,
        programs: Matrix,
        n_kernels: int = N_KERNELS,
        sharpness: float = SHARPNESS,
    ) -> Kriging:
        """Choose kernels, and noises per program, by leave-one-out error.

        Parameters
        ----------
        places, looks, values, programs
            See the class.
        n_kernels
            How many of the best to keep.
        sharpness
            Weights are proportional to exp(-sharpness n (error - least error)), the error being
            the mean square over spots and genes.

        Returns
        -------
        Kriging
            The shares of noises are proportional to error^(-0.15 n), the error of the program
            alone: a third of the Gaussian likelihood's exponent, for spots are no free draws.
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
        parts = _parts(values, programs)
        shares = np.stack(
            [_noise_shares(kernel, places, looks, parts, programs.shape[1]) for kernel in kernels]
        )
        return cls(places, looks, values, kernels, weights / weights.sum(), programs, shares)

    def held_out(self) -> Matrix:
        """Return the prediction of each measured spot from all others, (n, G).

        Relative to the mean of the others, as predictions are relative to the mean of all: else
        every one would lean away from its own spot, which is how the mean of the others moves,
        and a dozen spots could teach no gate.
        """
        parts = _parts(self.values, self.programs)
        predicted = np.zeros_like(parts)
        for kernel, weight, shares in zip(self.kernels, self.weights, self.shares, strict=True):
            prior = kernel_between(kernel, self.places, self.looks, self.places, self.looks)
            for part, share in zip(
                _held_out(prior, parts, PROGRAM_NOISES), self._columns(shares), strict=True
            ):
                predicted += weight * share * part
        return self._joined(predicted)

    def predict(self, places: Matrix | None, looks: Matrix) -> Matrix:
        """Return the interpolated values at other spots, (m, G)."""
        predicted = np.zeros((len(looks), self.values.shape[1]))
        for kernel, weight, solved in zip(self.kernels, self.weights, self._solved, strict=True):
            across = kernel_between(kernel, places, looks, self.places, self.looks)
            predicted += weight * (across @ solved)
        return predicted

    def relative_variance(self, places: Matrix | None, looks: Matrix) -> Matrix:
        """Return the predictive variance over that of a spot that nothing is known about, (m,)."""
        variance = np.zeros(len(looks))
        for kernel, weight, factor in zip(self.kernels, self.weights, self._factors, strict=True):
            across = kernel_between(kernel, places, looks, self.places, self.looks)
            explained = np.einsum("mn,nm->m", across, cho_solve(factor, across.T))
            prior = 1 + kernel.noise
            variance += weight * (prior - explained) / prior
        return variance

    def held_out_variance(self) -> Matrix:
        """Return the relative variance of each measured spot, were it not measured, (n,)."""
        variance = np.zeros(len(self.looks))
        identity = np.eye(len(self.looks))
        for kernel, weight, factor in zip(self.kernels, self.weights, self._factors, strict=True):
            precision = cho_solve(factor, identity).diagonal()
            variance += weight / precision / (1 + kernel.noise)
        return variance

    @cached_property
    def _factors(self) -> list[tuple[Matrix, bool]]:
        """Cholesky factors of the covariance with each kernel's own noise."""
        factors = []
        for kernel in self.kernels:
            system = kernel_between(kernel, self.places, self.looks, self.places, self.looks)
            system[np.diag_indices_from(system)] += kernel.noise
            factors.append(cho_factor(system, lower=True))
        return factors

    @cached_property
    def _solved(self) -> list[Matrix]:
        """Per kernel sum_j share_j (K + noise_j)^-1 y, program by program, (n, G)."""
        parts, noises = _parts(self.values, self.programs), np.array(PROGRAM_NOISES)
        solved = []
        for kernel, shares in zip(self.kernels, self.shares, strict=True):
            prior = kernel_between(kernel, self.places, self.looks, self.places, self.looks)
            size, vectors = np.linalg.eigh(prior)
            shrunk = (1 / (np.clip(size, 0, None)[:, None] + noises)) @ self._columns(shares)
            solved.append(self._joined(vectors @ (shrunk * (vectors.T @ parts))))
        return solved

    def _columns(self, shares: Matrix) -> Matrix:
        """Shares of noises (N, R + 1) for every column of the parts, (N, R + G)."""
        outside = np.repeat(shares[:, -1:], self.values.shape[1], axis=1)
        return np.hstack([shares[:, :-1], outside])

    def _joined(self, parts: Matrix) -> Matrix:
        n_programs = self.programs.shape[1]
        return parts[:, :n_programs] @ self.programs.T + parts[:, n_programs:]


def _parts(values: Matrix, programs: Matrix) -> Matrix:
    """Scores of the programs, and what lies outside them, (n, R + G)."""
    scores = values @ programs
    return np.hstack([scores, values - scores @ programs.T])


def _noise_shares(
    kernel: Kernel, places: Matrix | None, looks: Matrix, parts: Matrix, n_programs: int
) -> Matrix:
    prior = kernel_between(kernel, places, looks, places, looks)
    errors = []
    for predicted in _held_out(prior, parts, PROGRAM_NOISES):
        squared = ((parts - predicted) ** 2).mean(axis=0)
        errors.append(np.append(squared[:n_programs], squared[n_programs:].mean()))
    logs = -PROGRAM_SHARPNESS * len(looks) * np.log(np.maximum(errors, 1e-12))
    shares = np.exp(logs - logs.max(axis=0))
    return shares / shares.sum(axis=0)


def _held_out(prior: Matrix, values: Matrix, noises: Sequence[float]) -> Iterator[Matrix]:
    """Yield, per noise, sum_j a_ij (y_j - mean of y without i), for centred y.

    With b_i = sum_j a_ij, the leave-one-out prediction of ones, that is
    sum_j a_ij y_j + b_i y_i / (n - 1).
    """
    with_ones = np.column_stack([values, np.ones(len(values))])
    for residuals in kernel_residuals(prior, with_ones, noises):
        predicted = with_ones - residuals
        yield predicted[:, :-1] + predicted[:, -1:] * values / max(len(values) - 1, 1)
