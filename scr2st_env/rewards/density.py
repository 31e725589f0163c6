"""Spatial density: how much of the tissue lies within reach of a measured spot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.rewards.base import BatchedPotential, Potential, Setting, Term, shared_table
from scr2st_env.rewards.compiled import kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import IntArray
    from scr2st_env.rewards.base import Rows, SpotArray
    from scr2st_env.slide import PublicSlide

    PointArray = NDArray[np.intp] | NDArray[np.int32]

POINTS_PER_DISC = 64
_LARGE_TABLE = 8_000_000  # entries
_ROWS_AT_ONCE = 65_536
_NARROW = 24  # points of a disc; up to here a loop is faster than three calls of NumPy
SLACK = 1e-3  # of a pitch: float32 coordinates put a neighbour just inside or outside its reach


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
    area = slide.n_spots * slide.cell_area
    return max(slide.pitch, float(np.sqrt(2 * area / (3 * np.sqrt(3) * n_measured))))


def quadrature(slide: PublicSlide, radius: float) -> tuple[PointArray, NDArray[np.float64]]:
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
    reached : ndarray of intp, shape (N, at most 64)
        Points within reach of each spot, filled up with Q; of int32, half the memory and slower
        to look up, where the table has more than 8 million entries.
    weights : ndarray of float64, shape (Q + 1,)
        Tissue at each point, by ``tissue_density``; sums to 1, the last entry is 0.
    """
    mass = slide.tissue_density.astype(np.float64)
    mass /= mass.sum()
    side = 0.0
    if np.pi * radius**2 > 1.5 * POINTS_PER_DISC * slide.cell_area:
        side = radius / 4.0
    while True:
        points, weights = _raster(slide.coordinates.astype(np.float64), mass, side)
        neighbours = _reached(slide.coordinates, points, radius + SLACK * slide.pitch)
        if neighbours is not None:
            return neighbours, np.append(weights, 0.0)
        side = max(1.1 * side, radius / 4.0)


def _raster(
    coordinates: NDArray[np.float64], mass: NDArray[np.float64], side: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if side == 0:
        return coordinates, mass
    column, row = np.floor((coordinates - coordinates.min(axis=0)) / side).astype(np.int64).T
    _, square = np.unique(column * (row.max() + 1) + row, return_inverse=True)
    n_spots = np.bincount(square)
    centres = [np.bincount(square, axis) / n_spots for axis in coordinates.T]
    return np.stack(centres, axis=1), np.bincount(square, mass).astype(np.float64)


def _reached(
    coordinates: NDArray[np.float32], points: NDArray[np.float64], radius: float
) -> PointArray | None:
    tree, n_points = cKDTree(points), len(points)
    reached = np.full((len(coordinates), POINTS_PER_DISC), n_points, np.int32)
    widest = 0
    for start in range(0, len(coordinates), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        _, neighbours = tree.query(
            coordinates[block], k=POINTS_PER_DISC + 1, distance_upper_bound=radius
        )
        if (neighbours[:, POINTS_PER_DISC] < n_points).any():
            return None
        reached[block] = neighbours[:, :POINTS_PER_DISC]
        widest = max(widest, int((neighbours < n_points).sum(axis=1).max()))
    kept = reached[:, :widest]
    is_small = kept.size <= _LARGE_TABLE
    return kept.astype(np.intp) if is_small else np.ascontiguousarray(kept)


@dataclass(frozen=True)
class SpatialDensity(Term):
    """Share of the tissue within reach of a measured spot, weighted by tissue density.

    Phi(S) = sum of the weights of the points that lie within r of a spot of S (:func:`reach`).
    It uses nothing but public data. Clumped spots share their surroundings and earn little.
    """

    name: ClassVar[str] = "density"

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        reached, weights = self._tables(setting)
        if kernels is not None:
            return kernels.SpatialDensity(reached, weights)
        discs = _NarrowDiscs if reached.shape[1] <= _NARROW else _WideDiscs
        return discs(reached, weights)

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedPotential:
        """Return the potential of many episodes on one slide."""
        return _BatchedSpatialDensity(*self._tables(setting), n_episodes)

    def _tables(self, setting: Setting) -> tuple[PointArray, NDArray[np.float64]]:
        public = setting.slide.public
        return shared_table(
            setting.slide,
            ("quadrature", setting.n_measured),
            lambda: quadrature(public, reach(public, setting.n_measured)),
        )


class _NarrowDiscs:
    def __init__(self, reached: PointArray, weights: NDArray[np.float64]) -> None:
        self._reached = reached  # (N, at most 64)
        self._weights = weights.tolist()  # Q + 1

    def reset(self, initial: IntArray) -> None:
        self._left = self._weights.copy()  # tissue that is out of reach
        self.value = 0.0
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        left, gained = self._left, 0.0
        for spot in spots:
            for point in self._reached[spot].tolist():
                weight = left[point]
                if weight:
                    gained += weight
                    left[point] = 0.0
        self.value += gained


class _WideDiscs:
    def __init__(self, reached: PointArray, weights: NDArray[np.float64]) -> None:
        self._reached = reached  # (N, at most 64)
        self._weights = weights  # (Q + 1,)
        self._ones = np.ones(reached.shape[1])

    def reset(self, initial: IntArray) -> None:
        self._left = self._weights.copy()  # tissue that is out of reach
        self.value = 0.0
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            points = self._reached[spot].astype(np.intp, copy=False)
            self.value += float(np.dot(self._left[points], self._ones))
            self._left[points] = 0.0


class _BatchedSpatialDensity:
    def __init__(self, reached: PointArray, weights: NDArray[np.float64], n_episodes: int) -> None:
        self._reached = reached  # (N, at most 64)
        self._weights = weights  # (Q + 1,)
        self._is_left = np.ones(n_episodes * len(weights), bool)
        self._start = np.arange(n_episodes)[:, None] * len(weights)
        self._covered = np.zeros(n_episodes)
        # Written over at every step: memory of its own for each is most of what a step would take.
        self._places = np.empty((n_episodes, reached.shape[1]), np.intp)
        self._worth = np.empty(self._places.shape)
        self._was_left = np.empty(self._places.shape, bool)

    def reset(self, rows: Rows, initial: IntArray) -> None:
        left = np.ones(len(self._weights), bool)
        left[self._reached[initial]] = False
        self._is_left.reshape(-1, len(left))[rows] = left
        self._covered[rows] = self._weights[~left].sum()

    def add(self, rows: Rows, spots: SpotArray) -> None:
        n_spots = len(spots)
        places, worth = self._places[:n_spots], self._worth[:n_spots]
        was_left = self._was_left[:n_spots]
        # mode="clip", with indices that are in range anyway, lets take write without a buffer.
        np.copyto(places, self._reached.take(spots, axis=0))
        self._weights.take(places, out=worth, mode="clip")
        places += self._start[rows]
        self._is_left.take(places, out=was_left, mode="clip")
        self._is_left[places] = False
        self._covered[rows] += np.einsum("ep,ep->e", worth, was_left)

    def values(self, rows: Rows) -> NDArray[np.float64]:
        return self._covered[rows]
