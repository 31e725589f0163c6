"""Tiled and pyramidal TIFF files (OME-TIFF, generic), read tile by tile with tifffile."""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MICROMETRES = {2: 25_400.0, 3: 10_000.0}  # in an inch, in a centimetre: TIFF's units of resolution
OME_SCALE = re.compile(r'PhysicalSizeX="([0-9.eE+-]+)"(?![^>]*PhysicalSizeXUnit="(?!µm))')


def is_tiled(path: Path) -> bool:
    """Whether parts of a TIFF file can be read: it is kept in tiles, or at several scales."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return bool(file.pages.first.is_tiled or len(file.series[0].levels) > 1)
    except (tifffile.TiffFileError, OSError, IndexError):
        return False  # whoever reads the file says what is wrong with it


class TiffPyramid:
    """The levels of a TIFF's first image; see :class:`scr2st_env.patches.pyramid.Pyramid`.

    Parameters
    ----------
    path
        The file; it stays open as long as this object lives.

    Raises
    ------
    InputError
        If it is not 8-bit RGB.
    """

    def __init__(self, path: Path) -> None:
        import tifffile
        import zarr

        self._where = str(path)
        file = tifffile.TiffFile(path)
        weakref.finalize(self, file.close)
        series = file.series[0]
        self._colours_first = series.axes == "SYX"
        n_colours = series.shape[0 if self._colours_first else -1]
        if series.dtype != np.uint8 or series.axes not in {"YXS", "SYX"} or n_colours not in {3, 4}:
            raise InputError(
                f"{path} holds {series.dtype} {series.axes} {series.shape}, not an 8-bit RGB "
                "image; export one"
            )
        self._levels: list[Any] = [
            zarr.open(series.aszarr(level=level), mode="r") for level in range(len(series.levels))
        ]
        shapes = [
            each.shape[1:] if self._colours_first else each.shape[:2] for each in self._levels
        ]
        self.sizes: Sequence[tuple[int, int]] = [
            (int(width), int(height)) for height, width in shapes
        ]
        self.um_per_px = _um_per_px(file)

    def read(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Return part of a level, decoding the tiles that it touches.

        Raises
        ------
        InputError
            If the tiles are damaged, or compressed in a way that needs imagecodecs.
        """
        array = self._levels[level]
        try:
            if self._colours_first:
                return np.moveaxis(np.asarray(array[:3, rows, columns]), 0, -1)
            return np.asarray(array[rows, columns])[..., :3]
        except Exception as error:  # every codec has its own kinds
            needed = "imagecodecs" in str(error)
            way_out = "pip install 'scr2st[images]'" if needed else "export the image anew"
            raise InputError(f"{self._where} cannot be decoded ({error}); {way_out}") from error


def _um_per_px(file: Any) -> float | None:
    """Scale by OME's metadata, else by TIFF's resolution, which some writers leave at nothing."""
    stated = OME_SCALE.search(file.ome_metadata or "")
    if stated:
        return float(stated.group(1))
    tags = file.pages.first.tags
    if "XResolution" not in tags or "ResolutionUnit" not in tags:
        return None
    pixels, units = tags["XResolution"].value
    unit = MICROMETRES.get(int(tags["ResolutionUnit"].value))
    return None if unit is None or not pixels or not units else unit * units / pixels
