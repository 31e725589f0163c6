"""What is compared, on what: each part is one benchmark of its own, of random buying alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.ablations import LEFT_OUT, sees_cohort
from benchmarks.cohort import Study, load_study
from benchmarks.config import BenchmarkConfig
from benchmarks.evidence import BASELINE
from benchmarks.synthetic_patients import COHORT

if TYPE_CHECKING:
    from pathlib import Path

OWN = "scr2net"
# Of the primary contrast of a part, at the first budget: the strongest peer on HER2ST. It has
# nothing to say where no spot of the slide is measured.
RIVAL, RIVAL_ACROSS = "gp:own-kernel", "ridge"
BUDGETS = [0.1, 0.2]
PEERS = [
    "mean",
    "ridge:no-cohort",
    "ridge",
    "pls:no-cohort",
    "pls",
    "knn",
    "gp:no-cohort",
    "gp",
    "gp:own-kernel",
    "st-net",
    "bleep",
    OWN,
]
ABLATED = [f"{OWN}:{change}" for change in LEFT_OUT]
TITLES = {
    "new-slide": "A new slide",
    "within-slide": "Within a slide",
    "cross-patient": "Across patients",
}
N_COHORT, N_TESTED = 6, 20  # synthetic patients


@dataclass(frozen=True)
class Part:
    """One benchmark of predictors.

    Parameters
    ----------
    name
        Of its folder and its tables.
    config
        What is run.
    """

    name: str
    config: BenchmarkConfig

    def study(self, folder: Path) -> Study:
        """Return its slides; synthetic patients are kept in a folder, for all parts."""
        return load_study(self.config, folder)


def rival(config: BenchmarkConfig) -> str | None:
    """Return the predictor of the primary contrast, named beforehand; None among ablations."""
    name = RIVAL_ACROSS if config.protocol == "cross-patient" else RIVAL
    return name if name in config.judges else None


def parts(draws: int, synthetic_draws: int, jobs: int) -> dict[str, Part]:
    """Return all parts by name.

    Parameters
    ----------
    draws, synthetic_draws
        Sets of spots bought at random, per section and budget, on real and on synthetic tissue.
    jobs
        Processes.
    """
    real = {"slides": ["her2st-imaged"], "seeds": draws, "jobs": jobs}
    grown = {"slides": [COHORT], "seeds": synthetic_draws, "jobs": jobs}
    grown |= {"synthetic_training": N_COHORT, "synthetic_tested": N_TESTED}
    found = []
    for tissue, said, fields in (
        ("her2st", "HER2ST's imaged sections", real),
        ("synthetic", "synthetic tissue", grown),
    ):
        for protocol, title in TITLES.items():
            judges = peers(protocol)
            found.append(
                Part(f"{tissue}-{protocol}", _config(f"{title}, {said}", protocol, judges, fields))
            )
        title = f"A new slide, parts of SCR2Net left out one at a time, {said}"
        once = fields | {"budgets": BUDGETS[:1]}
        config = _config(title, "new-slide", [OWN, *ABLATED], once)
        found.append(Part(f"{tissue}-ablations", config))
    return {part.name: part for part in found}


def peers(protocol: str) -> list[str]:
    """Return SCR2Net and the predictors beside it, as far as a protocol tells them apart."""
    found = PEERS
    if protocol != "new-slide":  # there is no cohort to withhold, or nothing else
        found = [judge for judge in found if sees_cohort(judge)]
    if protocol == "cross-patient":  # a Gaussian process would be its cohort's ridge regression
        found = [judge for judge in found if judge.partition(":")[0] != "gp"]
    return found


def _config(
    title: str, protocol: Any, judges: list[str], fields: dict[str, Any]
) -> BenchmarkConfig:
    return BenchmarkConfig(
        title=title,
        protocol=protocol,
        agents=[BASELINE],
        primary_agent=BASELINE,
        judges=judges,
        primary_judge=OWN,
        primary_budget=BUDGETS[0],
        **({"budgets": BUDGETS} | fields),
    )
