"""A tissue section: what everybody may see, and what is hidden until it is bought."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.arrays import FloatArray, Shared, finite_matrix, frozen
from scr2st_env.counts import checked_counts, checked_types, frozen_counts, log_normalise
from scr2st_env.errors import InputError
from scr2st_env.lattice import checked_coordinates, measured_pitch
from scr2st_env.public_slide import PublicSlide, SlideImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_matrix

__all__ = ["HiddenPart", "PublicSlide", "Slide", "SlideImage"]


@dataclass(frozen=True, eq=False)
class HiddenPart(Shared):
    """What sequencing reveals of a slide, spot by spot.

    Parameters
    ----------
    counts
        Raw counts, CSR, (N, G).
    genes
        G gene names.
    embedding
        Image of each spot's expression in the reference's space, float32, (N, E), or None.
    types
        Cell-type composition of each spot, rows sum to 1, float32, (N, T), or None.
    type_names
        T names, in the order of the columns of ``types``.
    """

    counts: csr_matrix  # (N, G)
    genes: NDArray[np.str_]  # (G,)
    embedding: FloatArray | None = None  # (N, E)
    types: FloatArray | None = None  # (N, T)
    type_names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Slide(Shared):
    """A section with its public part and, on a retrospective slide, its hidden one.

    A live slide, on which nothing was measured yet, has ``hidden=None``.

    Examples
    --------
    >>> import numpy as np
    >>> slide = Slide.make("s1", coordinates=[[0, 0], [100, 0], [0, 100]])
    >>> slide.n_spots, slide.public.pitch, slide.hidden
    (3, 100.0, None)
    """

    public: PublicSlide
    hidden: HiddenPart | None = field(default=None, repr=False)

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
        xy = checked_coordinates(coordinates, where)
        n_spots = len(xy)
        names = np.asarray(
            spot_names if spot_names is not None else np.arange(n_spots), dtype=np.str_
        )
        if names.shape != (n_spots,):
            raise InputError(f"{where} {names.size} spot names for {n_spots} spots")
        unique, occurrences = np.unique(names, return_counts=True)
        if unique.size < n_spots:
            twice = str(unique[occurrences > 1][0])
            raise InputError(
                f"{where} spot name {twice!r} occurs more than once; "
                "make them unique with AnnData.obs_names_make_unique()"
            )
        can_buy = np.ones(n_spots, bool) if measurable is None else np.array(measurable, bool)
        density = _tissue_density(tissue_density, n_spots, where)
        if can_buy.shape != (n_spots,):
            raise InputError(f"{where} measurable has shape {can_buy.shape}, not ({n_spots},)")
        public = PublicSlide(
            name=name,
            coordinates=xy,
            features=finite_matrix(
                np.zeros((n_spots, 0)) if features is None else features,
                f"{where} features",
                n_spots,
            ),
            spot_names=frozen(names),
            measurable=frozen(can_buy),
            tissue_density=density,
            pitch=measured_pitch(xy) if pitch is None else _positive(pitch, f"{where} pitch"),
            patient=patient or name,
            encoder=encoder,
            image=image,
        )
        if counts is None:
            _refuse_without_counts(where, genes=genes, embedding=embedding, types=types)
            return cls(public)
        matrix = checked_counts(counts, where)
        if matrix.shape[0] != n_spots:
            raise InputError(f"{where} counts have {matrix.shape[0]} rows for {n_spots} spots")
        hidden = HiddenPart(frozen_counts(matrix), _gene_names(genes, matrix.shape[1], where))
        if embedding is not None:
            image_of_spots = finite_matrix(embedding, f"{where} embedding", n_spots)
            hidden = replace(hidden, embedding=image_of_spots)
        if types is not None:
            composition, labels = checked_types(types, type_names, n_spots, where)
            hidden = replace(hidden, types=composition, type_names=labels)
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

        Raises
        ------
        InputError
            Naming what is missing, in which file, and how to make it.
        """
        from scr2st_env.anndata_io import slide_arrays

        arrays = slide_arrays(source, **options)
        picture = arrays.pop("image")
        return cls.make(**arrays, image=None if picture is None else SlideImage(*picture))

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


def _gene_names(genes: Sequence[str] | None, n_genes: int, where: str) -> NDArray[np.str_]:
    names = np.asarray([] if genes is None else genes, dtype=np.str_)
    if names.shape != (n_genes,):
        raise InputError(f"{where} {names.size} gene names for {n_genes} columns of counts")
    if np.unique(names).size < names.size:
        raise InputError(f"{where} gene names repeat; use AnnData.var_names_make_unique()")
    return frozen(names)


def _positive(value: float, name: str) -> float:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{name} must be a positive number, got {value}")
    return float(value)


def _tissue_density(values: ArrayLike | None, n_spots: int, where: str) -> FloatArray:
    density = np.ones(n_spots, np.float32) if values is None else np.array(values, np.float32)
    if density.shape != (n_spots,):
        raise InputError(f"{where} tissue_density has shape {density.shape}, not ({n_spots},)")
    if not (np.isfinite(density).all() and (density >= 0).all() and density.sum() > 0):
        raise InputError(f"{where} tissue_density must be finite, non-negative and not all zero")
    return frozen(density)
