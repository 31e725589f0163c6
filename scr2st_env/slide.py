"""A tissue section: what everybody may see, and what is hidden until it is bought."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.arrays import finite_matrix
from scr2st_env.counts import checked_types, log_normalise
from scr2st_env.errors import InputError
from scr2st_env.hidden_part import HiddenPart
from scr2st_env.opening import FromFile, Origin, all_options, opened
from scr2st_env.public_slide import PublicSlide, SlideImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.sidecar import Tree

__all__ = ["HiddenPart", "PublicSlide", "Slide", "SlideImage"]


@dataclass(frozen=True, eq=False)
class Slide(FromFile):
    """A section with its public part and, on a retrospective slide, its hidden one.

    A live slide, on which nothing was measured yet, has ``hidden=None``. A slide opened from a
    file is memory-mapped, and pickled as the name of its file.

    Examples
    --------
    >>> import numpy as np
    >>> slide = Slide.make("s1", coordinates=[[0, 0], [100, 0], [0, 100]])
    >>> slide.n_spots, slide.public.pitch, slide.hidden
    (3, 100.0, None)
    """

    public: PublicSlide
    hidden: HiddenPart | None = field(default=None, repr=False)
    origin: Origin | None = field(default=None, init=False, repr=False)  # never that of a copy

    @property
    def name(self) -> str:
        """Name of the slide."""
        return self.public.name

    @property
    def patient(self) -> str:
        """Whose tissue it is."""
        return self.public.patient

    @property
    def n_spots(self) -> int:
        """Number of spots, N."""
        return self.public.n_spots

    @classmethod
    def make(
        cls,
        name: str,
        coordinates: ArrayLike,
        *,
        features: ArrayLike | None = None,
        counts: Any = None,
        genes: Sequence[str] | None = None,
        embedding: ArrayLike | None = None,
        types: ArrayLike | None = None,
        type_names: Sequence[str] = (),
        spot_names: Sequence[str] | None = None,
        measurable: ArrayLike | None = None,
        tissue_density: ArrayLike | None = None,
        pitch: float | None = None,
        patient: str = "",
        encoder: str = "",
        image: SlideImage | None = None,
    ) -> Slide:
        """Build a slide from arrays, checking everything.

        Parameters
        ----------
        name
            Unique among the slides used together.
        coordinates
            (N, 2), micrometres where known; no two spots lie at one place.
        features
            (N, D) patch features; None for a slide without an image.
        counts
            (N, G) raw counts, dense or sparse; None for a live slide, which has neither genes nor
            embedding nor types.
        genes
            G names; required with ``counts``.
        embedding
            (N, E) images of the spots in the reference's space; only with ``counts``.
        types
            (N, T) cell-type composition; non-negative, rows are scaled to sum to 1, and a row of
            zeros (a spot not measured yet) is shared equally. Only with ``counts``.
        type_names
            T names; required with ``types``.
        spot_names
            N unique names; default "0".."N-1".
        measurable
            (N,) bool: what can be bought; default all. It is public: on a retrospective slide,
            leaving out spots that failed sequencing tells that they did.
        tissue_density
            (N,) non-negative weights; default 1.
        pitch
            Distance between neighbouring spots; default: measured.
        patient, encoder, image
            See :class:`PublicSlide`.

        Returns
        -------
        Slide

        Raises
        ------
        InputError
            Naming the slide and the array that is wrong.
        """
        where = f"slide {name!r}:"
        public = PublicSlide.make(
            name,
            coordinates,
            features=features,
            spot_names=spot_names,
            measurable=measurable,
            tissue_density=tissue_density,
            pitch=pitch,
            patient=patient,
            encoder=encoder,
            image=image,
        )
        if counts is None:
            _refuse_without_counts(where, genes=genes, embedding=embedding, types=types)
            return cls(public)
        hidden = HiddenPart.make(public.n_spots, where, counts, genes, embedding, types, type_names)
        return cls(public, hidden)

    @classmethod
    def from_anndata(cls, source: AnnData | str | Path, **options: Any) -> Slide:
        """Build a slide from an AnnData object or an ``.h5ad`` file.

        Parameters
        ----------
        source
            An AnnData object or the path of an ``.h5ad`` file; never modified.
        **options
            Those of :func:`scr2st_env.anndata_io.slide_arrays`: the keys to read
            (``features="X_patch"``, ``embedding="X_cell"``, ``types="X_type"``, ...),
            ``min_counts``, ``name``, ``patient``, ``live``.

        Returns
        -------
        Slide
            Of a file: memory-mapped through a sidecar (``docs/slides.md``), and the same object
            as long as it lives and the file does not change.

        Raises
        ------
        InputError
            Naming what is missing, in which file, and how to make it.
        """
        from scr2st_env.anndata_io import slide_arrays

        def read() -> Slide:
            arrays = slide_arrays(source, **options)
            picture = arrays.pop("image")
            return cls.make(**arrays, image=None if picture is None else SlideImage(*picture))

        if not isinstance(source, str | os.PathLike):
            return read()
        return opened(cls, source, all_options(slide_arrays, options), read, cls._restored)

    @classmethod
    def _restored(cls, tree: Tree) -> Slide:
        hidden = tree["hidden"]
        public = PublicSlide.restored(tree["public"])
        return cls(public, None if hidden is None else HiddenPart.restored(hidden))

    def live(self) -> Slide:
        """Return the slide as it is before anything was sequenced."""
        return Slide(self.public)

    def expression(self, genes: Sequence[str]) -> NDArray[np.float32]:
        """Return log1p(CP10k) of named genes, normalised by each spot's counts over all genes.

        Parameters
        ----------
        genes
            Names, each present in the slide.

        Returns
        -------
        ndarray of float32, shape (N, len(genes))

        Raises
        ------
        InputError
            If the slide is live or lacks a gene.
        """
        if self.hidden is None:
            raise InputError(f"slide {self.name!r} is live: it has no expression yet")
        column = {gene: index for index, gene in enumerate(self.hidden.genes.tolist())}
        missing = [gene for gene in genes if gene not in column]
        if missing:
            raise InputError(
                f"slide {self.name!r} lacks {len(missing)} of {len(genes)} genes "
                f"(first: {missing[0]!r}); choose genes measured in every slide"
            )
        counts = self.hidden.counts
        totals = np.asarray(counts.sum(axis=1)).ravel()
        return log_normalise(counts[:, [column[gene] for gene in genes]], totals)

    def with_embedding(
        self, embedding: ArrayLike, types: ArrayLike, type_names: Sequence[str]
    ) -> Slide:
        """Return the slide with another image of its spots in a reference's space.

        Parameters
        ----------
        embedding
            (N, E).
        types
            (N, T) cell-type composition.
        type_names
            T names.

        Returns
        -------
        Slide
            Sharing every other array with this one.

        Raises
        ------
        InputError
            If this slide is live, or an array has the wrong shape or values.
        """
        if self.hidden is None:
            raise InputError(f"slide {self.name!r} is live: it has no expression to embed yet")
        where = f"slide {self.name!r}:"
        composition, names = checked_types(types, type_names, self.n_spots, where)
        matrix = finite_matrix(embedding, f"{where} embedding", self.n_spots)
        return Slide(
            self.public,
            replace(self.hidden, embedding=matrix, types=composition, type_names=names),
        )

    def with_features(self, features: ArrayLike, encoder: str) -> Slide:
        """Return the slide with other patch features, (N, D), made by ``encoder``."""
        matrix = finite_matrix(features, f"slide {self.name!r}: features", self.n_spots)
        return Slide(replace(self.public, features=matrix, encoder=encoder), self.hidden)


def _refuse_without_counts(where: str, **parts: Any) -> None:
    for name, part in parts.items():
        if part is not None:
            raise InputError(
                f"{where} {name} without counts; pass counts=, too, or leave {name} out for a live "
                "slide"
            )
