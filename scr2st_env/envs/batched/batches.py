"""Which sub-environments play on which slide, and what they are paid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scr2st_env.envs.rules import Rules
    from scr2st_env.rewards.base import Rows, Setting
    from scr2st_env.rewards.paying import BatchedReward


@dataclass(frozen=True, eq=False)
class Batch:
    """A slide as some of the sub-environments play it.

    Parameters
    ----------
    setting
        The slide and what can be bought on it.
    reward
        Follows their episodes; None on a live slide, which cannot pay.
    """

    setting: Setting
    reward: BatchedReward | None


class Batches:
    """Which sub-environments play on which slide.

    Parameters
    ----------
    rules
        The rules of all.
    n_episodes
        Number of sub-environments, B.
    """

    def __init__(self, rules: Rules, n_episodes: int) -> None:
        self._rules = rules
        self._n_episodes = n_episodes
        self._batches: dict[int, Batch] = {}
        self._of = np.zeros(n_episodes, np.int64)
        self.names = np.full(n_episodes, None, object)  # of the slides
        self.is_paid = np.ones(n_episodes, bool)  # whether the slide can pay
        self._indices = np.arange(n_episodes)

    def begin(self, rows: Rows, index: int, setting: Setting) -> Batch:
        """Let sub-environments play on a slide."""
        number = index
        if setting is not self._rules.settings[index]:  # narrowed by options, for one episode
            number = self._free_number()
        if number not in self._batches:
            is_live = setting.slide.hidden is None
            reward = self._rules.reward
            self._batches[number] = Batch(
                setting, None if is_live else reward.bind_batched(setting, self._n_episodes)
            )
        self._of[rows] = number
        self.names[rows] = setting.slide.name
        self.is_paid[rows] = self._batches[number].reward is not None
        return self._batches[number]

    def among(self, rows: Rows) -> Iterator[tuple[Batch, Rows]]:
        """Go through the slides that sub-environments play on, each with its rows."""
        numbers = self._of[rows]
        first = numbers[0]
        if (numbers == first).all():
            yield self._batches[int(first)], rows
            return
        indices = self._indices[rows]
        for number in np.unique(numbers).tolist():
            yield self._batches[number], indices[numbers == number]

    def setting(self, row: int) -> Setting:
        """Return the setting that one sub-environment plays."""
        return self._batches[int(self._of[row])].setting

    def _free_number(self) -> int:
        n_slides = len(self._rules.settings)
        in_use = set(self._of.tolist())
        for number in [number for number in self._batches if number >= n_slides]:
            if number not in in_use:
                del self._batches[number]
        return max([n_slides - 1, *self._batches]) + 1
