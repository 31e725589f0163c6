"""Where the spots of a slide lie, and how far apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.arrays import FloatArray, finite_matrix
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def checked_coordinates(coordinates: ArrayLike, where: str) -> FloatArray:
    """Return positions (x, y) as a read-only float32 array, (N, 2).

    Raises
    ------
    InputError
        If there is no spot, the shape is another, a value is not finite, or two spots lie at one
        place.
    """
    xy = finite_matrix(coordinates, f"{where} coordinates")
    if len(xy) == 0 or xy.shape[1] != 2:
        raise InputError(f"{where} coordinates must be (N, 2) with N >= 1, got {xy.shape}")
    order = np.lexsort(xy.T)
    same = np.flatnonzero((xy[order[1:]] == xy[order[:-1]]).all(axis=1))
    if same.size:
        one, other = sorted(order[same[0] : same[0] + 2].tolist())
        x, y = xy[one].tolist()
        raise InputError(
            f"{where} spots {one} and {other} lie at one place ({x:g}, {y:g}), as do {same.size} "
            "pairs in all; give every spot its own coordinates, or drop or merge these spots"
        )
    return xy


def measured_pitch(coordinates: FloatArray) -> float:
    """Return the median distance to the four nearest spots; 1 for a spot without neighbours.

    Four, because registration to the image shakes the lattice: the nearest of all comes out
    8 % short on HER2ST's 200 um lattice.
    """
    if len(coordinates) == 1:
        return 1.0
    distances, _ = cKDTree(coordinates).query(coordinates, k=min(5, len(coordinates)))
    return float(np.median(distances[:, 1:]))


def voronoi_area(coordinates: FloatArray, pitch: float) -> float:
    """Return the area of one spot's Voronoi cell, in squared coordinate units.

    pitch^2 on a square lattice (ST), sqrt(3)/2 pitch^2 on a hexagonal one (Visium). A lattice
    counts as hexagonal where the fifth nearest spot is typically about as near as the first four;
    on a square one it lies across the diagonal.
    """
    square = pitch**2
    if len(coordinates) < 7:
        return square
    distances, _ = cKDTree(coordinates).query(coordinates, k=6)
    is_hexagonal = np.median(distances[:, 5]) < 1.2 * pitch
    return float(np.sqrt(3) / 2 * square) if is_hexagonal else square
