"""Smooth random fields, from which everything in the synthetic tissue takes its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

GRID_UM = 10.0


@dataclass(frozen=True)
class Canvas:
    """A square of glass, on whose grid of 10 um cells the fields are drawn.

    Parameters
    ----------
    n_cells
        Grid cells along a side.
    """

    n_cells: int

    @property
    def side(self) -> float:
        """Length of a side, um."""
        return self.n_cells * GRID_UM

    @property
    def centres(self) -> Array:
        """Positions (x, y) of the grid cells, um, (n_cells, n_cells, 2)."""
        along = (np.arange(self.n_cells) + 0.5) * GRID_UM
        return np.stack(np.meshgrid(along, along), axis=-1)

    def field(self, rng: np.random.Generator, length: float) -> Array:
        """Draw a Gaussian random field.

        Parameters
        ----------
        rng
            Where chance comes from.
        length
            Standard deviation of the smoothing kernel, um: features are about 3 lengths wide.

        Returns
        -------
        ndarray of float64, shape (n_cells, n_cells)
            Indexed [y, x]; mean 0, variance 1 over many draws.
        """
        # A long field is drawn coarsely and enlarged; six cells a length lose nothing.
        step = max(1, int(length / GRID_UM / 6))
        width = length / GRID_UM / step
        # A margin beyond the canvas keeps opposite edges independent.
        margin = int(np.ceil(3 * width))
        n_inner = -(-self.n_cells // step) + 1
        noise = rng.standard_normal((n_inner + 2 * margin,) * 2)
        smooth = ndimage.gaussian_filter(noise, width, mode="wrap", truncate=3.0)
        inner = smooth[margin : margin + n_inner, margin : margin + n_inner]
        inner = ndimage.zoom(inner, step, order=1, mode="nearest", grid_mode=True)
        return inner[: self.n_cells, : self.n_cells] * (2 * np.sqrt(np.pi) * width)

    def jittered_lattice(self, rng: np.random.Generator, spacing: float, jitter: float) -> Array:
        """Draw points (x, y) that keep apart: a lattice, each point moved by chance.

        Parameters
        ----------
        rng
            Where chance comes from.
        spacing
            Of the lattice, um.
        jitter
            Largest move along each axis, um.

        Returns
        -------
        ndarray of float64, shape (n, 2)
        """
        along = np.arange(spacing / 2, self.side, spacing)
        points = np.stack(np.meshgrid(along, along), axis=-1)
        points[1::2, :, 0] += spacing / 2
        points = points.reshape(-1, 2)
        return points + rng.uniform(-jitter, jitter, points.shape)


def at_points(field: ArrayLike, points: ArrayLike) -> Array:
    """Read fields at points by linear interpolation.

    Parameters
    ----------
    field
        (n, n), or several of them, (k, n, n).
    points
        (x, y) in um, (m, 2).

    Returns
    -------
    ndarray of float64, shape (m,) or (m, k)
    """
    values = np.asarray(field, np.float64)
    rows_columns = np.asarray(points, np.float64)[:, ::-1].T / GRID_UM - 0.5
    if values.ndim == 2:
        return ndimage.map_coordinates(values, rows_columns, order=1, mode="nearest")
    return np.stack([at_points(one, points) for one in values], axis=1)


def at_pixels(field: ArrayLike, um_per_px: float) -> NDArray[np.float32]:
    """Enlarge a field to the pixels of a picture of the whole canvas, float32, (h, w)."""
    small = Image.fromarray(np.asarray(field, np.float32))
    width, height = (round(side * GRID_UM / um_per_px) for side in small.size)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
