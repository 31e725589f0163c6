"""The protocol ``cross-patient``: buy on some patients' slides, predict other patients' slides.

Nothing is measured on a slide that is tested. On a slide where agents buy, what they see and are
paid for, and the cell types of what they bought, come from statistics of the *other* training
patients: nothing of the slide at hand is known before it is bought.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.buying import (
    ENVIRONMENT,
    episode_scores,
    make_buyer,
    make_environment,
    reward_weights,
)
from benchmarks.folds import Ground, cohort_of, pretrained_cohorts
from benchmarks.protocols import Fold, genes_of_training_slides, most_patterned_gene
from benchmarks.units import (
    EVERY_SLIDE,
    Unit,
    check_money,
    describe,
    ground_truth,
    judge_slide,
    write_unit,
)
from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from agents.episode import Episode
    from benchmarks.cohort import Study
    from benchmarks.config import BenchmarkConfig
    from predictor.base import Cohort


@dataclass(frozen=True)
class Across:
    """One fold.

    Parameters
    ----------
    fold
        Its name.
    bought
        Slides of the training patients, on which all spots that can be measured are for sale.
    tested
        Slides of the patients left out, on which none is, and all are scored.
    """

    fold: str
    bought: tuple[Ground, ...]
    tested: tuple[Ground, ...]

    @property
    def key(self) -> tuple[str, str]:
        """As :attr:`benchmarks.units.Unit.ground`."""
        return self.fold, EVERY_SLIDE


@dataclass(frozen=True)
class Purchase:
    """What one agent bought with one seed, on every slide of the training patients.

    Parameters
    ----------
    episodes
        By slide.
    earned
        Mean over slides of what the episodes earned.
    is_oracle
        Whether the agent knew what it bought.
    """

    episodes: dict[str, Episode]
    earned: dict[str, float]
    is_oracle: bool

    @property
    def seconds(self) -> float:
        """What buying took."""
        return float(sum(episode.seconds for episode in self.episodes.values()))


def prepare_across(
    config: BenchmarkConfig, study: Study, fold: Fold, names: Sequence[str], folder: Path
) -> list[Across]:
    """Embed the slides and choose the genes of a fold.

    Parameters
    ----------
    config
        The benchmark.
    study
        All slides.
    fold
        Whose test slides' expression is not read, except to be scored.
    names
        Test slides.
    folder
        Of the fold's agents; none is trained under this protocol.

    Returns
    -------
    list of Across
        One.
    """
    raw = [study.slides[name] for name in fold.training]
    tested, reference = study.embedded(fold.training, names)
    genes = genes_of_training_slides(raw, list(tested.values()), config.n_genes, config.n_top_genes)
    gene = most_patterned_gene(raw, genes.genes)
    # No kernel is fitted: nothing is measured beside a spot that is predicted here.
    shared: dict[str, Any] = {
        "genes": genes,
        "kernel": Kernel(),
        "agents": folder,
        "cohorts": {},
        "shown_gene": gene,
    }
    bought = []
    for patient in dict.fromkeys(slide.patient for slide in raw):
        own = [name for name in fold.training if study.patients[name] == patient]
        others = [name for name in fold.training if name not in own]
        slides, space = study.embedded(others, own)
        bought += [
            Ground(fold.name, slide, space, test_fraction=0.0, **shared)
            for slide in slides.values()
        ]
    grounds = [
        Ground(
            fold.name,
            slide,
            reference,
            test_fraction=1.0,
            truth=study.truth_of(slide.name, genes.genes),
            **shared,
        )
        for slide in tested.values()
    ]
    return [Across(fold.name, tuple(bought), tuple(grounds))]


def play_across(config: BenchmarkConfig, across: Across, unit: Unit, folder: Path) -> Unit:
    """Let all agents buy, let all judges learn, score every test slide, and write it at once.

    Parameters
    ----------
    config
        The benchmark.
    across
        The fold.
    unit
        What to play.
    folder
        Of the results.

    Returns
    -------
    Unit
        The same.
    """
    episodes = []
    maps = {ground.slide.name: ground_truth(ground) for ground in across.tested}
    with threadpool_limits(1):
        for spec in config.agents_at(unit.budget):
            for seed in range(config.seeds):
                purchase = _buy(config, across, spec, unit.budget, seed)
                start = time.perf_counter()
                cohorts = bought_cohorts(
                    config, across, {name: e.picks for name, e in purchase.episodes.items()}
                )
                learning = time.perf_counter() - start
                for ground in across.tested:
                    judged = judge_slide(config, ground, [], cohorts, seed)
                    if seed == 0:
                        maps[ground.slide.name] |= {
                            f"predicted/{spec}/{judge}": v for judge, v in judged.shown.items()
                        }
                    episodes.append(
                        {
                            **describe(config, unit, ground, spec, seed),
                            **_record(purchase),
                            "scores": {ENVIRONMENT: purchase.earned, **judged.scores},
                            "seconds": {
                                "buying": purchase.seconds,
                                "learning": learning,
                                **judged.seconds,
                            },
                        }
                    )
    write_unit(config, unit, folder, episodes, maps)
    return unit


def bought_cohorts(
    config: BenchmarkConfig, across: Across, picks: Mapping[str, Sequence[int]]
) -> dict[str, Cohort]:
    """Return what each judge has to learn from: the bought spots and nothing else.

    Parameters
    ----------
    config
        Its ``judges``.
    across
        The fold.
    picks
        Spots bought, by slide.

    Returns
    -------
    dict of str to Cohort
        By judge, for some with what it learned already.
    """
    grounds = [ground for ground in across.bought if len(picks[ground.slide.name])]
    cohort = cohort_of(
        [ground.slide for ground in grounds],
        grounds[0].genes,
        [picks[ground.slide.name] for ground in grounds],
    )
    return pretrained_cohorts(config, cohort, grounds[0].kernel)


def _buy(config: BenchmarkConfig, across: Across, spec: str, budget: float, seed: int) -> Purchase:
    from agents.episode import run_episode

    episodes: dict[str, Episode] = {}
    earned: list[dict[str, float]] = []
    is_oracle = False
    for ground in across.bought:
        name = ground.slide.name
        buyer: Any = make_buyer(
            spec,
            ground.agents,
            ground.genes.genes,
            ground.kernel,
            ground.reference,
            reward_weights(config),
            execute_code=config.execute_code,
        )
        env = make_environment(config, ground.slide, ground.reference, budget, [])
        episodes[name] = run_episode(buyer, env, slide=name, seed=seed)
        check_money(episodes[name], spec, name)
        earned.append(episode_scores(episodes[name], ground.slide, ground.reference))
        is_oracle = bool(getattr(buyer, "is_oracle", False))
    means = {key: float(np.mean([each[key] for each in earned])) for key in earned[0]}
    return Purchase(episodes, means, is_oracle)


def _record(purchase: Purchase) -> dict[str, Any]:
    return {
        "oracle": purchase.is_oracle,
        "spent": sum(episode.spent for episode in purchase.episodes.values()),
        "picks": {
            name: [int(spot) for spot in episode.picks]
            for name, episode in purchase.episodes.items()
        },
    }
