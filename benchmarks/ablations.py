"""Judges with something changed: SCR2Net without one of its parts, any judge with less to see.

A judge is named ``"<name>"`` or ``"<name>:<change>"``, as in ``"scr2net:no-gate"``.
"""

from __future__ import annotations

from typing import Any

from scr2st_env.errors import InputError

NO_COHORT, NO_COORDINATES = "no-cohort", "no-coordinates"
WITHHELD = (NO_COHORT, NO_COORDINATES)  # from any judge
NO_FILTER = 1_000_000  # more cell types than there are: none is in the minority

# What makes SCR2Net's parts the designs of others; see docs/predictor.md for what differs.
DESIGNS: dict[str, dict[str, Any]] = {
    "st-net": {
        "experts": ("regression",),
        "program_gate": False,
        "contrastive_weight": 0.0,
        "retrieval_weight": 0.0,
    },
    "bleep": {
        "experts": ("retrieval",),
        "program_gate": False,
        "retrieval_weight": 0.0,
        "n_types": NO_FILTER,
    },
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "regression-only": {"experts": ("regression",)},
    "retrieval-only": {"experts": ("retrieval",)},
    "no-majority-filter": {"n_types": NO_FILTER},
    "no-soft-label": {"retrieval_weight": 0.0},
    "no-contrastive-alignment": {"contrastive_weight": 0.0},
    "no-gate": {"program_gate": False},
}
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "gp": {"own-kernel": {"kernel": "auto"}},
    "scr2net": ABLATIONS,
}


def withheld(judge: str, what: str) -> bool:
    """Whether a judge is not to see the cohort (``"no-cohort"``) or ``"no-coordinates"``."""
    return judge.partition(":")[2] == what


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
    design = DESIGNS.get(judge, {})
    if not change or change in WITHHELD:
        return design
    changes = CHANGES.get(judge, {})
    if change not in changes:
        known = ", ".join(f"{judge}:{name}" for name in (*changes, *WITHHELD))
        raise InputError(f"judge {judge!r} knows no change {change!r}; there are {known}")
    return design | changes[change]
