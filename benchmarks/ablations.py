"""Judges with something changed: SCR2Net without one of its parts, any judge with less to see.

A judge is named ``"<name>"`` or ``"<name>:<change>"``, as in ``"scr2net:no-gate"``.
"""

from __future__ import annotations

from typing import Any

from predictor.scr2net.ablations import ABLATIONS
from scr2st_env.errors import InputError

NO_COHORT, NO_COORDINATES = "no-cohort", "no-coordinates"
WITHHELD = (NO_COHORT, NO_COORDINATES)  # from any judge

# What makes SCR2Net's parts the designs of others; see docs/predictor.md for what differs.
DESIGNS: dict[str, dict[str, Any]] = {
    "st-net": {
        "experts": ("regression",),
        "gate": False,
        "contrastive_weight": 0.0,
        "retrieval_weight": 0.0,
    },
    "bleep": {
        "experts": ("retrieval",),
        "gate": False,
        "retrieval_weight": 0.0,
        "n_types": None,
    },
}
LEFT_OUT: dict[str, dict[str, Any]] = {
    name.replace(" ", "-"): dict(changed) for name, changed in ABLATIONS.items() if changed
}
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "gp": {"own-kernel": {"kernel": "auto"}},
    "scr2net": LEFT_OUT,
}


def sees_cohort(judge: str) -> bool:
    """Whether a judge learns from a cohort where there is one."""
    base, _, change = judge.partition(":")
    left_out = CHANGES.get(base, {}).get(change, {})
    return change != NO_COHORT and bool(left_out.get("use_cohort", True))


def sees_coordinates(judge: str) -> bool:
    """Whether a judge is told where spots are."""
    return judge.partition(":")[2] != NO_COORDINATES


def parameters(judge: str, change: str) -> dict[str, Any]:
    """Return what a design, or a change of a judge, sets.

    Parameters
    ----------
    judge
        Name of a built-in judge.
    change
        What stands after the colon; empty where nothing does.

    Raises
    ------
    InputError
        If there is no such change of this judge.
    """
    changes = CHANGES.get(judge, {})
    if change and change not in (*changes, *WITHHELD):
        known = ", ".join(f"{judge}:{name}" for name in dict.fromkeys((*changes, *WITHHELD)))
        raise InputError(f"judge {judge!r} knows no change {change!r}; there are {known}")
    return DESIGNS.get(judge, {}) | changes.get(change, {})
