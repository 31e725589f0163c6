"""Agents that decide on all spots at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from agents.base import MaskAgent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide


class PlannedAgent(MaskAgent, ABC):
    """Chooses a whole set when it is first asked, and then buys one spot of it after the other.

    What a method leaves open, because it names too few spots, or one twice, or one that cannot be
    bought, is drawn at random from the other available spots. Should all planned spots be gone
    before the budget is, it plans again.
    """

    def prepare(self, slide: PublicSlide) -> None:
        """Forget the plan of the last episode."""
        del slide
        self.plan: list[int] = []  # the next spot last
        self.n_initial: int | None = None

    @abstractmethod
    def lay(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, n_wanted: int
    ) -> Iterable[int]:
        """Return spots to buy, in order.

        Parameters
        ----------
        slide
            The slide of the episode.
        bought, available
            As in :meth:`MaskAgent.choose`.
        n_wanted
            How many spots can still be paid for, at most as many as are available.
        """

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the next spot of the plan that is still available."""
        if self.n_initial is None:
            self.n_initial = int(bought.sum())
        while self.plan:
            spot = self.plan.pop()
            if available[spot]:
                return spot
        self.plan = self._plan(slide, bought, available, self.n_initial)
        return self.plan.pop()

    def _plan(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, n_initial: int
    ) -> list[int]:
        n_left = max(self.budget - (int(bought.sum()) - n_initial), 1)
        n_wanted = min(n_left, int(available.sum()))
        named = dict.fromkeys(int(spot) for spot in self.lay(slide, bought, available, n_wanted))
        plan = [spot for spot in named if available[spot]][:n_wanted]
        if len(plan) < n_wanted:
            rest = np.setdiff1d(np.flatnonzero(available), plan)
            plan += self.rng.choice(rest, n_wanted - len(plan), replace=False).tolist()
        return plan[::-1]
