"""Measurements of one fold: how well rows are foretold, and what foresight earns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.signal.buying import foreseeing_spots, oracle_spots, random_spots
from benchmarks.signal.candidates import CANDIDATES, CHOSEN, CLOSEST, HARD, MAIN, TYPES
from benchmarks.signal.forecasts import (
    SOURCES,
    Forecaster,
    class_skill,
    frequencies,
    r_squared,
)
from scr2st_env.rewards.density import quadrature, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from benchmarks.signal.candidates import BoundCandidate, Candidate
    from benchmarks.signal.forecasts import Source
    from benchmarks.signal.sections import Fold, Section

Record = dict[str, Any]
N_RANDOM = 40
EMBEDDING = "embedding"


def measure(fold: Fold, budget: float, seeds: int) -> list[Record]:
    """Return one record per section, quantity or candidate, and source.

    Parameters
    ----------
    fold
        One patient's sections and those of the others.
    budget
        Share of a section's spots that is measured.
    seeds
        Measured sets per section in the forecasts, and episodes per agent.
    """
    sources = SOURCES if fold.sections[0].public.n_features else SOURCES[:1]
    tried = CANDIDATES if sources == SOURCES[:1] else MAIN
    bound = {candidate: candidate.bind(fold.reference) for candidate in tried}
    records = []
    for quantity, rows in _quantities(bound).items():
        records += _forecasts(fold, quantity, rows, sources, budget, seeds)
    forecasters: dict[tuple[bool, int], Forecaster] = {}
    for candidate in tried:
        reads = candidate.reads_types, candidate.n_components
        if reads not in forecasters:
            values = [candidate.read(section) for section in fold.training]
            forecasters[reads] = Forecaster.fit(fold.training, values)
    of_embedding = forecasters[HARD.reads_types, HARD.n_components]
    quality = {id(section): _quality(of_embedding, section, budget) for section in fold.sections}
    for candidate, each in bound.items():
        forecaster = forecasters[candidate.reads_types, candidate.n_components]
        records += _purchases(
            fold.sections, each, bound[HARD], forecaster, quality, sources, budget, seeds
        )
    records += [_density(section, budget) for section in fold.sections]
    return [{"cohort": fold.cohort, "patient": fold.patient, **record} for record in records]


def _quantities(
    bound: dict[Candidate, BoundCandidate],
) -> dict[str, Callable[[Section], NDArray[np.float32]]]:
    def rows_of(candidate: Candidate) -> Callable[[Section], NDArray[np.float32]]:
        return lambda section: bound[candidate].rows(candidate.read(section))

    return {
        EMBEDDING: lambda section: section.embedding,
        "cell-type composition": rows_of(TYPES),
        "nearest state": rows_of(HARD),
        "similarity to cell states": rows_of(CLOSEST),
        "shares of cell states": rows_of(CHOSEN),
    }


def _forecasts(
    fold: Fold,
    quantity: str,
    rows: Callable[[Section], NDArray[np.float32]],
    sources: Sequence[Source],
    budget: float,
    seeds: int,
) -> list[Record]:
    training = [rows(section) for section in fold.training]
    forecaster = Forecaster.fit(fold.training, training)
    records: list[Record] = []
    for section in fold.sections:
        truth = rows(section)
        for seed in range(seeds):
            measured = random_spots(section, n_bought(section, budget), _rng(section, seed))
            rest = np.setdiff1d(np.flatnonzero(section.public.measurable), measured)
            level = None
            if quantity == "nearest state":
                level = frequencies(np.concatenate(training), truth[measured])
            for source in sources:
                mean, _ = forecaster.predict(section, measured, truth[measured], source, level)
                each, together = r_squared(truth[rest], mean[rest])
                record = {"kind": "forecast", "what": quantity, "source": source, "R2": together}
                if quantity == EMBEDDING:
                    record["components"] = each.tolist()
                if level is not None:
                    classes = truth[rest].argmax(axis=1)
                    record["accuracy"], record["skill"] = class_skill(classes, mean[rest], level)
                records.append(record)
    return records


def _quality(
    forecaster: Forecaster, section: Section, budget: float
) -> tuple[list[Any], NDArray[np.float64]]:
    """Random sets of spots, and the R2 with which the embedding of the rest follows from each."""
    rng = _rng(section, 0)
    sets = [random_spots(section, n_bought(section, budget), rng) for _ in range(N_RANDOM)]
    scores = []
    for spots in sets:
        rest = np.setdiff1d(np.flatnonzero(section.public.measurable), spots)
        mean, _ = forecaster.predict(section, spots, section.embedding[spots], "feedback")
        scores.append(r_squared(section.embedding[rest], mean[rest])[1])
    return sets, np.array(scores)


def _purchases(
    sections: Sequence[Section],
    bound: BoundCandidate,
    hard: BoundCandidate,
    forecaster: Forecaster,
    quality: dict[int, tuple[list[Any], NDArray[np.float64]]],
    sources: Sequence[Source],
    budget: float,
    seeds: int,
) -> list[Record]:
    candidate = bound.candidate
    records: list[Record] = []
    for section in sections:
        n_spots = n_bought(section, budget)
        rows = bound.rows(candidate.read(section))
        scale = bound.attainable(n_spots)
        sets, scores = quality[id(section)]
        by_chance = np.array([bound.value(rows[spots]) for spots in sets]) / scale
        best = oracle_spots(bound, section, rows, n_spots)
        seen = hard.rows(section.embedding[best])
        spread = section.embedding[best].var(axis=0).sum()
        varies = by_chance.std() > 0
        shared: Record = {
            "kind": "purchase",
            "what": candidate.name,
            "random": float(by_chance.mean()),
            "SD": float(by_chance.std(ddof=1)),
            "oracle": bound.value(rows[best]) / scale,
            "follows": float(np.corrcoef(by_chance, scores)[0, 1]) if varies else 0.0,
            "states": hard.value(seen) / hard.attainable(n_spots),
            "spread": float(spread / section.embedding.var(axis=0).sum()),
        }
        for source in sources:
            reached = [
                bound.value(
                    rows[
                        foreseeing_spots(
                            bound, section, forecaster, source, n_spots, _rng(section, seed)
                        )
                    ]
                )
                for seed in range(seeds)
            ]
            records.append({**shared, "source": source, "agent": float(np.mean(reached)) / scale})
    return records


def _density(section: Section, budget: float) -> Record:
    """Spatial density is public: an agent can be as good as the greedy oracle."""
    n_spots = n_bought(section, budget)
    reached, weights = quadrature(section.public, reach(section.public, n_spots))
    reaches = np.zeros((section.public.n_spots, len(weights)), bool)
    np.put_along_axis(reaches, reached.astype(np.intp), values=True, axis=1)
    rng = _rng(section, 0)
    by_chance = [
        weights @ reaches[random_spots(section, n_spots, rng)].any(axis=0) for _ in range(N_RANDOM)
    ]
    covered = np.zeros(len(weights), bool)
    for _ in range(n_spots):
        covered |= reaches[((reaches & ~covered) @ weights).argmax()]
    greedy = float(weights @ covered)
    return {
        "kind": "density",
        "random": float(np.mean(by_chance)),
        "SD": float(np.std(by_chance, ddof=1)),
        "oracle": greedy,
    }


def n_bought(section: Section, budget: float) -> int:
    """Return the budget as a count."""
    return max(4, round(budget * section.public.n_spots))


def _rng(section: Section, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, *section.public.name.encode()])
