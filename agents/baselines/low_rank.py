"""The posterior of a Gaussian process of low rank, which slides of 100,000 spots can afford."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.baselines.growing import GrowingMatrix
from scr2st_env.errors import InputError
from scr2st_env.inducing_points import inducing_factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.gaussian_process import Kernel
    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]

ROWS_AT_ONCE = 8_192
RANK_PER_SPOT = 2


def design_prior(
    kernel: Kernel, slide: PublicSlide, rank: int, budget: int
) -> NDArray[np.floating]:
    """Return Z, float32 (N, rank), where the rank is enough for as many purchases.

    An approximate prior has no variance to lose between its inducing spots, and once there is a
    purchase near each of them, a design buys worse than chance. ``benchmarks.agent_speed`` shows
    that nothing much is lost up to half as many purchases.

    Raises
    ------
    InputError
        If the budget is more than half of the rank.
    """
    needed = RANK_PER_SPOT * budget
    if needed > rank:
        raise InputError(
            f"slide {slide.name!r}: to buy {budget:,} of {slide.n_spots:,} spots by design takes "
            f"rank >= {needed:,} (time grows with its square), got {rank:,}; pass rank={needed}, "
            "or use 'farthest' or 'k-center', which take any budget"
        )
    return inducing_factor(kernel, slide, rank)


class LowRankDesignGain:
    """What :class:`~agents.baselines.design.DesignGain` keeps, for a prior K = Z Z'.

    With C = Z M Z', spot i adds b = M z_i / sqrt(C_ii + s) to the rows B of M = I - B' B, and with
    v = Z b, |C_j|^2 falls by 2 v_j (C v)_j - v_j^2 |v|^2 as in the dense form, where
    C v = Z M G b and |v|^2 = b' G b, G = Z' Z: a spot costs one pass over Z, O(N m).

    Parameters
    ----------
    factor
        Z, (N, m); kept, not copied or changed.
    noise
        Noise variance s of a measured spot.
    """

    def __init__(self, factor: NDArray[np.floating], noise: float) -> None:
        self.factor = factor
        self.noise = noise
        self.gram = gram(factor)
        self.variance = np.empty(len(factor))  # C_jj
        self.squares = np.empty(len(factor))  # |C_j|^2 = z_j' M G M z_j
        narrow = self.gram.astype(factor.dtype)
        for start in range(0, len(factor), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            self.variance[rows] = np.einsum("ij,ij->i", factor[rows], factor[rows])
            self.squares[rows] = np.einsum("ij,ij->i", factor[rows] @ narrow, factor[rows])
        self._moved = GrowingMatrix(factor.shape[1])

    def observe(self, index: int) -> None:
        """Condition on one spot."""
        own = self.factor[index].astype(np.float64)
        weights = self._posterior(own)
        weights /= np.sqrt(own @ weights + self.noise)
        spread_weights = self.gram @ weights
        row, spread = _products(self.factor, weights, self._posterior(spread_weights))
        self.squares -= row * (2 * spread - row * (weights @ spread_weights))
        self.variance -= row**2
        self._moved.append(weights)

    @property
    def gain(self) -> Matrix:
        """Fall of the mean posterior variance if a spot were measured, (N,)."""
        falls: Matrix = self.squares / (self.variance + self.noise) / len(self.squares)
        return falls

    def _posterior(self, weights: Matrix) -> Matrix:
        known = self._moved.rows
        moved: Matrix = weights - (known @ weights) @ known  # M weights
        return moved


class LowRankInformation:
    """Ratios of variances of noisy observations y with the covariance Z Z' + s I.

    The variance of y_i given the bought spots A is z_i' M z_i + s, M = (I + Z_A' Z_A / s)^-1. Given
    all others outside A it is s / (1 - z_i' P z_i), P = (s I + G - Z_A' Z_A)^-1, as the matrix
    inversion lemma says. A spot adds a multiple of an outer product to M and to P, and costs one
    pass over Z, O(N m).

    Parameters
    ----------
    factor
        Z, (N, m); kept, not copied or changed.
    noise
        Noise variance s of a measured spot.
    """

    def __init__(self, factor: NDArray[np.floating], noise: float) -> None:
        self.factor = factor
        self.noise = noise
        n_weights = factor.shape[1]
        self._given_bought = np.eye(n_weights)  # M
        self._given_others = np.linalg.inv(gram(factor) + noise * np.eye(n_weights))  # P
        self.variance = np.empty(len(factor))  # z_j' M z_j
        self.told = np.empty(len(factor))  # z_j' P z_j
        narrow = self._given_others.astype(factor.dtype)
        for start in range(0, len(factor), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            self.variance[rows] = np.einsum("ij,ij->i", factor[rows], factor[rows])
            self.told[rows] = np.einsum("ij,ij->i", factor[rows] @ narrow, factor[rows])

    def observe(self, index: int) -> None:
        """Let a spot be bought."""
        own = self.factor[index].astype(np.float64)
        known, others = self._given_bought @ own, self._given_others @ own
        known /= np.sqrt(own @ known + self.noise)
        others /= np.sqrt(1 - own @ others)
        row, lost = _products(self.factor, known, others)
        self._given_bought -= np.outer(known, known)
        self._given_others += np.outer(others, others)
        self.variance -= row**2
        self.told += lost**2

    @property
    def ratio(self) -> Matrix:
        """Variance given what is bought over that given all others, (N,); of unbought spots."""
        ratios: Matrix = (self.variance + self.noise) * (1 - self.told) / self.noise
        return ratios


def gram(factor: NDArray[np.floating]) -> Matrix:
    """Return Z' Z in float64, whatever Z is, (m, m)."""
    total = np.zeros((factor.shape[1],) * 2)
    for start in range(0, len(factor), ROWS_AT_ONCE):
        rows = factor[start : start + ROWS_AT_ONCE]
        total += rows.T @ rows
    return total


def _products(factor: NDArray[np.floating], left: Matrix, right: Matrix) -> tuple[Matrix, Matrix]:
    both = factor @ np.stack([left, right], axis=1).astype(factor.dtype)
    return both[:, 0].astype(np.float64), both[:, 1].astype(np.float64)
