"""A posterior whose covariance is kept for some spots with all, so that large slides fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.baselines.growing import GrowingMatrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Matrix = NDArray[np.float64]
    Between = Callable[[NDArray[np.int64], NDArray[np.int64]], Matrix]


class TargetedPosterior:
    """Exact posterior of a surface: its mean everywhere, its covariance of m targets with all.

    With V' V the part of the prior covariance K that n spots explain, C = K - V' V is the
    posterior one, and spot i adds the row v = (K_i - V_i' V) / sqrt(C_ii + s) to V: a Cholesky
    factor, grown row by row. A spot costs O(N (m + n)).

    The mean is that around the mean of the measured values: with m(y) the posterior mean of the
    zero-mean process, linear in y, it is m(y) + (1 - m(1)) mean(y).

    Parameters
    ----------
    between
        Prior covariance of spots with spots, by index; all spots have the same variance.
    n_spots
        N.
    targets
        Indices of the m targets.
    noise
        Noise variance s of a measured spot.
    n_values
        G quantities, whose means are tracked.
    """

    def __init__(
        self,
        between: Between,
        n_spots: int,
        targets: NDArray[np.int64],
        noise: float,
        n_values: int = 1,
    ) -> None:
        self.noise = noise
        self._between = between
        self._everywhere = np.arange(n_spots)
        self._targets = targets
        self.rows = between(targets, self._everywhere)  # (m, N)
        first = self._everywhere[:1]
        self.variance = np.full(n_spots, between(first, first)[0, 0])  # (N,), C_ii
        self._factor = GrowingMatrix(n_spots)
        self._observed: list[int] = []
        self._roots: list[float] = []
        self._means = np.zeros((n_spots, n_values + 1))  # of the values, and of a constant 1
        self._values: list[Matrix] = []

    def observe(self, index: int) -> None:
        """Condition the covariance on one more spot, measured or pending."""
        known = self._factor.rows
        row = self._between(np.array([index]), self._everywhere)[0] - known[:, index] @ known
        root = float(np.sqrt(row[index] + self.noise))
        row /= root
        self.rows -= np.outer(row[self._targets], row)
        self.variance -= row**2
        self._factor.append(row)
        self._observed.append(index)
        self._roots.append(root)

    def learn(self, values: ArrayLike) -> None:
        """Take in what the next of the observed spots showed, (G,), in their order."""
        turn = len(self._values)
        shown = np.append(np.asarray(values, np.float64), 1.0)
        surprise = (shown - self._means[self._observed[turn]]) / self._roots[turn]
        self._means += np.outer(self._factor.rows[turn], surprise)
        self._values.append(shown[:-1])

    @property
    def mean(self) -> Matrix:
        """Posterior mean around that of the measured values, (N, G); 0 before any is known."""
        if not self._values:
            return self._means[:, :-1]
        level = np.mean(self._values, axis=0)
        around: Matrix = self._means[:, :-1] + (1 - self._means[:, -1:]) * level
        return around
