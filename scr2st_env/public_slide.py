"""The part of a slide that everybody may see. Nothing in this file knows of expression."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from scr2st_env.arrays import (
    BoolArray,
    FloatArray,
    Shared,
    finite_matrix,
    freeze_in_place,
    frozen,
)
from scr2st_env.errors import InputError
from scr2st_env.lattice import checked_coordinates, measured_pitch, voronoi_area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.sidecar import Tree

_COLUMNS_AT_ONCE = 8  # of the features, in float64


@dataclass(frozen=True, eq=False)
class SlideImage(Shared):
    """The picture of a section.

    Parameters
    ----------
    pixels
        RGB, uint8, shape (height, width, 3).
    scale
        Pixels per coordinate unit: ``coordinates * scale`` is a position (x, y) in ``pixels``.

    Raises
    ------
    InputError
        If the pixels have another type or shape, or the scale is not positive.
    """

    pixels: NDArray[np.uint8]  # (height, width, 3)
    scale: float

    def __post_init__(self) -> None:
        """Check both, and keep a read-only copy of the pixels."""
        pixels = np.asarray(self.pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise InputError(
                "the pixels of a slide's image must be uint8, (height, width, 3), got "
                f"{pixels.dtype}, {pixels.shape}"
            )
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"the image's scale must be a positive number, got {self.scale}")
        object.__setattr__(self, "pixels", frozen(pixels))


@dataclass(frozen=True, eq=False)
class PublicSlide(Shared):
    """What is known of a slide before anything is sequenced. Agents get this and nothing else.

    Build it through :meth:`scr2st_env.Slide.make` or :meth:`scr2st_env.Slide.from_anndata`, which
    check everything.

    Parameters
    ----------
    name
        Unique among the slides used together.
    coordinates
        Positions (x, y) of the spots, micrometres where the scale is known; float32, (N, 2).
    features
        Patch encodings, float32, (N, D); D is 0 for a slide without an image.
    spot_names
        N unique names.
    measurable
        Spots that can be bought at all, bool, (N,). The one part that may follow from hidden
        counts: read from AnnData, spots with fewer than ``min_counts`` are left out, being
        failures of the archive; with ``min_counts=0`` it follows from nothing.
    tissue_density
        Weight of the tissue around each spot, float32, (N,), 1 where nothing better is known.
    pitch
        Distance between neighbouring spots, in the unit of ``coordinates``.
    patient
        Whose tissue it is; folds are made by it.
    encoder
        Name of the patch encoder that made ``features``.
    image
        The section's picture, where there is one.
    """

    name: str
    coordinates: FloatArray  # (N, 2)
    features: FloatArray  # (N, D)
    spot_names: NDArray[np.str_]  # (N,)
    measurable: BoolArray  # (N,)
    tissue_density: FloatArray  # (N,)
    pitch: float
    patient: str = ""
    encoder: str = ""
    image: SlideImage | None = None

    @classmethod
    def make(
        cls,
        name: str,
        coordinates: ArrayLike,
        *,
        features: ArrayLike | None = None,
        spot_names: Sequence[str] | None = None,
        measurable: ArrayLike | None = None,
        tissue_density: ArrayLike | None = None,
        pitch: float | None = None,
        patient: str = "",
        encoder: str = "",
        image: SlideImage | None = None,
    ) -> Self:
        """Check the public arrays of :meth:`scr2st_env.Slide.make`, which describes them."""
        where = f"slide {name!r}:"
        xy = checked_coordinates(coordinates, where)
        n_spots = len(xy)
        can_buy = np.ones(n_spots, bool) if measurable is None else np.array(measurable, bool)
        if can_buy.shape != (n_spots,):
            raise InputError(f"{where} measurable has shape {can_buy.shape}, not ({n_spots},)")
        table = np.zeros((n_spots, 0)) if features is None else features
        return cls(
            name=name,
            coordinates=xy,
            features=finite_matrix(table, f"{where} features", n_spots),
            spot_names=_spot_names(spot_names, n_spots, where),
            measurable=frozen(can_buy),
            tissue_density=_tissue_density(tissue_density, n_spots, where),
            pitch=measured_pitch(xy) if pitch is None else _positive(pitch, f"{where} pitch"),
            patient=patient or name,
            encoder=encoder,
            image=image,
        )

    @classmethod
    def restored(cls, tree: Tree) -> Self:
        """Return the part whose fields a sidecar kept."""
        picture = tree["image"]
        return cls(**tree | {"image": None if picture is None else SlideImage(**picture)})

    @property
    def n_spots(self) -> int:
        """Number of spots, N."""
        return len(self.coordinates)

    @property
    def n_features(self) -> int:
        """Width of the patch features, D; 0 without an image."""
        return int(self.features.shape[1])

    @cached_property
    def scaled_coordinates(self) -> FloatArray:
        """Coordinates shifted and scaled to the unit square, aspect kept; float32, (N, 2)."""
        low = self.coordinates.min(axis=0)
        extent = float((self.coordinates.max(axis=0) - low).max()) or 1.0
        return frozen(((self.coordinates - low) / extent).astype(np.float32))

    @cached_property
    def pitch_coordinates(self) -> FloatArray:
        """Coordinates in spot pitches, the unit of every length in the design; float32, (N, 2)."""
        return frozen((self.coordinates / self.pitch).astype(np.float32))

    @cached_property
    def cell_area(self) -> float:
        """Area of one spot's Voronoi cell, in squared coordinate units."""
        return voronoi_area(self.coordinates, self.pitch)

    @cached_property
    def standardised_features(self) -> FloatArray:
        """Features z-scored over this slide (a constant column is 0); float32, (N, D).

        Stain differs from section to section, so features are compared after z-scoring each
        section by itself. It uses public data alone, so it works on a slide never measured.
        """
        scaled = np.zeros_like(self.features)
        for columns in _column_blocks(self.n_features):
            values = self.features[:, columns].astype(np.float64)
            spread = values.std(axis=0)
            values -= values.mean(axis=0)
            kept = spread > 1e-8
            scaled[:, columns[kept]] = values[:, kept] / spread[kept]
        freeze_in_place(scaled)
        return scaled

    @cached_property
    def fingerprint(self) -> str:
        """A digest of what agents decide by: equal where names, places and features are equal."""
        names = [self.name, self.encoder, *self.spot_names.tolist()]
        digest = hashlib.sha256(repr((names, float(self.pitch), self.features.shape)).encode())
        for array in (self.coordinates, self.features, self.measurable, self.tissue_density):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _column_blocks(n_columns: int) -> list[NDArray[np.intp]]:
    n_blocks = -(-n_columns // _COLUMNS_AT_ONCE)
    return np.array_split(np.arange(n_columns), n_blocks) if n_blocks else []


def _spot_names(names: Sequence[str] | None, n_spots: int, where: str) -> NDArray[np.str_]:
    array = np.asarray(names if names is not None else np.arange(n_spots), dtype=np.str_)
    if array.shape != (n_spots,):
        raise InputError(f"{where} {array.size} spot names for {n_spots} spots")
    unique, occurrences = np.unique(array, return_counts=True)
    if unique.size < n_spots:
        twice = str(unique[occurrences > 1][0])
        raise InputError(
            f"{where} spot name {twice!r} occurs more than once; "
            "make them unique with AnnData.obs_names_make_unique()"
        )
    return frozen(array)


def _positive(value: float, name: str) -> float:
    is_number = isinstance(value, int | float | np.number)
    if not (is_number and np.isfinite(value) and value > 0):
        raise InputError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def _tissue_density(values: ArrayLike | None, n_spots: int, where: str) -> FloatArray:
    try:
        density = np.ones(n_spots, np.float32) if values is None else np.array(values, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} tissue_density must be a list of numbers ({error})") from error
    if density.shape != (n_spots,):
        raise InputError(f"{where} tissue_density has shape {density.shape}, not ({n_spots},)")
    if not (np.isfinite(density).all() and (density >= 0).all() and density.sum() > 0):
        raise InputError(f"{where} tissue_density must be finite, non-negative and not all zero")
    return frozen(density)
