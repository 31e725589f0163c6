"""Patches cut around the spots of a section's image."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from scr2st_env.errors import InputError
from scr2st_env.patches.pyramid import ArrayPyramid, level_for, region
from scr2st_env.patches.tiff import TiffPyramid, is_tiled
from scr2st_env.patches.whole_slide import SUFFIXES, WholeSlide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.patches.pyramid import Pyramid


class ImagePatches:
    """Square patches around points of one large image, cut when they are sliced.

    Of an image with several levels, the coarsest is read that is as fine as the patches. What
    lies outside the image is white, like the slide around the tissue.

    Parameters
    ----------
    image
        The image.
    centres
        Pixel positions (x, y) in its finest level, (n, 2).
    size
        Side of a patch in pixels of the finest level; need not be whole.
    out_px
        Side of the patches that are returned.
    """

    def __init__(
        self, image: Pyramid, centres: NDArray[np.float64], size: float, out_px: int
    ) -> None:
        self._image = image
        self._level, factor = level_for(image, size / out_px)
        self._centres = centres / factor
        self._side = max(1, round(size / factor))
        self._out_px = out_px

    def __len__(self) -> int:
        return len(self._centres)

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        """Return the patches of a slice, uint8 (n, out_px, out_px, 3)."""
        centres = self._centres[part]
        patches = np.empty((len(centres), self._out_px, self._out_px, 3), np.uint8)
        for patch, (x, y) in zip(patches, centres, strict=True):
            patch[:] = self._cut(x, y)
        return patches

    def _cut(self, x: float, y: float) -> NDArray[np.uint8]:
        side = self._side
        left, top = round(x - side / 2), round(y - side / 2)
        patch = region(self._image, self._level, left, top, side, side)
        if side == self._out_px:
            return patch
        resized = Image.fromarray(patch).resize((self._out_px,) * 2, Image.Resampling.BICUBIC)
        return np.asarray(resized)


@contextmanager
def _trusted_size() -> Iterator[None]:
    """Lift Pillow's guard against huge images: the caller named this file on purpose."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read a section's image, however large.

    Parameters
    ----------
    path
        JPEG, PNG, TIFF or whatever else Pillow reads.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)

    Raises
    ------
    InputError
        If there is no such file or Pillow cannot read it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; name the section's image")
    try:
        with _trusted_size(), Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path} cannot be read as an image ({error}); export a TIFF") from error


def open_image(path: str | Path) -> Pyramid:
    """Open a section's image, to be read region by region where its format allows that.

    Parameters
    ----------
    path
        A scanner's format that OpenSlide reads (``.svs``, ``.ndpi``, ``.mrxs``, ...), a tiled or
        pyramidal TIFF, or whatever Pillow reads, which is then read at once.

    Returns
    -------
    Pyramid

    Raises
    ------
    InputError
        If there is no such file, it cannot be read, or a library is missing.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return WholeSlide(path)
    if path.is_file() and path.suffix.lower() in {".tif", ".tiff"} and is_tiled(path):
        return TiffPyramid(path)
    return ArrayPyramid(read_image(path), str(path))


def image_patches(
    image: Pyramid | NDArray[np.uint8] | str | Path,
    centres: ArrayLike,
    size_px: float,
    out_px: int,
) -> ImagePatches:
    """Prepare the patches around points of an image, to be cut when they are sliced.

    Parameters
    ----------
    image
        RGB, uint8, (height, width, 3), or what :func:`open_image` opens or returns.
    centres
        Pixel positions (x, y), origin top left, (n, 2).
    size_px
        Side of a patch in pixels of ``image``.
    out_px
        Side to which patches are scaled.

    Returns
    -------
    ImagePatches

    Raises
    ------
    InputError
        If the image is not RGB uint8, a size is not positive, or a centre lies outside the image.
    """
    where = str(image) if isinstance(image, str | Path) else "the image"
    pyramid = _opened(image)
    points = np.asarray(centres, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"patch centres must have shape (n, 2), got {points.shape}")
    if not (size_px > 0 and out_px > 0):
        raise InputError(f"patch sizes must be positive, got size_px={size_px}, out_px={out_px}")
    width, height = pyramid.sizes[0]
    outside = ~((points >= 0) & (points <= (width, height))).all(axis=1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{where} is {width} x {height} pixels, but {outside.sum()} of {len(points)} spots lie "
            f"outside it (first: row {first} at {points[first].round(1).tolist()}); check the "
            "scale and the axis order of the coordinates"
        )
    return ImagePatches(pyramid, points, size_px, out_px)


def _opened(image: Pyramid | NDArray[np.uint8] | str | Path) -> Pyramid:
    if isinstance(image, str | Path):
        return open_image(image)
    return ArrayPyramid(image) if isinstance(image, np.ndarray) else image


def cut_patches(
    image: Pyramid | NDArray[np.uint8] | str | Path,
    centres: ArrayLike,
    size_px: float,
    out_px: int,
) -> NDArray[np.uint8]:
    """Cut the patches around points of an image; see :func:`image_patches`.

    Returns
    -------
    ndarray of uint8, shape (n, out_px, out_px, 3)
    """
    return image_patches(image, centres, size_px, out_px)[:]
