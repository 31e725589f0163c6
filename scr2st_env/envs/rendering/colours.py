"""Colours that stay apart for colour-blind eyes: they differ in lightness, not in hue alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PAPER = (250, 250, 250)
WHITE = (255, 255, 255)
INK = (25, 25, 25)
FAINT = (110, 110, 110)
NOT_FOR_SALE = (222, 222, 222)
SPENT_IN_VAIN = (90, 90, 90)
IN_REACH = (236, 196, 205)  # tissue in the legend, and of a slide that has no features
_ORDER = np.array([(0, 40, 120), (0, 135, 150), (120, 200, 90), (255, 235, 50)], np.float64)
_FOG = np.array((38, 46, 66), np.float64)
_LUMA = np.array((0.299, 0.587, 0.114))


def order_colours(shares: ArrayLike) -> NDArray[np.float64]:
    """Return the colour of purchases, (n, 3), from dark blue (0, the first) to yellow (1)."""
    steps = np.linspace(0, 1, len(_ORDER))
    return np.stack(
        [np.interp(np.asarray(shares), steps, channel) for channel in _ORDER.T], axis=-1
    )


def fogged(pixels: ArrayLike) -> NDArray[np.uint8]:
    """Return colours, (..., 3), as they look out of reach: grey and dark."""
    grey = np.asarray(pixels, np.float64) @ _LUMA
    return np.rint(0.42 * grey[..., None] + 0.58 * _FOG).astype(np.uint8)
