"""The anatomy of a section: outline, regions, tumour nests, glands, vessels and fat.

Coarse regions are a softmax of smooth random fields; nests, glands, vessels and fat cells are
small beside a spot, so that where one samples within a region matters too. Sections of one patient
share most of every field, as serial sections do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.synthetic.fields import GRID_UM, Canvas, at_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.synthetic.programs import Patient

    Array = NDArray[np.float64]

REGIONS = ("tumour", "stroma", "fat", "glands", "lymphoid")
TUMOUR_REGION, STROMA_REGION, FAT_REGION, GLAND_REGION, LYMPHOID_REGION = range(5)
PITCH_UM = 200.0
SPOT_UM = 100.0
MARGIN_UM = 200.0

_LENGTHS = (420.0, 330.0, 380.0, 320.0, 190.0)  # um, of each region's field
_CONTRAST = (2.4, 1.8, 2.6, 2.2, 2.6)
_PRIOR = (0.9, 0.6, -0.6, -1.3, -1.6)
_SHARED = 0.8  # share of a field's variance that serial sections have in common


@dataclass(frozen=True)
class Rings:
    """Round structures with a lumen: glands and vessels.

    Parameters
    ----------
    centres
        (n, 2), um.
    radii
        Outer radii, (n,), um.
    wall
        Thickness of the wall, um.
    """

    centres: Array  # (n, 2)
    radii: Array  # (n,)
    wall: float

    def depth(self, points: Array) -> Array:
        """Return how deep points (m, 2) lie inside the nearest ring, um: negative outside, (m,)."""
        if len(self.centres) == 0:
            return np.full(len(points), -np.inf)
        n_near = min(3, len(self.centres))
        distance, index = cKDTree(self.centres).query(points, k=n_near)
        depth = self.radii[index] - distance
        return depth.reshape(len(points), n_near).max(axis=1)


@dataclass(frozen=True)
class FatCells:
    """Fat as Voronoi cells: each is a hole in the picture with a thin wall.

    Parameters
    ----------
    centres
        All seeds, (n, 2), um.
    is_fat
        Seeds that are fat cells, (n,).
    """

    centres: Array  # (n, 2)
    is_fat: NDArray[np.bool_]  # (n,)

    def inside(self, points: Array, wall: float = 7.0) -> NDArray[np.bool_]:
        """Return which points (m, 2) lie inside a fat cell and off its wall, (m,)."""
        distance, index = cKDTree(self.centres).query(points, k=2)
        off_wall = distance[:, 1] - distance[:, 0] > wall
        return self.is_fat[index[:, 0]] & off_wall & (distance[:, 0] < 36.0)


@dataclass(frozen=True)
class Anatomy:
    """Everything about a section that cells follow.

    Parameters
    ----------
    canvas
        The glass.
    outline
        Positive where there is tissue, (n, n).
    spots
        Centres of the spots, (N, 2), um.
    regions
        Share of each region, (R, n, n), sums to 1.
    nests
        Positive inside tumour nests, (n, n).
    follicles
        Positive where B cells rule the lymphoid tissue, (n, n).
    fibres
        Collagen runs along the level lines of this field, (n, n).
    niches
        Three fields (coarse, medium, fine) that cell states follow, (3, n, n).
    glands, vessels
        Round structures.
    fat
        Fat cells.
    """

    canvas: Canvas
    outline: Array  # (n, n)
    spots: Array  # (N, 2)
    regions: Array  # (R, n, n)
    nests: Array  # (n, n)
    follicles: Array  # (n, n)
    fibres: Array  # (n, n)
    niches: Array  # (3, n, n)
    glands: Rings
    vessels: Rings
    fat: FatCells

    @classmethod
    def draw(
        cls,
        patient: Patient,
        n_spots: int,
        patient_rng: np.random.Generator,
        section_rng: np.random.Generator,
    ) -> Anatomy:
        """Draw the anatomy of a section.

        Parameters
        ----------
        patient
            Whose liking for regions to follow.
        n_spots
            N: the outline is cut so that exactly as many spots of the lattice lie on tissue.
        patient_rng
            The same for all sections of a patient.
        section_rng
            The section's own.

        Returns
        -------
        Anatomy
        """
        side = 1.5 * PITCH_UM * np.sqrt(n_spots) + 2 * MARGIN_UM
        canvas = Canvas(int(np.ceil(side / GRID_UM)))

        def field(length: float) -> Array:
            common, own = canvas.field(patient_rng, length), canvas.field(section_rng, length)
            return np.sqrt(_SHARED) * common + np.sqrt(1 - _SHARED) * own

        outline, spots = _outline(canvas, 0.16 * field(420.0) + 0.014 * field(35.0), n_spots)
        logits = np.stack(
            [
                prior + bias + contrast * field(length)
                for prior, bias, contrast, length in zip(
                    _PRIOR, patient.region_bias, _CONTRAST, _LENGTHS, strict=True
                )
            ]
        )
        regions = np.exp(1.6 * (logits - logits.max(axis=0)))
        regions /= regions.sum(axis=0)
        return cls(
            canvas=canvas,
            outline=outline,
            spots=spots,
            regions=regions,
            nests=field(38.0) + 0.6 * field(90.0) + patient.nest_bias,
            follicles=field(60.0),
            fibres=field(190.0) + 0.09 * field(40.0),
            niches=np.stack([field(420.0), field(200.0), field(70.0)]),
            glands=_rings(section_rng, canvas, regions[GLAND_REGION], 260.0, (40.0, 85.0), 17.0),
            vessels=_rings(section_rng, canvas, 0.25 * (1 - regions[2]), 170.0, (14.0, 34.0), 9.0),
            fat=_fat_cells(section_rng, canvas, regions[FAT_REGION]),
        )


def _outline(canvas: Canvas, wobble: Array, n_spots: int) -> tuple[Array, Array]:
    from_centre = np.linalg.norm(canvas.centres - canvas.side / 2, axis=-1)
    height = wobble - (from_centre / (canvas.side / 2)) ** 2
    along = np.arange(MARGIN_UM, canvas.side - MARGIN_UM, PITCH_UM)
    lattice = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    heights = at_points(height, lattice)
    chosen = np.sort(np.argsort(-heights, kind="stable")[:n_spots])
    return height - heights[chosen].min() + 0.02, lattice[chosen]


def _rings(
    rng: np.random.Generator,
    canvas: Canvas,
    liking: Array,
    spacing: float,
    radii: tuple[float, float],
    wall: float,
) -> Rings:
    centres = canvas.jittered_lattice(rng, spacing, spacing / 3)
    present = rng.random(len(centres)) < at_points(liking, centres)
    sizes = rng.uniform(*radii, len(centres))
    return Rings(centres[present], sizes[present], wall)


def _fat_cells(rng: np.random.Generator, canvas: Canvas, share: Array) -> FatCells:
    centres = canvas.jittered_lattice(rng, 52.0, 16.0)
    threshold = rng.normal(0.5, 0.12, len(centres))
    return FatCells(centres, at_points(share, centres) > threshold)
