"""What many agents see at once: the arrays that change at a reset or when a round is back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.envs.batched.ledger import BatchedLedger
    from scr2st_env.envs.observation import ObservationLayout
    from scr2st_env.rewards.base import Rows, Setting
    from scr2st_env.rewards.paying import Bought

    AnyArray = NDArray[Any]

_KEPT = ("coordinates", "features", "measured", "returned")


class BatchedObservation:
    """The observations of many episodes.

    Parameters
    ----------
    layout
        The observation of one.
    n_episodes
        How many, B.
    copy
        Whether every array that is handed out has memory of its own.
    """

    def __init__(self, layout: ObservationLayout, n_episodes: int, *, copy: bool) -> None:
        self._layout = layout
        self._copy = copy
        self._indices = np.arange(n_episodes)
        self._n_shown = np.zeros(n_episodes, np.int64)
        self._kept = {
            key: np.zeros((n_episodes, *space.shape), space.dtype)
            for key, space in layout.space.items()
            if key in _KEPT and space.shape is not None
        }

    def begin(self, rows: Rows, setting: Setting) -> None:
        """Show new episodes on one slide."""
        public, kept = setting.slide.public, self._kept
        static = {"coordinates": public.scaled_coordinates, "features": public.features}
        for key in static.keys() & kept.keys():
            kept[key][rows, : public.n_spots] = static[key]
            kept[key][rows, public.n_spots :] = 0
        for key in kept.keys() - static.keys():
            kept[key][rows] = 0
        self._n_shown[rows] = 0
        n_episodes = len(self._indices[rows])
        self.reveal([(rows, np.full(n_episodes, spot)) for spot in setting.initial], setting)

    def reveal(self, back: list[Bought], setting: Setting) -> None:
        """Show what rounds measured on one slide."""
        hidden = setting.slide.hidden
        if hidden is None or not self._layout.feedback:
            return
        for rows, spots in back:
            episodes = self._indices[rows]
            if hidden.embedding is not None:
                place = spots if self._layout.mode == "full" else self._n_shown[rows]
                self._kept["measured"][episodes, place] = hidden.embedding[spots]
            if "returned" in self._kept:
                self._kept["returned"][episodes, spots] = 1
            self._n_shown[rows] += 1

    def read(self, ledger: BatchedLedger) -> dict[str, Any]:
        """Return the observations of all episodes."""
        entries: dict[str, Any] = {"remaining": ledger.remaining, "round": ledger.filled}
        if self._layout.mode != "full":
            entries["slide"] = self._own(ledger.slide_index)
        if self._layout.mode != "picks":
            # One copy of one array: the memory of two is given back and asked for at every step.
            entries["mask"], entries["available"] = self._own(ledger.state)
        if self._layout.shows_picks:
            entries["picks"] = self._own(ledger.picks)
        return entries | {key: self._own(table) for key, table in self._kept.items()}

    def _own(self, array: AnyArray) -> AnyArray:
        return array.copy() if self._copy else array
