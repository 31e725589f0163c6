"""Scanners' own formats (.svs, .ndpi, .mrxs, ...), read region by region with OpenSlide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide"}


class WholeSlide:
    """The levels of a scan; see :class:`scr2st_env.patches.pyramid.Pyramid`.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        If OpenSlide is not installed or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import openslide
        except ModuleNotFoundError as error:
            raise InputError(f"{path} needs OpenSlide; pip install 'scr2st[openslide]'") from error
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise InputError(f"{path} is no scan that OpenSlide reads ({error})") from error
        self._where = str(path)
        self._errors = openslide.OpenSlideError
        self.sizes: Sequence[tuple[int, int]] = [
            (int(width), int(height)) for width, height in self._slide.level_dimensions
        ]
        stated = self._slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
        self.um_per_px: float | None = float(stated) if stated else None

    def read(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Return part of a level; glass that was not scanned is white.

        Raises
        ------
        InputError
            If the scan is damaged there.
        """
        factor = self.sizes[0][0] / self.sizes[level][0]
        corner = (round(columns.start * factor), round(rows.start * factor))
        size = (columns.stop - columns.start, rows.stop - rows.start)
        try:
            part = np.asarray(self._slide.read_region(corner, level, size))
        except self._errors as error:
            raise InputError(f"{self._where} is damaged ({error}); copy it anew") from error
        opaque = part[..., 3:] / 255
        return np.rint(part[..., :3] * opaque + 255 * (1 - opaque)).astype(np.uint8)
