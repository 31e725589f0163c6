"""Infos of many episodes, in the form that Gymnasium's vector environments give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray


def batched_infos(
    is_told: BoolArray,
    *,
    slide: NDArray[np.object_],
    wasted: BoolArray,
    parts: Mapping[str, NDArray[np.float64]],
    is_paid: BoolArray,
    privileged: frozenset[str],
    action_mask: BoolArray | None,
) -> dict[str, Any]:
    """Return infos in which each key stands beside ``"_" + key``: who is told.

    Parameters
    ----------
    is_told
        Sub-environments that report, bool, (B,); of the others everything is zero or None.
    slide
        Names of their slides, (B,).
    wasted
        Whether the pick bought nothing, bool, (B,).
    parts
        Weighted increases by term, each (B,).
    is_paid
        Whether the slide can pay, bool, (B,).
    privileged
        Names of parts that are kept from agents.
    action_mask
        Which actions buy something, bool, (B, N), or None.

    Returns
    -------
    dict
    """
    entries: dict[str, Any] = {"slide": slide, "wasted": wasted}
    if action_mask is not None:
        entries["action_mask"] = action_mask
    has_parts = is_told & is_paid
    shown = {name: part for name, part in parts.items() if name not in privileged}
    nested = {"reward_terms": _told(shown, has_parts) if has_parts.any() else {}}
    if privileged:
        kept = {name: part for name, part in parts.items() if name in privileged}
        nested["privileged"] = _told(kept, has_parts) if has_parts.any() else {}
    told = _told(entries, is_told)
    for name, group in nested.items():
        told[name], told[f"_{name}"] = group, is_told.copy()
    return told


def _told(entries: Mapping[str, NDArray[Any]], is_told: BoolArray) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, values in entries.items():
        if is_told.all():
            told[name] = values.copy()
        else:
            told[name] = np.full_like(values, None if values.dtype == object else 0)
            told[name][is_told] = values[is_told]
        told[f"_{name}"] = is_told.copy()
    return told
