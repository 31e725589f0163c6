"""The books of one episode: what was bought, what is pending, what is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.rewards.base import Setting


class Ledger:
    """The books of one episode.

    Parameters
    ----------
    setting
        The slide and what can be bought on it.
    slide_index
        Position of the slide among the environment's slides.
    n_rows
        Spots of the largest slide; rows beyond this slide's are padding.
    n_picks
        Most spots that are measured on any slide when the budget is spent.
    round_size
        Purchases per round.

    Attributes
    ----------
    mask : ndarray of int8, shape (n_rows,)
        The selection mask: 1 where a spot is initial or bought.
    available : ndarray of int8, shape (n_rows,)
        1 where a spot can still be bought.
    purchases : list of int
        Bought spots in order, wasted picks left out.
    picks : ndarray of int32, shape (n_picks,)
        Initial spots, then purchases in order; -1 where none.
    n_measured : int
        How many of the picks are measured: initial spots, and purchases whose round is back.
    spent : int
        Picks so far, wasted ones included.
    in_round : int
        Picks of the current round, wasted ones included.
    is_over : bool
        Whether the budget is spent or nothing is left to buy.
    """

    def __init__(
        self, setting: Setting, slide_index: int, *, n_rows: int, n_picks: int, round_size: int
    ) -> None:
        self.setting = setting
        self.slide_index = np.int64(slide_index)
        self.round_size = round_size
        self.mask = np.zeros(n_rows, np.int8)
        self.mask[setting.initial] = 1
        self.available = np.zeros(n_rows, np.int8)
        self.available[: setting.slide.n_spots] = setting.purchasable
        self.n_available = int(setting.purchasable.sum())
        self.purchases: list[int] = []
        self.picks = np.full(n_picks, -1, np.int32)
        self.n_measured = self._n_picked = len(setting.initial)
        self.picks[: self._n_picked] = setting.initial
        self.spent = 0
        self.in_round = 0
        self.is_over = self.n_available == 0
        self._remaining = remaining_shares(setting.budget)
        self._filled = filled_shares(setting.budget, round_size)

    @property
    def round_is_full(self) -> bool:
        """Whether the current round goes to the sequencer."""
        return self.in_round == self.round_size

    @property
    def measured(self) -> NDArray[np.int32]:
        """Spots that are measured, in order, (n_measured,)."""
        return self.picks[: self.n_measured]

    # A slice of an array that belongs to this episode alone: as good as a copy, and half its time.

    @property
    def remaining(self) -> NDArray[np.float32]:
        """Share of the budget that is left, (1,)."""
        return self._remaining[self.spent : self.spent + 1]

    @property
    def filled(self) -> NDArray[np.float32]:
        """Share of the current round that is filled, (1,)."""
        return self._filled[self.spent : self.spent + 1]

    def buy(self, spot: int) -> bool:
        """Spend one unit of budget on a spot; return whether it buys anything."""
        self.spent += 1
        self.in_round += 1
        is_bought = bool(self.available[spot])
        if is_bought:
            self.available[spot] = 0
            self.n_available -= 1
            self.mask[spot] = 1
            self.purchases.append(spot)
            self.picks[self._n_picked] = spot
            self._n_picked += 1
        self.is_over = self.spent == self.setting.budget or self.n_available == 0
        return is_bought

    def close_round(self) -> list[int]:
        """Begin a new round; return the spots that the closed one measured."""
        back = self.purchases[self.n_measured - len(self.setting.initial) :]
        self.n_measured = self._n_picked
        self.in_round = 0
        self._filled[self.spent] = 0.0
        return back


def remaining_shares(budget: int) -> NDArray[np.float32]:
    """Return the share of the budget that is left after 0, 1, ... picks, (budget + 1,)."""
    return (1 - np.arange(budget + 1) / budget).astype(np.float32)


def filled_shares(budget: int, round_size: int) -> NDArray[np.float32]:
    """Return the share of the round that is filled after 0, 1, ... picks, (budget + 1,)."""
    return (np.arange(budget + 1) % round_size / round_size).astype(np.float32)
