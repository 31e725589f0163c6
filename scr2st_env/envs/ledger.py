"""The books of one episode: what was bought, what is pending, what is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
    round_size
        Purchases per round.

    Attributes
    ----------
    mask : ndarray of int8, shape (n_rows,)
        The selection mask: 1 where a spot is initial or bought.
    available : ndarray of bool, shape (n_rows,)
        Spots that can still be bought.
    purchases : list of int
        Bought spots in order, wasted picks left out.
    measured : list of int
        Initial spots and purchases whose round is back, in order.
    spent : int
        Picks so far, wasted ones included.
    in_round : int
        Picks of the current round, wasted ones included.
    """

    def __init__(self, setting: Setting, slide_index: int, n_rows: int, round_size: int) -> None:
        self.setting = setting
        self.slide_index = slide_index
        self.round_size = round_size
        self.mask = np.zeros(n_rows, np.int8)
        self.mask[setting.initial] = 1
        self.available = np.zeros(n_rows, bool)
        self.available[: setting.slide.n_spots] = setting.purchasable
        self.n_available = int(setting.purchasable.sum())
        self.purchases: list[int] = []
        self.measured: list[int] = setting.initial.tolist()
        self.spent = 0
        self.in_round = 0

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent or nothing is left to buy."""
        return self.spent == self.setting.budget or self.n_available == 0

    @property
    def round_is_full(self) -> bool:
        """Whether the current round goes to the sequencer."""
        return self.in_round == self.round_size

    def buy(self, spot: int) -> bool:
        """Spend one unit of budget on a spot; return whether it buys anything."""
        self.spent += 1
        self.in_round += 1
        is_bought = bool(self.available[spot])
        if is_bought:
            self.available[spot] = False
            self.n_available -= 1
            self.mask[spot] = 1
            self.purchases.append(spot)
        return is_bought

    def close_round(self) -> list[int]:
        """Begin a new round; return the spots that the closed one measured."""
        n_back = len(self.measured) - len(self.setting.initial)
        back = self.purchases[n_back:]
        self.measured.extend(back)
        self.in_round = 0
        return back
