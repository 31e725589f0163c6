"""The panel beside the tissue: what was bought, what is left, and what the marks mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scr2st_env.envs.rendering.colours import (
    FAINT,
    IN_REACH,
    INK,
    PAPER,
    SPENT_IN_VAIN,
    fogged,
    order_colours,
)
from scr2st_env.envs.rendering.marks import (
    closed_mark,
    initial_mark,
    latest_mark,
    measured_mark,
    pending_mark,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.slide import PublicSlide

WIDTH, HEIGHT = 224, 640
_LEFT, _RIGHT = 16, 208
_BAR = 18  # height of a bar
_TOP_BUDGET, _TOP_ROUND, _TOP_REACH, _TOP_LEGEND = 92, 214, 318, 410
_MOST_BOXES = 24  # rounds that are drawn one by one
_TITLE, _TEXT, _SMALL = (ImageFont.load_default(size) for size in (20, 16, 13))


@dataclass(frozen=True)
class Progress:
    """How far an episode is.

    Parameters
    ----------
    n_bought, n_wasted
        Spots bought, and picks that bought nothing.
    n_pending
        Spots bought whose round is not back.
    in_round, round_size
        Picks of the current round, and of a full one.
    in_reach
        Share of the tissue within reach of a measured spot.
    """

    n_bought: int
    n_wasted: int
    n_pending: int
    in_round: int
    round_size: int
    in_reach: float


class Panel:
    """Draws the panel of one episode.

    Parameters
    ----------
    public
        What may be seen of the slide.
    budget
        A count.
    has_initial, has_closed
        Whether the legend explains initial spots, and spots that are not for sale.
    """

    def __init__(
        self, public: PublicSlide, budget: int, *, has_initial: bool, has_closed: bool
    ) -> None:
        self._budget = budget
        self._scale = order_colours(np.linspace(0, 1, _RIGHT - _LEFT)).round().astype(np.uint8)
        self._still = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
        pen = ImageDraw.Draw(self._still)
        pen.text((_LEFT, 14), _shortened(public.name), INK, _TITLE)
        pen.text((_LEFT, 42), f"{public.n_spots:,} spots, budget {budget:,}", FAINT, _SMALL)
        below = _TOP_BUDGET + 26 + _BAR
        pen.text((_LEFT, below), "first", FAINT, _SMALL)
        pen.text((WIDTH // 2, below), "order of purchase", FAINT, _SMALL, anchor="ma")
        pen.text((_RIGHT, below), "last", FAINT, _SMALL, anchor="ra")
        self._still = _with_legend(self._still, has_initial=has_initial, has_closed=has_closed)

    def draw(self, progress: Progress) -> NDArray[np.uint8]:
        """Return the panel, uint8, (HEIGHT, WIDTH, 3)."""
        panel = self._still.copy()
        pen = ImageDraw.Draw(panel)
        self._say_budget(pen, progress)
        self._say_round(pen, progress)
        self._say_reach(pen, progress)
        pixels = np.array(panel)
        self._fill_budget(pixels, progress)
        return pixels

    def _say_budget(self, pen: ImageDraw.ImageDraw, progress: Progress) -> None:
        top = _TOP_BUDGET
        n_left = self._budget - progress.n_bought - progress.n_wasted
        pen.text((_LEFT, top), f"Bought {progress.n_bought:,} of {self._budget:,}", INK, _TEXT)
        words = f"{n_left:,} left, {progress.n_wasted:,} wasted"
        pen.text((_LEFT, top + 44 + _BAR), words, INK, _SMALL)

    def _fill_budget(self, pixels: NDArray[np.uint8], progress: Progress) -> None:
        """Fill the bar: the colours of the purchases so far, then wasted picks, then what is left.

        What is left is pale, so that the bar is the legend of the colours as well.
        """
        width = _RIGHT - _LEFT
        bought = round(width * progress.n_bought / self._budget)
        spent = round(width * (progress.n_bought + progress.n_wasted) / self._budget)
        bar = pixels[_TOP_BUDGET + 24 : _TOP_BUDGET + 24 + _BAR, _LEFT:_RIGHT]
        bar[:] = 0.25 * self._scale + 0.75 * np.array(PAPER)
        bar[:, :bought] = self._scale[:bought]
        rows, columns = np.ogrid[:_BAR, bought:spent]
        is_stripe = (rows + columns) % 6 < 3
        bar[:, bought:spent] = np.where(is_stripe[..., None], SPENT_IN_VAIN, PAPER)
        bar[[0, -1]] = bar[:, [0, -1]] = INK
        bar[:, max(0, spent - 1) : spent + 1] = INK

    def _say_round(self, pen: ImageDraw.ImageDraw, progress: Progress) -> None:
        top = _TOP_ROUND
        spent = progress.n_bought + progress.n_wasted
        n_rounds = -(-self._budget // progress.round_size)
        current = min(n_rounds, spent // progress.round_size + 1)
        pen.text((_LEFT, top), f"Round {current:,} of {n_rounds:,}", INK, _TEXT)
        size = min(progress.round_size, self._budget - (current - 1) * progress.round_size)
        picked = size if spent == self._budget else progress.in_round
        words = f"{picked:,} of {size:,} picked, {progress.n_pending:,} pending"
        if progress.round_size == 1:
            words = "each purchase is a round"
        pen.text((_LEFT, top + 30 + _BAR), words, INK, _SMALL)
        n_boxes = n_rounds if n_rounds <= _MOST_BOXES else 1
        share = spent / (self._budget if n_boxes == 1 else progress.round_size)
        step = (_RIGHT - _LEFT + 2) / n_boxes
        for box in range(n_boxes):
            left, right = _LEFT + box * step, _LEFT + (box + 1) * step - 3
            if box == n_boxes - 1 and spent == self._budget:
                share = float(n_boxes)
            _bar(pen, (left, right), top + 24, min(1.0, max(0.0, share - box)), INK)

    def _say_reach(self, pen: ImageDraw.ImageDraw, progress: Progress) -> None:
        percent = f"{100 * progress.in_reach:.0f} % of tissue in reach"
        pen.text((_LEFT, _TOP_REACH), percent, INK, _TEXT)
        _bar(pen, (_LEFT, _RIGHT), _TOP_REACH + 24, progress.in_reach, IN_REACH, _out_of_reach())


def _bar(
    pen: ImageDraw.ImageDraw,
    ends: tuple[float, float],
    top: float,
    share: float,
    colour: tuple[int, ...],
    rest: tuple[int, ...] = PAPER,
) -> None:
    left, right = (round(end) for end in ends)
    pen.rectangle((left, top, right, top + _BAR), rest, INK)
    edge = round(left + share * (right - left))
    if edge > left:
        pen.rectangle((left, top, edge, top + _BAR), colour, INK)


def _out_of_reach() -> tuple[int, ...]:
    return tuple(fogged(IN_REACH).tolist())


def _with_legend(still: Image.Image, *, has_initial: bool, has_closed: bool) -> Image.Image:
    radius = 8.0
    colour = order_colours(0.4)
    entries: list[tuple[str, Any]] = [
        ("measured", measured_mark(radius)),
        ("pending: not back yet", pending_mark(radius)),
        ("latest purchase", latest_mark(5)),
    ]
    if has_initial:
        entries.append(("measured at the start", initial_mark(radius)))
    if has_closed:
        entries.append(("not for sale", closed_mark(radius)))
    entries += [("tissue in reach", IN_REACH), ("out of reach", _out_of_reach())]
    pen = ImageDraw.Draw(still)
    for row, (words, sign) in enumerate(entries):
        y = _TOP_LEGEND + 30 * row
        pen.text((_LEFT + 34, y), words, INK, _SMALL, anchor="lm")
        if isinstance(sign, tuple):
            pen.rectangle((_LEFT + 1, y - 9, _LEFT + 23, y + 9), sign)
    pixels = np.array(still)
    for row, (_, sign) in enumerate(entries):
        if not isinstance(sign, tuple):
            sign.stamp(pixels, [(_LEFT + 12, _TOP_LEGEND + 30 * row)], colour)
    return Image.fromarray(pixels)


def _shortened(name: str) -> str:
    """Cut a long name to the width of the panel."""
    if _TITLE.getlength(name) <= _RIGHT - _LEFT:
        return name
    while _TITLE.getlength(name + "...") > _RIGHT - _LEFT:
        name = name[:-1]
    return name + "..."
