"""Novelty: how many of the atlas's cell states the measured spots have shown (SCR2-ST, SCRL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scr2st_env.cell_states import state_shares
from scr2st_env.rewards.base import BatchedPotential, Potential, Setting, Term, shared_table
from scr2st_env.rewards.compiled import kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import IntArray
    from scr2st_env.rewards.base import Rows, SpotArray


@dataclass(frozen=True)
class ExpectedStates(Term):
    """Expected number of cell states that the measured spots show.

    Phi(S) = sum_c [1 - prod_{i in S} (1 - p_ic)] / min(C, k), k spots in all

    p_ic, the share of state c in spot i (:func:`scr2st_env.cell_states.state_shares`), is taken
    as the probability that the spot shows the state. As its width goes to 0 it becomes
    :class:`HardStates`. ``docs/rewards.md`` has the measurements by which it is the default.

    References
    ----------
    The form is that of El-Arini et al., Turning down the noise in the blogosphere, KDD 2009.
    """

    name: ClassVar[str] = "states"

    def check(self, setting: Setting) -> None:
        """Raise where the slide has no embedding in the reference's space."""
        setting.embedding(self.name)

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        form = _ExpectedStates if kernels is None else kernels.ExpectedStates
        return form(*self._tables(setting))

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedPotential:
        """Return the potential of many episodes on one slide."""
        return _BatchedExpectedStates(*self._tables(setting), n_episodes)

    def _tables(self, setting: Setting) -> tuple[NDArray[np.float64], int]:
        reference, embedding = setting.cell_reference(self.name), setting.embedding(self.name)
        absences = shared_table(
            setting.slide,
            ("absences", reference),
            lambda: 1 - state_shares(embedding, reference.states, reference.sharing_width),
        )
        return absences, min(reference.n_states, setting.n_measured)


class _ExpectedStates:
    def __init__(self, absences: NDArray[np.float64], attainable: int) -> None:
        self._absences = absences  # (N, C), 1 - p
        self._attainable = attainable
        self._ones = np.ones(absences.shape[1])

    def reset(self, initial: IntArray) -> None:
        self._unseen = self._absences[initial].prod(axis=0)
        self.add([])

    def add(self, spots: Sequence[int]) -> None:
        unseen = self._unseen
        for spot in spots:
            unseen *= self._absences[spot]
        self.value = (len(unseen) - float(np.dot(unseen, self._ones))) / self._attainable


class _BatchedExpectedStates:
    def __init__(self, absences: NDArray[np.float64], attainable: int, n_episodes: int) -> None:
        self._absences = absences  # (N, C), 1 - p
        self._attainable = attainable
        self._ones = np.ones(absences.shape[1])
        self._unseen = np.ones((n_episodes, absences.shape[1]))
        self._shown = np.empty_like(self._unseen)  # written over at every step

    def reset(self, rows: Rows, initial: IntArray) -> None:
        self._unseen[rows] = self._absences[initial].prod(axis=0)

    def add(self, rows: Rows, spots: SpotArray) -> None:
        absences = self._shown[: len(spots)]
        self._absences.take(spots, axis=0, out=absences, mode="clip")
        if isinstance(rows, slice):  # a[:] *= b would copy a onto itself
            np.multiply(self._unseen, absences, out=self._unseen)
        else:
            self._unseen[rows] *= absences

    def values(self, rows: Rows) -> NDArray[np.float64]:
        unseen: NDArray[np.float64] = self._unseen[rows].dot(self._ones)
        return (len(self._ones) - unseen) / self._attainable
