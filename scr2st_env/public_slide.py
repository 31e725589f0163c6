"""The part of a slide that everybody may see. Nothing in this file knows of expression."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.arrays import BoolArray, FloatArray, Shared, frozen
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    def standardised_features(self) -> FloatArray:
        """Features z-scored over this slide (a constant column is 0); float32, (N, D).

        Stain differs from section to section, so features are compared after z-scoring each
        section by itself. It uses public data alone, so it works on a slide never measured.
        """
        values = self.features.astype(np.float64)
        spread = values.std(axis=0)
        centred = values - values.mean(axis=0)
        scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-8)
        return frozen(scaled.astype(np.float32))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of what agents decide by: equal where names, places and features are equal."""
        names = [self.name, self.encoder, *self.spot_names.tolist()]
        digest = hashlib.sha256(repr((names, float(self.pitch), self.features.shape)).encode())
        for array in (self.coordinates, self.features, self.measurable, self.tissue_density):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
