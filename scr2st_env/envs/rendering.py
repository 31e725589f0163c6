"""A picture of an episode: the tissue, what was bought, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scr2st_env.gaussian_process import principal_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray, IntArray
    from scr2st_env.envs.ledger import Ledger
    from scr2st_env.slide import PublicSlide, SlideImage

SIDE = 640
_BAR = 24  # height of the line of text
_MARGIN = 16
_PAPER = (250, 250, 250)
_INK = (30, 30, 30)
_FIRST, _MIDDLE, _LAST = (68, 20, 110), (225, 70, 90), (252, 225, 110)  # order of purchase


class SlidePicture:
    """Pictures of one episode; what does not change between steps is drawn once.

    Parameters
    ----------
    public
        What may be seen of the slide.
    purchasable
        Spots that can be bought, bool, (N,); the others are dimmed.
    initial
        Spots that are measured from the start, (n,).
    budget
        A count; colours run from dark to bright over it.
    """

    def __init__(
        self, public: PublicSlide, purchasable: BoolArray, initial: IntArray, budget: int
    ) -> None:
        self._budget = budget
        self._place, scale = _fit(public)
        self._radius = max(2.0, 0.44 * public.pitch * scale)
        self._canvas = self._background(public, purchasable, set(initial.tolist()), scale)
        self._n_drawn = 0

    def draw(self, ledger: Ledger) -> NDArray[np.uint8]:
        """Return the picture after the purchases so far, uint8, (SIDE + bar, SIDE, 3)."""
        pen = ImageDraw.Draw(self._canvas)
        for order in range(self._n_drawn, len(ledger.purchases)):
            colour = _order_colour(order / max(1, self._budget - 1))
            self._spot(pen, ledger.purchases[order], fill=colour, outline=_INK)
        self._n_drawn = len(ledger.purchases)
        pen.rectangle((0, SIDE, SIDE, SIDE + _BAR), fill=_PAPER)
        pen.text((_MARGIN, SIDE + 5), _caption(ledger), fill=_INK, font=_FONT)
        return np.array(self._canvas)

    def _background(
        self, public: PublicSlide, purchasable: BoolArray, initial: set[int], scale: float
    ) -> Image.Image:
        canvas = Image.new("RGB", (SIDE, SIDE + _BAR), _PAPER)
        colours: list[tuple[int, ...]] = []
        if public.image is not None:
            _paste_tissue(canvas, public, public.image, scale)
        else:
            colours = _spot_colours(public)
        pen = ImageDraw.Draw(canvas)
        for spot in range(public.n_spots):
            if spot in initial:
                self._spot(pen, spot, fill=_PAPER, outline=_INK)
            elif not purchasable[spot]:
                self._spot(pen, spot, fill=(225, 225, 225), outline=None, size=0.4)
            elif colours:
                self._spot(pen, spot, fill=colours[spot], outline=None, size=0.8)
            else:
                self._spot(pen, spot, fill=None, outline=(120, 120, 120))
        return canvas

    def _spot(
        self, pen: ImageDraw.ImageDraw, spot: int, *, fill: Any, outline: Any, size: float = 1.0
    ) -> None:
        x, y = self._place[spot]
        r = size * self._radius
        pen.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=outline)


def _fit(public: PublicSlide) -> tuple[NDArray[np.float64], float]:
    """Return the position of each spot in the picture, (N, 2), and pixels per coordinate unit."""
    coordinates = public.coordinates.astype(np.float64)
    low, high = coordinates.min(axis=0) - public.pitch, coordinates.max(axis=0) + public.pitch
    scale = (SIDE - 2 * _MARGIN) / float((high - low).max())
    offset = (SIDE - scale * (high - low)) / 2
    return (coordinates - low) * scale + offset, scale


def _paste_tissue(
    canvas: Image.Image, public: PublicSlide, image: SlideImage, scale: float
) -> None:
    """Draw the part of the tissue image that the picture shows, white around it."""
    place, _ = _fit(public)
    origin = public.coordinates[0].astype(np.float64) - place[0] / scale  # of the picture
    per_pixel = image.scale / scale  # image pixels per picture pixel
    left, top = origin * image.scale
    tissue = Image.fromarray(np.ascontiguousarray(image.pixels)).transform(
        (SIDE, SIDE),
        Image.Transform.AFFINE,
        (per_pixel, 0, left, 0, per_pixel, top),
        resample=Image.Resampling.BILINEAR,
        fillcolor=_PAPER,
    )
    canvas.paste(tissue, (0, 0))


def _spot_colours(public: PublicSlide) -> list[tuple[int, ...]]:
    """Return a pale colour per spot from the first three principal components of its features."""
    levels = np.full((public.n_spots, 3), 0.5)
    if public.n_features:
        scores = principal_components(public.standardised_features, 3)
        ranks = scores.argsort(axis=0).argsort(axis=0) / max(1, public.n_spots - 1)
        levels[:, : ranks.shape[1]] = ranks
    return [tuple(row) for row in (165 + 80 * levels).astype(int).tolist()]


def _order_colour(share: float) -> tuple[int, ...]:
    low, high, weight = (
        (_FIRST, _MIDDLE, 2 * share) if share < 0.5 else (_MIDDLE, _LAST, 2 * share - 1)
    )
    return tuple(round(a + weight * (b - a)) for a, b in zip(low, high, strict=True))


def _caption(ledger: Ledger) -> str:
    setting = ledger.setting
    rounds = -(-setting.budget // ledger.round_size)
    current = min(rounds, ledger.spent // ledger.round_size + 1)
    return (
        f"{setting.slide.name}   bought {len(ledger.purchases)} of {setting.budget}   "
        f"round {current} of {rounds}"
    )


_FONT = ImageFont.load_default(14)
