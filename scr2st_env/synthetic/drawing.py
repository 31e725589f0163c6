"""Drawing a section as haematoxylin and eosin stain it.

Absorption follows Beer and Lambert: light I = I0 exp(-(H h + E e)), with H and E the amounts of the
two stains at a pixel and h, e their optical densities in red, green and blue (Ruifrok & Johnston,
Quantification of histochemical staining by color deconvolution, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from scr2st_env.synthetic.fields import at_pixels, at_points
from scr2st_env.synthetic.programs import ADIPOCYTE
from scr2st_env.synthetic.regions import (
    FAT_REGION,
    LYMPHOID_REGION,
    TUMOUR_REGION,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.synthetic.cells import Cells
    from scr2st_env.synthetic.programs import Patient
    from scr2st_env.synthetic.regions import Anatomy

    Array = NDArray[np.float64]
    Stain = NDArray[np.float32]

UM_PER_PX = 2.0
PATCH_PX = 80  # 160 um: the spot and a little around it

# Half axes (um) and darkness of each type's nuclei, in the order of TYPE_NAMES.
_HALF_LENGTH = np.array([5.6, 7.2, 3.4, 3.6, 5.0, 6.6, 5.0, 4.8])
_HALF_WIDTH = np.array([4.4, 2.4, 3.2, 3.4, 3.5, 2.2, 2.4, 3.7])
_DARKNESS = np.array([1.5, 1.6, 2.4, 2.1, 1.6, 1.8, 1.7, 1.9])
_SPINDLE = np.array([False, True, False, False, False, True, False, False])
_BACKGROUND = np.array([241.0, 238.0, 244.0])
_STAMP_RADIUS_PX = 5


@dataclass(frozen=True)
class _Nuclei:
    places: Array  # (n, 2), pixels
    half_axes: Array  # (n, 2), pixels
    angles: Array  # (n,)
    darkness: Array  # (n,)


def draw_section(
    anatomy: Anatomy, cells: Cells, patient: Patient, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw the whole canvas.

    Parameters
    ----------
    anatomy, cells
        What is there.
    patient
        Whose stains and nuclei to use.
    rng
        Where chance comes from.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        RGB at :data:`UM_PER_PX`; pixel (x, y) covers x * UM_PER_PX um from the left.
    """
    haematoxylin, eosin = _ground(anatomy, rng)
    _stamp(haematoxylin, _nuclei(anatomy, cells, patient, rng))
    density = np.tensordot(
        np.stack([haematoxylin, eosin], axis=-1), patient.stains.astype(np.float32), axes=1
    )
    light = _BACKGROUND.astype(np.float32) * np.exp(-density)
    light = ndimage.gaussian_filter(light, (0.55, 0.55, 0))
    light += 3.0 * rng.standard_normal(light.shape, np.float32)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _ground(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Stain, Stain]:
    """Amounts of haematoxylin and eosin between the nuclei."""

    def enlarged(field: Array) -> Stain:
        return at_pixels(field, UM_PER_PX)

    tissue = enlarged(anatomy.outline) > 0
    shape = tissue.shape
    grain = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 1.2) * 4.2
    blotches = enlarged(anatomy.canvas.field(rng, 22.0))
    nest = 1 / (1 + np.exp(-6 * enlarged(anatomy.nests)))
    tumour = enlarged(anatomy.regions[TUMOUR_REGION]) * nest
    lymphoid = enlarged(anatomy.regions[LYMPHOID_REGION])
    dense = np.clip(tumour + lymphoid, 0, 1)

    streaks = np.sin(34 * enlarged(anatomy.fibres) + 2.0 * blotches)
    strength = np.clip(0.13 + 0.11 * enlarged(anatomy.canvas.field(rng, 70.0)), 0.02, None)
    collagen = 0.62 + strength * streaks + 0.12 * blotches + 0.2 * enlarged(anatomy.niches[1])
    eosin = (1 - dense) * np.clip(collagen, 0.12, None) + dense * (0.40 + 0.09 * blotches)
    haematoxylin = 0.1 + 0.16 * tumour + 0.22 * lymphoid + 0.02 * blotches
    eosin *= 1 + 0.10 * grain
    haematoxylin *= 1 + 0.12 * grain

    for rings, wall_eosin, lumen_eosin in (
        (anatomy.glands, 0.5, 0.02),
        (anatomy.vessels, 0.65, 0.3),
    ):
        rows, columns, depth = _ring_pixels(rings.centres, rings.radii, shape)
        wall = depth > 0
        lumen = depth > rings.wall
        eosin[rows[wall], columns[wall]] = wall_eosin
        eosin[rows[lumen], columns[lumen]] = lumen_eosin
        haematoxylin[rows[lumen], columns[lumen]] = 0.02
    rows, columns = np.nonzero(tissue & (enlarged(anatomy.regions[FAT_REGION]) > 0.05))
    places = UM_PER_PX * (0.5 + np.stack([columns, rows], axis=1).astype(np.float64))
    hole = anatomy.fat.inside(places)
    for stain in (haematoxylin, eosin):
        stain[rows[hole], columns[hole]] = 0.02
        stain[~tissue] = 0.0
    return haematoxylin, eosin


