"""The tissue of a slide, drawn twice: as it looks within reach, and out of reach."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image
from scipy.linalg import eigh
from scipy.ndimage import distance_transform_edt

from scr2st_env.envs.rendering.colours import IN_REACH, NOT_FOR_SALE, PAPER, fogged
from scr2st_env.envs.rendering.marks import MARGIN, closed_mark, initial_mark, open_mark

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray, IntArray
    from scr2st_env.slide import PublicSlide, SlideImage

SIDE = 640
_LARGEST_SPOT = 20.0  # pixels
_APART = 5.0  # pixels between spots below which they are drawn without gaps


class Tissue:
    """A slide before anything is bought, fitted into a square.

    Parameters
    ----------
    public
        What may be seen of the slide.
    purchasable
        Spots that can be bought, bool, (N,).
    initial
        Spots that are measured from the start, (n,).

    Attributes
    ----------
    lit, dim : ndarray of uint8, shape (SIDE, SIDE, 3)
        All of it within reach, and out of reach.
    places : ndarray of int64, shape (N, 2)
        Pixel (x, y) of each spot.
    nearest : ndarray of int64, shape (SIDE, SIDE)
        The spot nearest to each pixel.
    scale : float
        Pixels per coordinate unit.
    radius : float
        Of a mark that fits between its neighbours, pixels.
    """

    def __init__(self, public: PublicSlide, purchasable: BoolArray, initial: IntArray) -> None:
        self.scale, corner = _fit(public)
        exact = (public.coordinates.astype(np.float64) - corner) * self.scale
        self.places = np.rint(exact).astype(np.int64)
        pitch = self.scale * public.pitch
        self.radius = float(np.clip(0.4 * pitch, 1.0, _LARGEST_SPOT))
        distance, self.nearest = _nearest_spots(self.places)
        is_tissue = distance <= max(1.5, 0.75 * pitch)
        if public.image is not None:
            self.lit = _cut_out(public.image, corner, self.scale)
            self.radius *= 0.85  # more of the image shows
        else:
            colours = spot_colours(public).copy()
            colours[~purchasable] = NOT_FOR_SALE
            cell_radius = 0.46 * pitch if pitch > _APART else pitch
            cell = np.clip(cell_radius + 0.5 - distance, 0, 1)[..., None]
            self.lit = np.rint(cell * colours[self.nearest] + (1 - cell) * PAPER).astype(np.uint8)
        self.dim = self.lit.copy()
        self.dim[is_tissue] = fogged(self.lit[is_tissue])
        for_sale = self.places[purchasable]
        closed = np.ones(public.n_spots, bool)
        closed[purchasable] = False
        closed[initial] = False
        for canvas in (self.lit, self.dim):
            if public.image is not None:
                open_mark(self.radius).stamp(canvas, for_sale)
            closed_mark(self.radius).stamp(canvas, self.places[closed])
            initial_mark(self.radius).stamp(canvas, self.places[initial])


def _fit(public: PublicSlide) -> tuple[float, NDArray[np.float64]]:
    """Return pixels per coordinate unit, and the coordinates of the upper left pixel."""
    coordinates = public.coordinates.astype(np.float64)
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    extent = float(max((high - low).max() + public.pitch, 4 * public.pitch))
    scale = (SIDE - 2 * MARGIN) / extent
    return scale, (low + high) / 2 - SIDE / scale / 2


def _nearest_spots(places: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each pixel's distance to the nearest spot, and which that is, (SIDE, SIDE)."""
    holder = np.full((SIDE, SIDE), -1)
    holder[places[:, 1], places[:, 0]] = np.arange(len(places))
    distance, (rows, columns) = distance_transform_edt(holder < 0, return_indices=True)
    return distance, holder[rows, columns]


def _cut_out(image: SlideImage, corner: NDArray[np.float64], scale: float) -> NDArray[np.uint8]:
    """Return the part of the image that the square shows, paper around it."""
    height, width = image.pixels.shape[:2]
    per_pixel = image.scale / scale  # image pixels per pixel of the square
    left, top = corner * image.scale
    x0, x1 = (round(np.clip(edge / per_pixel, 0, SIDE)) for edge in (-left, width - left))
    y0, y1 = (round(np.clip(edge / per_pixel, 0, SIDE)) for edge in (-top, height - top))
    square = np.full((SIDE, SIDE, 3), PAPER, np.uint8)
    if x1 > x0 and y1 > y0:
        box = [left + per_pixel * x0, top + per_pixel * y0, left + per_pixel * x1]
        box = [*box, top + per_pixel * y1]
        part = Image.fromarray(np.ascontiguousarray(image.pixels)).resize(
            (x1 - x0, y1 - y0),
            Image.Resampling.BICUBIC,
            box=tuple(np.clip(box, 0, (width, height, width, height)).tolist()),
            reducing_gap=2.0,
        )
        square[y0:y1, x0:x1] = np.asarray(part)
    return square


_SPOT_COLOURS: WeakKeyDictionary[PublicSlide, NDArray[np.float64]] = WeakKeyDictionary()


def spot_colours(public: PublicSlide) -> NDArray[np.float64]:
    """Return a pale colour per spot, (N, 3), so that spots alike in their features look alike.

    The ranks on the first principal component of the features run from rose to blue, those on the
    second from dark to light.
    """
    if public not in _SPOT_COLOURS:
        _SPOT_COLOURS[public] = _feature_colours(public)
    return _SPOT_COLOURS[public]


def _feature_colours(public: PublicSlide) -> NDArray[np.float64]:
    if public.n_features == 0 or public.n_spots < 2:
        return np.tile(np.asarray(IN_REACH, np.float64), (public.n_spots, 1))
    values = public.standardised_features
    last = values.shape[1] - 1
    _, axes = eigh(values.T @ values, subset_by_index=[max(0, last - 1), last])
    scores = values @ axes[:, ::-1]
    peaks = np.abs(scores).argmax(axis=0)
    scores *= np.sign(scores[peaks, np.arange(scores.shape[1])])  # an axis has no direction
    ranks = scores.argsort(axis=0).argsort(axis=0) / (public.n_spots - 1)
    hue, light = ranks[:, :1], ranks[:, -1:]
    rose, blue = np.array((240, 190, 200)), np.array((185, 195, 240))
    return (rose + hue * (blue - rose)) * (0.86 + 0.17 * light)
