"""From the arguments of the environment to checked settings, one per slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.arrays import IntArray, frozen, is_count
from scr2st_env.envs.slides import check_names
from scr2st_env.errors import InputError
from scr2st_env.rewards.base import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from scr2st_env.envs.slides import SpotSets
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import Slide


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
        As :func:`scr2st_env.envs.slides.read_slides` returns them.
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
            f"slide {slide.name!r}: initial spot {lost[0]} is excluded or cannot be measured; "
            "leave it out of initial="
        )
    purchasable[start] = False
    n_bought = budget_spots(budget, slide, int(purchasable.sum()))
    return Setting(slide, reference, n_bought, frozen(purchasable), start)


def spot_indices(spots: ArrayLike, slide: Slide, argument: str) -> IntArray:
    """Return distinct, sorted spot indices from indices or a bool mask.

    Raises
    ------
    InputError
        If an index is not a whole number in 0..N-1, or a mask has the wrong length.
    """
    where = f"slide {slide.name!r}: {argument}"
    try:
        values = np.asarray(spots)
    except ValueError:
        raise InputError(f"{where} must be a list of spot indices or a bool mask") from None
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
    if n_purchasable == 0:
        raise InputError(
            f"slide {slide.name!r}: nothing can be bought, all {slide.n_spots} spots are excluded, "
            "initial or not measurable; leave some for sale"
        )
    if count > n_purchasable:
        raise InputError(
            f"slide {slide.name!r}: budget {budget!r} asks for {count} spots but only "
            f"{n_purchasable} of {slide.n_spots} can be bought; lower the budget"
        )
    return count


def checked_round_size(round_size: Any) -> int:
    """Return ``round_size`` after checking that it is a count of at least 1."""
    if not is_count(round_size, 1):
        raise InputError(f"round_size must be a count >= 1, got {round_size!r}")
    return int(round_size)