def _ring_pixels(
    centres: Array, radii: Array, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Rows and columns of the pixels around rings, and their depth inside, um."""
    reach = int(np.ceil(radii.max(initial=0) / UM_PER_PX)) + 1
    along = np.arange(-reach, reach + 1)
    offset = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    pixels = np.rint(centres / UM_PER_PX).astype(int)[:, None] + offset  # (n, k, 2)
    away = np.linalg.norm((pixels + 0.5) * UM_PER_PX - centres[:, None], axis=-1)
    depth = radii[:, None] - away
    inside = (depth > 0) & (pixels >= 0).all(-1) & (pixels < shape[0]).all(-1)
    columns, rows = pixels[inside].T
    return rows, columns, depth[inside]


def _nuclei(anatomy: Anatomy, cells: Cells, patient: Patient, rng: np.random.Generator) -> _Nuclei:
    kinds, n_cells = cells.types, len(cells.types)
    larger, darker = (cells.states @ patient.state_look).T
    size = patient.nucleus_size[kinds] * np.exp(larger + 0.12 * rng.standard_normal(n_cells))
    darkness = _DARKNESS[kinds] * patient.nucleus_darkness[kinds]
    darkness *= np.exp(darker + 0.15 * rng.standard_normal(n_cells))
    slope_y, slope_x = np.gradient(anatomy.fibres)
    along_fibre = np.arctan2(-at_points(slope_x, cells.places), at_points(slope_y, cells.places))
    angles = np.where(
        _SPINDLE[kinds],
        along_fibre + 0.3 * rng.standard_normal(n_cells),
        rng.uniform(0, np.pi, n_cells),
    )
    half_axes = np.stack([_HALF_LENGTH[kinds], _HALF_WIDTH[kinds]], axis=1) * size[:, None]
    # The nucleus of a fat cell is pressed against its wall.
    aside = np.where(kinds == ADIPOCYTE, 22.0, 0.0)[:, None]
    turn = rng.uniform(0, 2 * np.pi, n_cells)
    places = cells.places + aside * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return _Nuclei(places / UM_PER_PX, half_axes / UM_PER_PX, angles, darkness)


def _stamp(haematoxylin: Stain, nuclei: _Nuclei) -> None:
    """Add soft-edged ellipses; where two overlap the darker one shows."""
    along = np.arange(-_STAMP_RADIUS_PX, _STAMP_RADIUS_PX + 1)
    offset = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    pixels = np.floor(nuclei.places).astype(int)[:, None] + offset  # (n, k, 2)
    x, y = np.moveaxis(pixels + 0.5 - nuclei.places[:, None], -1, 0)
    cos, sin = np.cos(nuclei.angles)[:, None], np.sin(nuclei.angles)[:, None]
    long, wide = nuclei.half_axes[:, :1], nuclei.half_axes[:, 1:]
    radius = np.hypot((x * cos + y * sin) / long, (y * cos - x * sin) / wide)
    cover = np.clip((1 - radius) * np.sqrt(long * wide) + 0.5, 0, 1)
    touched = (cover > 0) & (pixels >= 0).all(-1) & (pixels < len(haematoxylin)).all(-1)
    columns, rows = pixels[touched].T
    amount = (cover * nuclei.darkness[:, None])[touched].astype(np.float32)
    np.maximum.at(haematoxylin, (rows, columns), amount)
