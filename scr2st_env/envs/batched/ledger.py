"""The books of many episodes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.envs.ledger import Ledger

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.rewards.base import Rows, Setting, SpotArray
    from scr2st_env.rewards.paying import Bought


class BatchedLedger:
    """The books of many episodes: in each row what :class:`Ledger` is for one.

    Parameters
    ----------
    n_episodes
        Number of rows, B.
    n_rows
        Spots of the largest slide, N.
    n_picks
        Most spots that are measured on any slide when the budget is spent, P.
    round_size
        Purchases per round.

    Attributes
    ----------
    state : ndarray of int8, shape (2, B, N)
        ``masks`` and ``available`` in one array, so that one copy takes both.
    picks : ndarray of int32, shape (B, P)
        Initial spots, then purchases in order; -1 where none.
    slide_index, budget, spent, in_round, n_available, n_initial, n_picked, n_measured
        As in :class:`Ledger`, int64, (B,).
    """

    def __init__(self, n_episodes: int, *, n_rows: int, n_picks: int, round_size: int) -> None:
        self.round_size = round_size
        self.state = np.zeros((2, n_episodes, n_rows), np.int8)
        self.picks = np.full((n_episodes, n_picks), -1, np.int32)
        self.slide_index = np.zeros(n_episodes, np.int64)
        self.budget = np.ones(n_episodes, np.int64)
        self.spent = np.zeros(n_episodes, np.int64)
        self.in_round = np.zeros(n_episodes, np.int64)
        self.n_available = np.zeros(n_episodes, np.int64)
        self.n_initial = np.zeros(n_episodes, np.int64)
        self.n_picked = np.zeros(n_episodes, np.int64)
        self.n_measured = np.zeros(n_episodes, np.int64)
        self._indices = np.arange(n_episodes)
        self._first_spot = np.arange(n_episodes) * n_rows
        self._first_pick = np.arange(n_episodes) * n_picks

    @property
    def masks(self) -> NDArray[np.int8]:
        """The selection masks, (B, N): 1 where a spot is initial or bought."""
        return self.state[0]

    @property
    def available(self) -> NDArray[np.int8]:
        """1 where a spot can still be bought, (B, N)."""
        return self.state[1]

    @property
    def remaining(self) -> NDArray[np.float32]:
        """Share of the budget that is left, (B, 1)."""
        return (1 - self.spent / self.budget).astype(np.float32)[:, None]

    @property
    def filled(self) -> NDArray[np.float32]:
        """Share of the current round that is filled, (B, 1)."""
        return (self.in_round / self.round_size).astype(np.float32)[:, None]

    @property
    def is_over(self) -> NDArray[np.bool_]:
        """Whether the budget is spent or nothing is left to buy, (B,)."""
        return (self.spent >= self.budget) | (self.n_available == 0)

    def open(self, rows: Rows, setting: Setting, slide_index: int) -> None:
        """Begin episodes."""
        mask = np.zeros(self.masks.shape[1], np.int8)
        mask[setting.initial] = 1
        available = np.zeros_like(mask)
        available[: setting.slide.n_spots] = setting.purchasable
        picks = np.full(self.picks.shape[1], -1, np.int32)
        picks[: len(setting.initial)] = setting.initial
        self.masks[rows], self.available[rows], self.picks[rows] = mask, available, picks
        self.slide_index[rows] = slide_index
        self.budget[rows] = setting.budget
        self.spent[rows] = self.in_round[rows] = 0
        self.n_available[rows] = int(available.sum())
        for count in (self.n_initial, self.n_picked, self.n_measured):
            count[rows] = len(setting.initial)

    def buy(self, rows: Rows, spots: SpotArray) -> NDArray[np.bool_]:
        """Spend one unit of each budget on a spot; return whether it buys anything, (m,)."""
        self.spent[rows] += 1
        self.in_round[rows] += 1
        places = self._first_spot[rows] + spots
        available, masks = self.available.reshape(-1), self.masks.reshape(-1)
        is_bought = available[places] == 1
        if not is_bought.all():
            rows, spots, places = (
                self._indices[rows][is_bought],
                spots[is_bought],
                places[is_bought],
            )
        available[places] = 0
        masks[places] = 1
        self.n_available[rows] -= 1
        self.picks.reshape(-1)[self._first_pick[rows] + self.n_picked[rows]] = spots
        self.n_picked[rows] += 1
        return is_bought

    def close_rounds(self, rows: Rows) -> list[Bought]:
        """Begin new rounds; return what the closed ones measured, one spot of a row at a time."""
        n_back = self.n_picked[rows] - self.n_measured[rows]
        back: list[Bought] = []
        for nth in range(int(n_back.max(initial=0))):
            has_nth = n_back > nth
            buyers = rows if has_nth.all() else self._indices[rows][has_nth]
            places = self._first_pick[buyers] + self.n_measured[buyers] + nth
            back.append((buyers, self.picks.reshape(-1)[places].astype(np.intp)))
        self.n_measured[rows] = self.n_picked[rows]
        self.in_round[rows] = 0
        return back

    def row(self, row: int, setting: Setting) -> Ledger:
        """Return the books of one episode as they stand."""
        ledger = Ledger(
            setting,
            int(self.slide_index[row]),
            n_rows=self.masks.shape[1],
            n_picks=self.picks.shape[1],
            round_size=self.round_size,
        )
        purchases = self.picks[row, int(self.n_initial[row]) : int(self.n_picked[row])].tolist()
        n_back = int(self.n_measured[row] - self.n_initial[row])
        for nth, spot in enumerate(purchases):
            if nth == n_back:
                ledger.close_round()
            ledger.buy(spot)
        if len(purchases) == n_back:
            ledger.close_round()
        ledger.spent, ledger.in_round = int(self.spent[row]), int(self.in_round[row])
        return ledger
