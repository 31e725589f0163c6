"""How an environment pays: what every reward is, for one episode and for many at once."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import IntArray
    from scr2st_env.rewards.base import Rows, Setting, SpotArray

    Bought = tuple[Rows, SpotArray]
    """Rows, and the newly measured spot of each."""


class BoundReward(Protocol):
    """A reward on one slide, following one episode."""

    def reset(self, initial: IntArray) -> None:
        """Begin an episode in which the spots ``initial`` are measured already."""

    def settle(self, spots: Sequence[int]) -> dict[str, float]:
        """Return the parts, by term, that a round pays whose newly measured spots are these."""


class BatchedReward(Protocol):
    """A reward on one slide, following many episodes at once; each has a row."""

    def reset(self, rows: Rows, initial: IntArray) -> None:
        """Begin episodes in which the spots ``initial`` are measured already."""

    def settle(self, rows: Rows, spots: Sequence[Bought]) -> dict[str, NDArray[np.float64]]:
        """Return the parts, by term, each (m,), that the rounds of m episodes pay.

        ``spots`` lists the newly measured spots of the rows, at most one of a row in each entry.
        """


class Reward(Protocol):
    """How an environment pays."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts."""

    @property
    def privileged(self) -> frozenset[str]:
        """Names of the parts that agents must not see."""

    def check(self, setting: Setting) -> None:
        """Raise :class:`InputError` where a slide lacks what the reward needs."""

    def bind(self, setting: Setting) -> BoundReward:
        """Return the reward on one slide."""

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedReward:
        """Return the reward of many episodes on one slide."""


class CopiedRewards:
    """The batched form of any reward: one copy for each episode, paid one by one.

    Parameters
    ----------
    bound
        Follows no episode yet; its tables are shared by the copies.
    names
        Names of its parts.
    n_episodes
        Number of rows.
    """

    def __init__(self, bound: BoundReward, names: tuple[str, ...], n_episodes: int) -> None:
        self._rewards = [copy(bound) for _ in range(n_episodes)]
        self._names = names

    def reset(self, rows: Rows, initial: IntArray) -> None:
        """Begin episodes in which the spots ``initial`` are measured already."""
        for row in self._indices(rows):
            self._rewards[row].reset(initial)

    def settle(self, rows: Rows, spots: Sequence[Bought]) -> dict[str, NDArray[np.float64]]:
        """Return the parts, by term, each (m,), that the rounds of m episodes pay."""
        back: dict[int, list[int]] = {row: [] for row in self._indices(rows)}
        for buyers, bought in spots:
            for row, spot in zip(self._indices(buyers), bought.tolist(), strict=True):
                back[row].append(spot)
        paid = [self._rewards[row].settle(measured) for row, measured in back.items()]
        return {name: np.array([parts[name] for parts in paid]) for name in self._names}

    def _indices(self, rows: Rows) -> list[int]:
        return np.arange(len(self._rewards))[rows].tolist()
