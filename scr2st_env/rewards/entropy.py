"""Cell types: how mixed the measured spots are together (SCR2-ST, SCRL)."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scr2st_env.rewards.base import BatchedPotential, Potential, Setting, Term, shared_table
from scr2st_env.rewards.compiled import kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.arrays import IntArray
    from scr2st_env.rewards.base import Rows, SpotArray

# A sum that starts here instead of at 0 has a logarithm, and x log x is still 0 to the last bit.
_NOTHING = 1e-300


def entropy(shares: ArrayLike) -> float:
    """Return -sum p log p of shares that sum to 1, in nats, 0 log 0 being 0.

    Examples
    --------
    >>> round(entropy([0.5, 0.5, 0.0]), 4)
    0.6931
    """
    present = np.asarray(shares, np.float64)
    present = present[present > 0]
    return float(-(present * np.log(present)).sum()) + 0.0  # + 0.0: no negative zero


@dataclass(frozen=True)
class TypeEntropy(Term):
    """Entropy of the mean cell-type composition of the measured spots.

    Phi(S) = H(mean_{i in S} t_i) / log T, T types in the *reference*; 0 for an empty S.

    It is not monotone, so a step can cost; and it is biased low while S is small.
    """

    name: ClassVar[str] = "types"

    def check(self, setting: Setting) -> None:
        """Raise where the slide's cell types are missing or named unlike the reference's."""
        setting.types(self.name)

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        form = _TypeEntropy if kernels is None else kernels.TypeEntropy
        return form(self._table(setting))

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedPotential:
        """Return the potential of many episodes on one slide."""
        return _BatchedTypeEntropy(self._table(setting), n_episodes)

    def _table(self, setting: Setting) -> NDArray[np.float64]:
        names = setting.cell_reference(self.name).type_names
        return shared_table(
            setting.slide, ("types", names), lambda: _rows_of_one(setting.types(self.name))
        )


def _rows_of_one(types: ArrayLike) -> NDArray[np.float64]:
    """Compositions whose rows add up to 1 in float64, (N, T); a row that was blanked stays 0."""
    rows = np.asarray(types, np.float64)
    sums = rows.sum(axis=1, keepdims=True)
    return np.divide(rows, sums, out=np.zeros(rows.shape), where=sums > 0)


class _TypeEntropy:
    """H(s / n) = log n - (sum_t s_t log s_t) / n, s the sum of n compositions."""

    def __init__(self, types: NDArray[np.float64]) -> None:
        self._types = types  # (N, T)
        self._most = float(np.log(types.shape[1]))

    def reset(self, initial: IntArray) -> None:
        self._sums = self._types[initial].sum(axis=0) + _NOTHING
        self._n_measured = len(initial)
        self.add([])

    def add(self, spots: Sequence[int]) -> None:
        sums = self._sums
        for spot in spots:
            sums += self._types[spot]
        self._n_measured = n_measured = self._n_measured + len(spots)
        if n_measured:
            surprise = log(n_measured) - float(np.dot(sums, np.log(sums))) / n_measured
            self.value = surprise / self._most if surprise > 0 else 0.0
        else:
            self.value = 0.0


class _BatchedTypeEntropy:
    def __init__(self, types: NDArray[np.float64], n_episodes: int) -> None:
        self._types = types  # (N, T)
        self._most = float(np.log(types.shape[1]))
        self._sums = np.zeros((n_episodes, types.shape[1]))
        self._shown = np.empty_like(self._sums)  # written over at every step
        self._n_measured = np.zeros(n_episodes)

    def reset(self, rows: Rows, initial: IntArray) -> None:
        self._sums[rows] = self._types[initial].sum(axis=0) + _NOTHING
        self._n_measured[rows] = len(initial)

    def add(self, rows: Rows, spots: SpotArray) -> None:
        types = self._shown[: len(spots)]
        self._types.take(spots, axis=0, out=types, mode="clip")
        if isinstance(rows, slice):  # a[:] += b would copy a onto itself
            np.add(self._sums, types, out=self._sums)
        else:
            self._sums[rows] += types
        self._n_measured[rows] += 1

    def values(self, rows: Rows) -> NDArray[np.float64]:
        sums, n_measured = self._sums[rows], np.maximum(self._n_measured[rows], _NOTHING)
        weighted = np.einsum("et,et->e", sums, np.log(sums))
        surprise = np.log(n_measured) - weighted / n_measured
        return np.where(self._n_measured[rows] > 0, np.maximum(0.0, surprise), 0.0) / self._most
