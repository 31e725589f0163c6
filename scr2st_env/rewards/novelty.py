"""Novelty: how much of the atlas's biology the measured spots have shown (SCR2-ST, SCRL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from scr2st_env.rewards.base import Potential, Setting, Term, shared_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.arrays import BoolArray, FloatArray, IntArray

_ROWS_AT_ONCE = 65_536


def nearest_states(embedding: FloatArray, states: FloatArray) -> NDArray[np.intp]:
    """Return the index of the nearest cell state of each spot, (N,)."""
    return np.concatenate(
        [cdist(rows, states, "sqeuclidean").argmin(axis=1) for rows in _blocks(embedding)]
    )


def state_similarity(embedding: FloatArray, states: FloatArray, bandwidth: float) -> FloatArray:
    """Return exp(-|e_i - mu_c|^2 / (2 h^2)), float32, (N, C).

    Parameters
    ----------
    embedding
        e, (N, E).
    states
        mu, (C, E).
    bandwidth
        h, in units of the embedding.
    """
    similarity = np.empty((len(embedding), len(states)), np.float32)
    start = 0
    for rows in _blocks(embedding):
        squares = cdist(rows, states, "sqeuclidean")
        similarity[start : start + len(rows)] = np.exp(-0.5 * squares / bandwidth**2)
        start += len(rows)
    return similarity


def _blocks(embedding: FloatArray) -> list[FloatArray]:
    starts = range(0, len(embedding), _ROWS_AT_ONCE)
    return [embedding[start : start + _ROWS_AT_ONCE] for start in starts]


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
        reference, embedding = setting.cell_reference(self.name), setting.embedding(self.name)
        nearest = shared_table(
            setting.slide,
            ("nearest", reference),
            lambda: nearest_states(embedding, reference.states),
        )
        n_states = reference.n_states
        return _HardStates(nearest, n_states, min(n_states, setting.n_measured))


class _HardStates:
    def __init__(self, nearest: NDArray[np.intp], n_states: int, attainable: int) -> None:
        self._nearest = nearest  # (N,)
        self._n_states = n_states
        self._attainable = attainable

    def reset(self, initial: IntArray) -> None:
        self._covered: BoolArray = np.zeros(self._n_states, bool)
        self._n_covered = 0
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            state = self._nearest[spot]
            self._n_covered += not self._covered[state]
            self._covered[state] = True

    @property
    def value(self) -> float:
        return self._n_covered / self._attainable


@dataclass(frozen=True)
class SoftStates(Term):
    """Mean over the cell states of the similarity of the most similar measured spot.

    Phi(S) = (1/C) sum_c max_{i in S} exp(-|e_i - mu_c|^2 / (2 h^2)) / a(k)

    h is the reference's bandwidth and a(k) what k spots sitting on states attain
    (:func:`attainable_similarity`); a spot between two states can serve both, so that Phi may
    exceed 1 slightly, and 1 / a(k) never.
    """

    name: ClassVar[str] = "states"

    def check(self, setting: Setting) -> None:
        """Raise where the slide has no embedding in the reference's space."""
        setting.embedding(self.name)

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        reference, embedding = setting.cell_reference(self.name), setting.embedding(self.name)
        states, bandwidth = reference.states, reference.bandwidth
        similarity = shared_table(
            setting.slide,
            ("similarity", reference),
            lambda: state_similarity(embedding, states, bandwidth),
        )
        return _SoftStates(similarity, attainable_similarity(states, bandwidth, setting.n_measured))


class _SoftStates:
    def __init__(self, similarity: FloatArray, attainable: float) -> None:
        self._similarity = similarity  # (N, C)
        self._attainable = attainable

    def reset(self, initial: IntArray) -> None:
        self._best = np.zeros(self._similarity.shape[1], np.float32)
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            np.maximum(self._best, self._similarity[spot], out=self._best)

    @property
    def value(self) -> float:
        return float(self._best.mean(dtype=np.float64)) / self._attainable


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
        return _TypeEntropy(setting.types(self.name))


class _TypeEntropy:
    def __init__(self, types: FloatArray) -> None:
        self._types = types  # (N, T)
        self._most = float(np.log(types.shape[1]))

    def reset(self, initial: IntArray) -> None:
        self._sum = np.zeros(self._types.shape[1])
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            self._sum += self._types[spot]

    @property
    def value(self) -> float:
        total = float(self._sum.sum())
        return entropy(self._sum / total) / self._most if total else 0.0
