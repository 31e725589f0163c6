"""What an agent sees: the spaces, and the writers that fill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from gymnasium import spaces

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray
    from scr2st_env.envs.ledger import Ledger
    from scr2st_env.rewards.base import Setting

ObservationMode = Literal["full", "compact", "picks"]

_LARGEST = float(np.finfo(np.float32).max)


class ObservationLayout:
    """The observation of an environment: its space, and how an episode is written into it.

    Parameters
    ----------
    settings
        One per slide.
    mode
        ``"full"``, ``"compact"`` or ``"picks"``.
    feedback
        Whether the embeddings of measured spots are shown.
    """

    def __init__(
        self, settings: Sequence[Setting], mode: ObservationMode, *, feedback: bool
    ) -> None:
        if mode not in get_args(ObservationMode):
            raise InputError(
                f"observation must be one of {list(get_args(ObservationMode))}, got {mode!r}"
            )
        self.mode = mode
        self.feedback = feedback
        self._is_full, self._shows_masks = mode == "full", mode != "picks"
        self.shows_picks = mode == "picks" or (mode == "compact" and feedback)
        self.n_slides = len(settings)
        self.n_rows = max(setting.slide.n_spots for setting in settings)
        self.n_picks = max(setting.n_measured for setting in settings)
        self.n_features = settings[0].slide.public.n_features
        self.width = _embedding_width(settings) if feedback else 0
        self.space = spaces.Dict(self._spaces())

    def _spaces(self) -> dict[str, spaces.Space[Any]]:
        share = spaces.Box(0, 1, (1,), np.float32)
        entries: dict[str, spaces.Space[Any]] = {"remaining": share, "round": share}
        if self._is_full:
            entries["coordinates"] = spaces.Box(0, 1, (self.n_rows, 2), np.float32)
            if self.n_features:
                entries["features"] = _any_float(self.n_rows, self.n_features)
        else:
            entries["slide"] = spaces.Discrete(self.n_slides)
        if self._shows_masks:
            entries["mask"] = spaces.MultiBinary(self.n_rows)
            entries["available"] = spaces.MultiBinary(self.n_rows)
        if self.shows_picks:
            entries["picks"] = spaces.Box(-1, self.n_rows - 1, (self.n_picks,), np.int32)
        if self.feedback:
            n_measured = self.n_rows if self._is_full else self.n_picks
            entries["measured"] = _any_float(n_measured, self.width)
        if self.feedback and self._is_full:
            entries["returned"] = spaces.MultiBinary(self.n_rows)
        return entries

    def write(self, ledger: Ledger) -> dict[str, Any]:
        """Return the observation of an episode, every array of its own memory."""
        # Slices of arrays that belong to one episode: as good as copies, and half their time.
        now = slice(ledger.spent, ledger.spent + 1)
        entries: dict[str, Any] = {
            "remaining": ledger.remaining_shares[now],
            "round": ledger.filled_shares[now],
        }
        if self._shows_masks:
            entries["mask"] = ledger.mask.copy()
            entries["available"] = ledger.available.copy()
        if self._is_full:
            entries |= self._static(ledger)
        else:
            entries["slide"] = ledger.slide_index
        if self.shows_picks:
            entries["picks"] = ledger.picks.copy()
        if self.feedback:
            entries["measured"] = self._measured(ledger)
            if self._is_full:
                entries["returned"] = self._returned(ledger)
        return entries

    def _static(self, ledger: Ledger) -> dict[str, FloatArray]:
        public = ledger.setting.slide.public
        entries = {"coordinates": self._padded(public.scaled_coordinates)}
        if self.n_features:
            entries["features"] = self._padded(public.features)
        return entries

    def _padded(self, rows: FloatArray) -> FloatArray:
        if len(rows) == self.n_rows:
            return rows.copy()
        padded = np.empty((self.n_rows, rows.shape[1]), np.float32)
        padded[: len(rows)] = rows
        padded[len(rows) :] = 0
        return padded

    def _returned(self, ledger: Ledger) -> NDArray[np.int8]:
        returned = np.zeros(self.n_rows, np.int8)
        if ledger.setting.slide.hidden is not None:
            returned[ledger.measured] = 1
        return returned

    def _measured(self, ledger: Ledger) -> FloatArray:
        n_rows = self.n_rows if self._is_full else self.n_picks
        measured = np.zeros((n_rows, self.width), np.float32)
        hidden = ledger.setting.slide.hidden
        if hidden is not None and hidden.embedding is not None:
            rows = ledger.measured if self._is_full else slice(ledger.n_measured)
            measured[rows] = hidden.embedding[ledger.measured]
        return measured


def _any_float(*shape: int) -> spaces.Box:
    return spaces.Box(-_LARGEST, _LARGEST, shape, np.float32)


def _embedding_width(settings: Sequence[Setting]) -> int:
    reference = settings[0].reference
    widths = {} if reference is None else {"the reference": reference.n_dimensions}
    for setting in settings:
        slide = setting.slide
        if slide.hidden is not None and slide.hidden.embedding is None:
            raise InputError(
                f"slide {slide.name!r} has no embedding, which feedback=True shows; "
                "run 'scr2st embed' or pass feedback=False"
            )
        if slide.hidden is not None and slide.hidden.embedding is not None:
            widths[f"slide {slide.name!r}"] = slide.hidden.embedding.shape[1]
    if not widths:
        raise InputError("feedback=True on live slides needs reference=: it sets the width")
    owner, width = next(iter(widths.items()))
    for other, found in widths.items():
        if found != width:
            raise InputError(
                f"{other} has an embedding of width {found} but {owner} one of {width}; "
                "embed all with the same embedder"
            )
    return width
