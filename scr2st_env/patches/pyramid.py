"""Large images, of which one region at one of several scales is read at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WHITE = 255


class Pyramid(Protocol):
    """One image at several scales, the finest first.

    Attributes
    ----------
    sizes
        Width and height in pixels of each level.
    um_per_px
        Micrometres per pixel of the finest level; None where the file does not say.
    """

    sizes: Sequence[tuple[int, int]]
    um_per_px: float | None

    def read(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Return pixels, uint8 (rows, columns, 3), of a part that lies inside the level."""
        ...


class ArrayPyramid:
    """An image in memory: one level.

    Parameters
    ----------
    pixels
        RGB, uint8, (height, width, 3).
    where
        What to call it in messages.
    """

    um_per_px: float | None = None

    def __init__(self, pixels: NDArray[np.uint8], where: str = "the image") -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InputError(
                f"{where} must be uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}"
            )
        self._pixels = pixels
        self.sizes: Sequence[tuple[int, int]] = [(pixels.shape[1], pixels.shape[0])]

    def read(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Return part of the image; see :class:`Pyramid`."""
        del level  # there is one
        return self._pixels[rows, columns]


def level_for(pyramid: Pyramid, shrinking: float) -> tuple[int, float]:
    """Choose the coarsest level that is still as fine as what is wanted of it.

    Parameters
    ----------
    pyramid
        The image.
    shrinking
        Pixels of the finest level per pixel that is wanted.

    Returns
    -------
    tuple of int and float
        The level, and pixels of the finest level per pixel of it.
    """
    width = pyramid.sizes[0][0]
    factors = [width / each for each, _ in pyramid.sizes]
    fine_enough = [index for index, factor in enumerate(factors) if factor <= shrinking * 1.01]
    level = max(fine_enough, key=lambda index: factors[index], default=0)
    return level, factors[level]


def region(
    pyramid: Pyramid, level: int, left: int, top: int, width: int, height: int
) -> NDArray[np.uint8]:
    """Read a rectangle of a level; what lies outside the image is white, like glass.

    Parameters
    ----------
    pyramid, level
        The image and one of its levels.
    left, top, width, height
        In pixels of that level.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    whole_width, whole_height = pyramid.sizes[level]
    pixels = np.full((height, width, 3), WHITE, np.uint8)
    rows = slice(max(top, 0), min(top + height, whole_height))
    columns = slice(max(left, 0), min(left + width, whole_width))
    if rows.start < rows.stop and columns.start < columns.stop:
        pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
            pyramid.read(level, rows, columns)
        )
    return pixels
