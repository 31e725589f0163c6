"""From the arguments of the environment to checked settings, one per slide."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scr2st_env.arrays import IntArray, frozen
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.errors import InputError
from scr2st_env.reference import CellReference
from scr2st_env.rewards.base import Setting
from scr2st_env.slide import Slide

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import ArrayLike

    SlideSource: TypeAlias = Slide | AnnData | str | os.PathLike[str]
    ReferenceSource: TypeAlias = CellReference | AnnData | str | os.PathLike[str]
    SpotSets: TypeAlias = Mapping[str, ArrayLike]


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
    slides = tuple(
        source if isinstance(source, Slide) else Slide.from_anndata(source, **options)
        for source in sources
    )
    names = [slide.name for slide in slides]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"two slides are named {repeated[0]!r}; slides need distinct names")
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
    return CellReference.from_anndata(source, embedding=embedding or "X_cell", n_states=n_states)


def make_settings(
    slides: Sequence[Slide],
    reference: CellReference | None,
    budget: float,
    excluded: SpotSets | None,
    initial: SpotSets | None,
) -> tuple[Setting, ...]:
    """Return what an episode on each slide starts from.

    Parameters
    ----------
    slides
        As :func:`read_slides` returns them.
    reference
        The atlas, or None.
    budget
        A count (int), or a fraction in (0, 1] of all spots of a slide (float).
    excluded, initial
        Spots (indices, or a bool mask) by slide name: never bought, and measured from the start.

    Returns
    -------
    tuple of Setting

    Raises
    ------
    InputError
        Naming the slide and the argument.
    """
    for argument, sets in (("excluded", excluded), ("initial", initial)):
        check_names(sets, slides, argument)
    return tuple(
        _setting(slide, reference, budget, (excluded or {}), (initial or {})) for slide in slides
    )


def _setting(
    slide: Slide,
    reference: CellReference | None,
    budget: float,
    excluded: SpotSets,
    initial: SpotSets,
) -> Setting:
    forbidden = spot_indices(excluded.get(slide.name, ()), slide, "excluded")
    start = spot_indices(initial.get(slide.name, ()), slide, "initial")
    purchasable = slide.public.measurable.copy()
    purchasable[forbidden] = False
    lost = start[~purchasable[start]]
    if lost.size:
        raise InputError(
            f"slide {slide.name!r}: initial spot {lost[0]} is excluded or cannot be measured"
        )
    purchasable[start] = False
    n_bought = budget_spots(budget, slide, int(purchasable.sum()))
    return Setting(slide, reference, n_bought, frozen(purchasable), start)


def check_names(sets: SpotSets | None, slides: Sequence[Slide], argument: str) -> None:
    """Raise unless ``sets`` maps names of slides."""
    if sets is None:
        return
    if not isinstance(sets, Mapping):
        raise InputError(f"{argument} must map slide names to spots, got {type(sets).__name__}")
    names = [slide.name for slide in slides]
    unknown = sorted(set(sets) - set(names))
    if unknown:
        raise InputError(f"{argument} names slide {unknown[0]!r}; the slides are {names}")


def spot_indices(spots: ArrayLike, slide: Slide, argument: str) -> IntArray:
    """Return distinct, sorted spot indices from indices or a bool mask.

    Raises
    ------
    InputError
        If an index is not a whole number in 0..N-1, or a mask has the wrong length.
    """
    values = np.asarray(spots)
    where = f"slide {slide.name!r}: {argument}"
    if values.size == 0:
        return frozen(np.zeros(0, np.int32))
    if values.dtype == bool:
        if values.shape != (slide.n_spots,):
            raise InputError(f"{where} is a mask of shape {values.shape} for {slide.n_spots} spots")
        values = np.flatnonzero(values)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{where} must be a list of spot indices or a bool mask")
    outside = values[(values < 0) | (values >= slide.n_spots)]
    if outside.size:
        raise InputError(f"{where} has spot {outside[0]}, not in 0..{slide.n_spots - 1}")
    return frozen(np.unique(values).astype(np.int32))


def budget_spots(budget: float, slide: Slide, n_purchasable: int) -> int:
    """Return a slide's budget as a count.

    Parameters
    ----------
    budget
        A count (int), or a fraction in (0, 1] of **all** its spots (float), rounded, at least 1.
    slide
        The slide.
    n_purchasable
        How many of its spots can be bought.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If the budget is 0, negative, no number, or more than can be bought.
    """
    if isinstance(budget, int | np.integer) and not isinstance(budget, bool):
        count = int(budget)
    elif isinstance(budget, float | np.floating) and 0 < budget <= 1:
        count = max(1, round(float(budget) * slide.n_spots))
    else:
        raise InputError(f"budget must be a count >= 1 or a fraction in (0, 1], got {budget!r}")
    if count < 1:
        raise InputError(f"budget must be a count >= 1 or a fraction in (0, 1], got {budget!r}")
    if count > n_purchasable:
        raise InputError(
            f"slide {slide.name!r}: budget {budget!r} asks for {count} spots but only "
            f"{n_purchasable} of {slide.n_spots} can be bought; lower the budget"
        )
    return count


def checked_round_size(round_size: Any) -> int:
    """Return ``round_size`` after checking that it is a count of at least 1."""
    is_count = isinstance(round_size, int | np.integer) and not isinstance(round_size, bool)
    if not is_count or round_size < 1:
        raise InputError(f"round_size must be a count >= 1, got {round_size!r}")
    return int(round_size)
