"""Slides and references from objects, paths and AnnData; a file is read once per process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from scr2st_env.counts import MIN_COUNTS
from scr2st_env.errors import InputError
from scr2st_env.reference import CellReference
from scr2st_env.slide import Slide

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import ArrayLike

    SlideSource: TypeAlias = Slide | AnnData | str | os.PathLike[str]
    ReferenceSource: TypeAlias = CellReference | AnnData | str | os.PathLike[str]
    SpotSets: TypeAlias = Mapping[str, ArrayLike]

N_SLIDES_KEPT = 64
N_REFERENCES_KEPT = 4


def read_slides(
    sources: Sequence[SlideSource],
    *,
    features: str | None,
    embedding: str | None,
    types: str | None,
    min_counts: int = MIN_COUNTS,
) -> tuple[Slide, ...]:
    """Return slides from slides, paths and AnnData objects, after checking that they agree.

    Parameters
    ----------
    sources
        At least one.
    features, embedding, types, min_counts
        How to read AnnData; see :func:`scr2st_env.anndata_io.slide_arrays`.

    Returns
    -------
    tuple of Slide
        A file is read once per process, until it changes: who names it again gets the same slide.

    Raises
    ------
    InputError
        If there is none, two share a name, or their features differ in width.
    """
    if isinstance(sources, Slide | str | os.PathLike) or not isinstance(sources, Sequence):
        raise InputError(f"slides must be a list, got {type(sources).__name__}; pass slides=[...]")
    if not sources:
        raise InputError("slides is empty; pass at least one slide, or None for the embedded ones")
    options = {
        "features": features,
        "embedding": embedding,
        "types": types,
        "min_counts": min_counts,
    }
    slides = tuple(_slide(source, options) for source in sources)
    names = [slide.name for slide in slides]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"two slides are named {repeated[0]!r}; slides need distinct names, which "
            "Slide.from_anndata(path, name=...) gives"
        )
    first = slides[0]
    for slide in slides[1:]:
        if slide.public.n_features != first.public.n_features:
            raise InputError(
                f"slide {slide.name!r} has {slide.public.n_features} features but slide "
                f"{first.name!r} has {first.public.n_features}; encode all with one encoder"
            )
    return slides


def read_reference(
    source: ReferenceSource | None, *, embedding: str | None, n_states: int
) -> CellReference | None:
    """Return the reference from a reference, a path or an AnnData object."""
    if source is None or isinstance(source, CellReference):
        return source
    options: dict[str, Any] = {"embedding": embedding or "X_cell", "n_states": n_states}
    reference = CellReference.from_anndata(source, **options)
    return reference if reference.origin is None else _kept_reference(reference)


def check_names(sets: SpotSets | None, slides: Sequence[Slide], argument: str) -> None:
    """Raise unless ``sets`` maps names of slides."""
    if sets is None:
        return
    if not isinstance(sets, Mapping):
        raise InputError(f"{argument} must map slide names to spots, got {type(sets).__name__}")
    names = [slide.name for slide in slides]
    unknown = sorted(set(sets) - set(names), key=repr)
    if unknown:
        raise InputError(f"{argument} names slide {unknown[0]!r}; the slides are {names}")


def _slide(source: SlideSource, options: Mapping[str, Any]) -> Slide:
    if isinstance(source, Slide):
        return source
    slide = Slide.from_anndata(source, **options)
    return slide if slide.origin is None else _kept_slide(slide)


# An opened file is the same object as long as somebody has it; so the environments of a process
# that play one file share the tables made of it, even when one is closed before the next is made.
@lru_cache(maxsize=N_SLIDES_KEPT)
def _kept_slide(slide: Slide) -> Slide:
    return slide


@lru_cache(maxsize=N_REFERENCES_KEPT)
def _kept_reference(reference: CellReference) -> CellReference:
    return reference
