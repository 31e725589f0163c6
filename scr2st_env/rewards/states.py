"""Cell states, counted: other forms of the novelty term than the default one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scr2st_env.cell_states import nearest_states, state_similarity
from scr2st_env.rewards.base import BatchedPotential, Potential, Setting, Term, shared_table
from scr2st_env.rewards.compiled import kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray, IntArray
    from scr2st_env.rewards.base import Rows, SpotArray


def attainable_similarity(states: FloatArray, bandwidth: float, n_measured: int) -> float:
    """Return the soft coverage of ``n_measured`` spots that sit exactly on cell states.

    The states are chosen by greedy facility location, which is within 1 - 1/e of the best choice
    (Nemhauser, Wolsey & Fisher 1978); with as many spots as states the coverage is 1. It depends
    on the reference and the budget only.
    """
    if n_measured >= len(states):
        return 1.0
    similarity = state_similarity(states, states, bandwidth).astype(np.float64)
    best = np.zeros(len(states))
    for _ in range(n_measured):
        coverage = np.maximum(best, similarity).mean(axis=1)
        best = np.maximum(best, similarity[coverage.argmax()])
    return float(best.mean())


@dataclass(frozen=True)
class HardStates(Term):
    """Share of the cell states that are nearest to a measured spot.

    Phi(S) = |{c : c is the nearest state of a spot in S}| / min(C, k), k spots in all.
    """

    name: ClassVar[str] = "hard_states"

    def check(self, setting: Setting) -> None:
        """Raise where the slide has no embedding in the reference's space."""
        setting.embedding(self.name)

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        form = _HardStates if kernels is None else kernels.HardStates
        return form(*self._tables(setting))

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedPotential:
        """Return the potential of many episodes on one slide."""
        return _BatchedHardStates(*self._tables(setting), n_episodes)

    def _tables(self, setting: Setting) -> tuple[NDArray[np.intp], int, int]:
        reference, embedding = setting.cell_reference(self.name), setting.embedding(self.name)
        nearest = shared_table(
            setting.slide,
            ("nearest", reference),
            lambda: nearest_states(embedding, reference.states),
        )
        return nearest, reference.n_states, min(reference.n_states, setting.n_measured)


class _HardStates:
    def __init__(self, nearest: NDArray[np.intp], n_states: int, attainable: int) -> None:
        self._nearest = nearest  # (N,)
        self._n_states = n_states
        self._attainable = attainable

    def reset(self, initial: IntArray) -> None:
        self._is_covered = bytearray(self._n_states)
        self._n_covered = 0
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            state = self._nearest[spot]
            if not self._is_covered[state]:
                self._is_covered[state] = True
                self._n_covered += 1
        self.value = self._n_covered / self._attainable


class _BatchedHardStates:
    def __init__(
        self, nearest: NDArray[np.intp], n_states: int, attainable: int, n_episodes: int
    ) -> None:
        self._nearest = nearest  # (N,)
        self._attainable = attainable
        self._is_covered = np.zeros((n_episodes, n_states), bool)
        self._episodes = np.arange(n_episodes)

    def reset(self, rows: Rows, initial: IntArray) -> None:
        covered = np.zeros(self._is_covered.shape[1], bool)
        covered[self._nearest[initial]] = True
        self._is_covered[rows] = covered

    def add(self, rows: Rows, spots: SpotArray) -> None:
        self._is_covered[self._episodes[rows], self._nearest[spots]] = True

    def values(self, rows: Rows) -> NDArray[np.float64]:
        return self._is_covered[rows].sum(axis=1) / self._attainable


@dataclass(frozen=True)
class SoftStates(Term):
    """Mean over the cell states of the similarity of the most similar measured spot.

    Phi(S) = (1/C) sum_c max_{i in S} exp(-|e_i - mu_c|^2 / (2 h^2)) / a(k)

    h is the reference's bandwidth and a(k) what k spots sitting on states attain
    (:func:`attainable_similarity`); a spot between two states can serve both, so that Phi may
    exceed 1 slightly, and 1 / a(k) never.
    """

    name: ClassVar[str] = "soft_states"

    def check(self, setting: Setting) -> None:
        """Raise where the slide has no embedding in the reference's space."""
        setting.embedding(self.name)

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        form = _SoftStates if kernels is None else kernels.SoftStates
        return form(*self._tables(setting))

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedPotential:
        """Return the potential of many episodes on one slide."""
        return _BatchedSoftStates(*self._tables(setting), n_episodes)

    def _tables(self, setting: Setting) -> tuple[FloatArray, float]:
        reference, embedding = setting.cell_reference(self.name), setting.embedding(self.name)
        states, bandwidth = reference.states, reference.bandwidth
        similarity = shared_table(
            setting.slide,
            ("similarity", reference),
            lambda: state_similarity(embedding, states, bandwidth),
        )
        attainable = attainable_similarity(states, bandwidth, setting.n_measured)
        return similarity, attainable * len(states)


class _SoftStates:
    def __init__(self, similarity: FloatArray, attainable: float) -> None:
        self._similarity = similarity  # (N, C)
        self._attainable = attainable  # summed over the states
        self._ones = np.ones(similarity.shape[1], np.float32)

    def reset(self, initial: IntArray) -> None:
        self._best = self._similarity[initial].max(axis=0, initial=0.0)
        self.add([])

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            self._best = np.maximum(self._best, self._similarity[spot])
        self.value = float(np.dot(self._best, self._ones)) / self._attainable


class _BatchedSoftStates:
    def __init__(self, similarity: FloatArray, attainable: float, n_episodes: int) -> None:
        self._similarity = similarity  # (N, C)
        self._attainable = attainable  # summed over the states
        self._ones = np.ones(similarity.shape[1], np.float32)
        self._best = np.zeros((n_episodes, similarity.shape[1]), np.float32)
        self._shown = np.empty_like(self._best)  # written over at every step

    def reset(self, rows: Rows, initial: IntArray) -> None:
        self._best[rows] = self._similarity[initial].max(axis=0, initial=0.0)

    def add(self, rows: Rows, spots: SpotArray) -> None:
        shown = self._shown[: len(spots)]
        self._similarity.take(spots, axis=0, out=shown, mode="clip")
        if isinstance(rows, slice):
            np.maximum(self._best, shown, out=self._best)
        else:
            self._best[rows] = np.maximum(self._best[rows], shown)

    def values(self, rows: Rows) -> NDArray[np.float64]:
        return self._best[rows].dot(self._ones).astype(np.float64) / self._attainable
