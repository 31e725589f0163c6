"""SCR2Net with one part left out at a time, for tables that say what each part is worth."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

ABLATIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "complete": {},
        "regression only": {"experts": ("regression",)},
        "retrieval only": {"experts": ("retrieval",)},
        "no majority filter": {"n_types": None},
        "no soft label": {"retrieval_weight": 0.0},
        "no contrastive alignment": {"contrastive_weight": 0.0},
        "no gate": {"gate": False},
        "no prior": {"use_cohort": False},
        "no coordinates": {"use_coordinates": False},
    }
)
"""Parameters of :class:`SCR2Net` by the name of what is left out: ``SCR2Net(**ABLATIONS[name])``.

"no gate": nothing is decided on held-out spots, neither the experts' weights nor the programs'
gains. "no prior": a cohort is not learned from. "no coordinates": kriging compares looks alone.
"""
