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
    n_measured : int
        How many of the picks are measured: initial spots, and purchases whose round is back.
    remaining_shares, filled_shares : ndarray of float32, shape (budget + 1,)
        Share of the budget that is left, and of the round that is filled, after 0, 1, ... picks.
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
        self.slide_name = setting.slide.public.name
        self.slide_index = np.int64(slide_index)
        self.round_size = round_size
        self.mask = np.zeros(n_rows, np.int8)
        self.mask[setting.initial] = 1
        self.available = np.zeros(n_rows, np.int8)
        self.available[: setting.slide.n_spots] = setting.purchasable
        self.n_available = int(setting.purchasable.sum())
        self.purchases: list[int] = []
        self._pending: list[int] = []
        self._n_initial = self._n_written = self.n_measured = len(setting.initial)
        self._picks = np.full(n_picks, -1, np.int32)
        self._picks[: self._n_initial] = setting.initial
        self.spent = 0
        self.in_round = 0
        self._budget = setting.budget
        self.is_over = self.n_available == 0
        done = np.arange(setting.budget + 1)
        self.remaining_shares = (1 - done / setting.budget).astype(np.float32)
        self.filled_shares = (done % round_size / round_size).astype(np.float32)

    @property
    def picks(self) -> NDArray[np.int32]:
        """Initial spots, then purchases in order; -1 where none; (n_picks,)."""
        first, last = self._n_written, self._n_initial + len(self.purchases)
        if first < last:
            self._picks[first:last] = self.purchases[first - self._n_initial :]
            self._n_written = last
        return self._picks

    @property
    def measured(self) -> NDArray[np.int32]:
        """Spots that are measured, in order, (n_measured,)."""
        return self.picks[: self.n_measured]

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
            self._pending.append(spot)
        self.is_over = self.spent == self._budget or self.n_available == 0
        return is_bought

    def close_round(self) -> list[int]:
        """Begin a new round; return the spots that the closed one measured."""
        back, self._pending = self._pending, []
        self.n_measured += len(back)
        if self.in_round < self.round_size:  # the last round of an episode may be short
            self.filled_shares[self.spent] = 0.0
        self.in_round = 0
        return back
