"""Spatial density: how much of the tissue lies within reach of a measured spot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.rewards.base import Potential, Setting, Term, shared_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray, IntArray
    from scr2st_env.slide import PublicSlide

POINTS_PER_DISC = 64
_SLACK = 1e-3  # of a pitch: float32 coordinates put a neighbour just inside or outside its reach


def cell_area(slide: PublicSlide) -> float:
    """Return the area of one spot's Voronoi cell, in squared coordinate units.

    pitch^2 on a square lattice (ST), sqrt(3)/2 pitch^2 on a hexagonal one (Visium). A lattice
    counts as hexagonal where the fifth nearest spot is typically about as near as the first four;
    on a square one it lies across the diagonal.
    """
    square = slide.pitch**2
    if slide.n_spots < 7:
        return square
    distances, _ = cKDTree(slide.coordinates).query(slide.coordinates, k=6)
    is_hexagonal = np.median(distances[:, 5]) < 1.2 * slide.pitch
    return float(np.sqrt(3) / 2 * square) if is_hexagonal else square


def reach(slide: PublicSlide, n_measured: int) -> float:
    """Return the radius within which a measured spot stands for its surroundings.

    r = max(pitch, sqrt(2 A / (3 sqrt(3) k))), A the tissue's area (N Voronoi cells): discs of
    this radius around a perfect hexagonal lattice of k spots just cover the area A (Kershner,
    The number of circles covering a set, 1939).

    Parameters
    ----------
    slide
        The public part of a slide.
    n_measured
        k, the measured spots when the budget is spent.

    Returns
    -------
    float
        In coordinate units, micrometres where the scale is known.
    """
    area = slide.n_spots * cell_area(slide)
    return max(slide.pitch, float(np.sqrt(2 * area / (3 * np.sqrt(3) * n_measured))))


def quadrature(slide: PublicSlide, radius: float) -> tuple[IntArray, NDArray[np.float64]]:
    """Return which points of the tissue each spot reaches, and what the points weigh.

    The points are the spots themselves while a disc holds at most 64 of them. Otherwise spots
    that share a square of a coarse raster are merged into one point at their centre of mass, so
    that a purchase costs the same on a slide of any size.

    Parameters
    ----------
    slide
        The public part of a slide, N spots.
    radius
        Reach of a spot, in coordinate units.

    Returns
    -------
    reached : ndarray of int32, shape (N, at most 64)
        Points within reach of each spot, filled up with Q.
    weights : ndarray of float64, shape (Q + 1,)
        Tissue at each point, by ``tissue_density``; sums to 1, the last entry is 0.
    """
    mass = slide.tissue_density.astype(np.float64)
    mass /= mass.sum()
    side = 0.0
    if np.pi * radius**2 > 1.5 * POINTS_PER_DISC * cell_area(slide):
        side = radius / 4.0
    while True:
        points, weights = _raster(slide.coordinates.astype(np.float64), mass, side)
        neighbours = _reached(slide.coordinates, points, radius + _SLACK * slide.pitch)
        if neighbours is not None:
            return neighbours, np.append(weights, 0.0)
        side = max(1.1 * side, radius / 4.0)


def _raster(
    coordinates: NDArray[np.float64], mass: NDArray[np.float64], side: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if side == 0:
        return coordinates, mass
    squares = np.floor((coordinates - coordinates.min(axis=0)) / side).astype(np.int64)
    _, square = np.unique(squares, axis=0, return_inverse=True)
    n_spots = np.bincount(square)
    centres = [np.bincount(square, axis) / n_spots for axis in coordinates.T]
    return np.stack(centres, axis=1), np.bincount(square, mass).astype(np.float64)


def _reached(
    coordinates: NDArray[np.float32], points: NDArray[np.float64], radius: float
) -> IntArray | None:
    tree = cKDTree(points)
    _, neighbours = tree.query(
        coordinates, k=np.arange(1, POINTS_PER_DISC + 2), distance_upper_bound=radius
    )
    fits = (neighbours[:, POINTS_PER_DISC] == len(points)).all()
    if not fits:
        return None
    widest = int((neighbours < len(points)).sum(axis=1).max())
    return neighbours[:, :widest].astype(np.int32)


@dataclass(frozen=True)
class SpatialDensity(Term):
    """Share of the tissue within reach of a measured spot, weighted by tissue density.

    Phi(S) = sum of the weights of the points that lie within r of a spot of S (:func:`reach`).
    It uses nothing but public data. Clumped spots share their surroundings and earn little.
    """

    name: ClassVar[str] = "density"

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        public = setting.slide.public
        reached, weights = shared_table(
            setting.slide,
            ("quadrature", setting.n_measured),
            lambda: quadrature(public, reach(public, setting.n_measured)),
        )
        return _SpatialDensity(reached, weights)


class _SpatialDensity:
    def __init__(self, reached: IntArray, weights: NDArray[np.float64]) -> None:
        self._reached = reached  # (N, at most 64)
        self._weights = weights  # (Q + 1,)

    def reset(self, initial: IntArray) -> None:
        self._is_covered: BoolArray = np.zeros(len(self._weights), bool)
        self._covered = 0.0
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            points = self._reached[spot]
            fresh = points[~self._is_covered[points]]
            self._covered += float(self._weights[fresh].sum())
            self._is_covered[fresh] = True

    @property
    def value(self) -> float:
        return self._covered
