"""The cells of a section: where they lie, of which type, in which state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.synthetic.fields import at_points
from scr2st_env.synthetic.programs import (
    ADIPOCYTE,
    B_CELL,
    ENDOTHELIAL,
    EPITHELIUM,
    MYELOID,
    N_STATES,
    N_TYPES,
    STROMA,
    T_CELL,
    TUMOUR,
)
from scr2st_env.synthetic.regions import (
    FAT_REGION,
    GLAND_REGION,
    LYMPHOID_REGION,
    SPOT_UM,
    STROMA_REGION,
    TUMOUR_REGION,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.synthetic.programs import Patient
    from scr2st_env.synthetic.regions import Anatomy, Rings

    Array = NDArray[np.float64]

_SPACING_UM = 12.0  # cells of dense tissue stand about this far apart
_NICHE_WEIGHTS = np.array([[0.85, 0.45, 0.3], [-0.45, 0.8, 0.4]])  # (K, 3 niches)
_OWN_STATE = 0.7  # standard deviation of what a cell's state owes to nothing around it

# Cells per square millimetre.
_STROMA_DENSITY = {STROMA: 950, T_CELL: 110, B_CELL: 25, MYELOID: 130, ENDOTHELIAL: 60}
_NEST_DENSITY = {TUMOUR: 3300, STROMA: 80, T_CELL: 140, MYELOID: 130}
_FAT_DENSITY = {STROMA: 500, T_CELL: 40, MYELOID: 150, ENDOTHELIAL: 250}
_FOLLICLE_DENSITY = {B_CELL: 3300, T_CELL: 900, MYELOID: 200, STROMA: 120}
_ROUND_FOLLICLES_DENSITY = {T_CELL: 2900, B_CELL: 500, MYELOID: 350, STROMA: 200}
_GLAND_WALL_DENSITY = {EPITHELIUM: 5600, T_CELL: 120}
_VESSEL_WALL_DENSITY = {ENDOTHELIAL: 5000}


@dataclass(frozen=True)
class Cells:
    """The cells of a section.

    Parameters
    ----------
    places
        Positions (x, y), um, (n, 2).
    types
        Index of each cell's type, (n,).
    states
        Place along the type's state axes, (n, K).
    """

    places: Array  # (n, 2)
    types: NDArray[np.int64]  # (n,)
    states: Array  # (n, K)

    def in_spots(self, spots: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (spot, cell) for every cell in one of the spots (N, 2), in order.

        A spot without a cell in it takes the nearest one.
        """
        tree = cKDTree(self.places)
        _, nearest = tree.query(spots)
        members = tree.query_ball_point(spots, SPOT_UM / 2, return_sorted=True)
        members = [inside or [only] for inside, only in zip(members, nearest, strict=True)]
        cells = np.concatenate([np.asarray(inside, np.int64) for inside in members])
        sizes = [len(inside) for inside in members]
        return np.repeat(np.arange(len(spots)), sizes), cells


def place_cells(anatomy: Anatomy, patient: Patient, rng: np.random.Generator) -> Cells:
    """Fill a section with cells.

    Parameters
    ----------
    anatomy
        What the cells follow.
    patient
        Whose densities to use.
    rng
        Where chance comes from.

    Returns
    -------
    Cells
    """
    sites = anatomy.canvas.jittered_lattice(rng, _SPACING_UM, 4.0)
    on_tissue = at_points(anatomy.outline, sites) > 0
    sites = sites[on_tissue & ~anatomy.fat.inside(sites)]
    chances = _densities(anatomy, sites) * patient.type_bias * (_SPACING_UM / 1000) ** 2
    heaped = chances.cumsum(axis=1)
    heaped /= np.maximum(1, heaped[:, -1:])
    kinds = (rng.random((len(sites), 1)) > heaped).sum(axis=1)  # N_TYPES: nobody
    settled = kinds < N_TYPES

    seeds = anatomy.fat.centres[anatomy.fat.is_fat]
    seeds = seeds[at_points(anatomy.outline, seeds) > 0]
    places = np.concatenate([sites[settled], seeds])
    types = np.concatenate([kinds[settled], np.full(len(seeds), ADIPOCYTE)])
    around = at_points(anatomy.niches, places) @ _NICHE_WEIGHTS.T
    return Cells(places, types, around + _OWN_STATE * rng.standard_normal((len(places), N_STATES)))


def _densities(anatomy: Anatomy, sites: Array) -> Array:
    """Cells per square millimetre of each type at each site, (n, T)."""
    share = at_points(anatomy.regions, sites)
    nest = _step(at_points(anatomy.nests, sites))[:, None]
    follicle = _step(at_points(anatomy.follicles, sites))[:, None]
    stroma = _per_type(_STROMA_DENSITY)
    of_region = {
        TUMOUR_REGION: nest * _per_type(_NEST_DENSITY) + (1 - nest) * stroma,
        STROMA_REGION: stroma,
        FAT_REGION: _per_type(_FAT_DENSITY),
        GLAND_REGION: stroma,
        LYMPHOID_REGION: follicle * _per_type(_FOLLICLE_DENSITY)
        + (1 - follicle) * _per_type(_ROUND_FOLLICLES_DENSITY),
    }
    densities = sum(share[:, [region]] * density for region, density in of_region.items())
    densities = np.broadcast_to(densities, (len(sites), N_TYPES)).copy()
    for rings, wall in (
        (anatomy.glands, _GLAND_WALL_DENSITY),
        (anatomy.vessels, _VESSEL_WALL_DENSITY),
    ):
        _line(densities, rings, sites, _per_type(wall))
    return densities


def _line(densities: Array, rings: Rings, sites: Array, wall_density: Array) -> None:
    depth = rings.depth(sites)
    densities[depth > 0] = wall_density
    densities[depth > rings.wall] = 0


def _step(values: Array) -> Array:
    """Go softly from 0 to 1 where the values change sign."""
    return 1 / (1 + np.exp(-6 * values))


def _per_type(density: dict[int, int]) -> Array:
    values = np.zeros(N_TYPES)
    values[list(density)] = list(density.values())
    return values
