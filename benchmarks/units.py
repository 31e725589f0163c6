"""One unit of work: all agents and seeds at one budget on one slide, written when it is done.

In the protocol ``cross-patient`` agents buy on all slides of the training patients at once, so
there a unit is a whole fold (:mod:`benchmarks.across`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.ablations import sees_coordinates
from benchmarks.buying import (
    ENVIRONMENT,
    episode_scores,
    make_buyer,
    make_environment,
    reward_weights,
)
from benchmarks.judging import make_judge, predict_slide, scores, scores_of_truth
from benchmarks.names import file_stem
from benchmarks.results import read_episodes
from scr2st_env.errors import InputError
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from agents.episode import Episode
    from benchmarks.config import BenchmarkConfig
    from benchmarks.folds import Ground
    from benchmarks.protocols import Fold
    from predictor.base import Cohort
    from scr2st_env.arrays import FloatArray


EVERY_SLIDE = "every slide"


@dataclass(frozen=True)
class Unit:
    """All agents and seeds at one budget on one slide.

    Parameters
    ----------
    fold, slide
        Names; the slide may be :data:`EVERY_SLIDE` of the fold.
    budget
        Share of all spots of the slide.
    """

    fold: str
    slide: str
    budget: float

    @property
    def ground(self) -> tuple[str, str]:
        """What it is played on, as :attr:`benchmarks.folds.Ground.key`."""
        return self.fold, self.slide

    def tests(self, slide: str) -> bool:
        """Whether predictions of a slide of its fold are scored here."""
        return self.slide in (slide, EVERY_SLIDE)

    def path(self, folder: Path) -> Path:
        """Where its episodes are written, one JSON object a line."""
        return folder / "units" / f"{file_stem(self.fold, self.slide, self.budget)}.jsonl"

    def map_path(self, folder: Path) -> Path:
        """Where the predictions of one gene are written, for the maps of the report."""
        return self.path(folder).with_suffix(".npz")


def units_of(config: BenchmarkConfig, fold: Fold) -> list[Unit]:
    """Return the units of a fold."""
    slides = (EVERY_SLIDE,) if config.protocol == "cross-patient" else fold.test
    return [Unit(fold.name, slide, budget) for slide in slides for budget in config.all_budgets]


def read_unit(unit: Unit, folder: Path) -> list[dict[str, Any]]:
    """Read the episodes of a unit that was played.

    Raises
    ------
    InputError
        If the file holds another unit's.
    """
    path = unit.path(folder)
    episodes = read_episodes([path])
    for episode in episodes:
        own = (episode["fold"], episode["budget"]) == (unit.fold, unit.budget)
        if not own or not unit.tests(episode["slide"]):
            raise InputError(
                f"{path} holds episodes of slide {episode['slide']!r} at {episode['budget']}; "
                "remove it, and it is played again"
            )
    return episodes


def play_unit(config: BenchmarkConfig, ground: Ground, unit: Unit, folder: Path) -> Unit:
    """Play the episodes of a unit, judge them, and write them at once.

    Parameters
    ----------
    config
        The benchmark.
    ground
        The slide, and what its fold knows.
    unit
        What to play.
    folder
        Of the results.

    Returns
    -------
    Unit
        The same.
    """
    with threadpool_limits(1):
        episodes, maps = _play(config, ground, unit)
    write_unit(config, unit, folder, episodes, {ground.slide.name: maps})
    return unit


def write_unit(
    config: BenchmarkConfig,
    unit: Unit,
    folder: Path,
    episodes: Sequence[Mapping[str, Any]],
    maps: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write what was played: at the primary budget the maps of its slides, then the episodes."""
    if unit.budget == config.primary_budget:
        for slide, own in maps.items():
            with replacing(replace(unit, slide=slide).map_path(folder)) as path:
                np.savez_compressed(path, **own)
    with replacing(unit.path(folder)) as path:
        path.write_text("".join(json.dumps(episode) + "\n" for episode in episodes))


def _play(
    config: BenchmarkConfig, ground: Ground, unit: Unit
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from agents.episode import run_episode

    slide = ground.slide
    envs = [
        make_environment(config, slide, ground.reference, unit.budget, ground.test_part(seed))
        for seed in range(config.seeds)
    ]
    episodes, maps = [], ground_truth(ground)
    for spec in config.agents_at(unit.budget):
        buyer = make_buyer(
            spec,
            ground.agents,
            ground.genes.genes,
            ground.kernel,
            ground.reference,
            reward_weights(config),
            execute_code=config.execute_code,
        )
        for seed, env in enumerate(envs):
            episode = run_episode(buyer, env, slide=slide.name, seed=seed)
            check_money(episode, spec, slide.name)
            earned = episode_scores(episode, slide, ground.reference)
            judged = judge_slide(config, ground, episode.picks, ground.cohorts, seed)
            if seed == 0:
                maps |= {f"predicted/{spec}/{judge}": v for judge, v in judged.shown.items()}
                maps[f"picks/{spec}"] = np.asarray(episode.picks)
            episodes.append(
                {
                    **describe(config, unit, ground, spec, seed),
                    "oracle": bool(getattr(buyer, "is_oracle", False)),
                    "spent": episode.spent,
                    "picks": [int(spot) for spot in episode.picks],
                    "scores": {ENVIRONMENT: earned, **judged.scores},
                    "seconds": {"buying": episode.seconds, **judged.seconds},
                }
            )
    return episodes, maps


def describe(
    config: BenchmarkConfig, unit: Unit, ground: Ground, spec: str, seed: int
) -> dict[str, Any]:
    """Return what tells an episode from all others."""
    return {
        "protocol": config.protocol,
        "fold": unit.fold,
        "patient": ground.slide.patient,
        "slide": ground.slide.name,
        "agent": spec,
        "budget": unit.budget,
        "seed": seed,
    }


class Judged(NamedTuple):
    """By judge: scores, seconds, and the predicted expression of the gene that maps show, (N,)."""

    scores: dict[str, dict[str, float]]
    seconds: dict[str, float]
    shown: dict[str, FloatArray]


def judge_slide(
    config: BenchmarkConfig,
    ground: Ground,
    picks: Sequence[int],
    cohorts: Mapping[str, Cohort],
    seed: int,
) -> Judged:
    """Fit every judge on what was bought on a slide, and score its test part.

    Parameters
    ----------
    config
        Its ``judges`` and ``training_seed``.
    ground
        The slide.
    picks
        Spots bought on it.
    cohorts
        What each judge may learn from besides.
    seed
        Of the episode; it decides what is scored.

    Returns
    -------
    Judged
    """
    judged, part = Judged({}, {}, {}), ground.test_part(seed)
    for judge in config.judges:
        start = time.perf_counter()
        predicted = predict_slide(
            make_judge(judge, ground.kernel, config.training_seed),
            ground.slide,
            ground.expression,
            picks,
            cohorts.get(judge),
            with_coordinates=sees_coordinates(judge),
        )
        variable = ground.genes.variable
        judged.scores[judge] = scores(ground.expression[part], predicted[part], variable)
        if ground.truth is not None:
            truth = ground.truth[part]
            judged.scores[judge] |= scores_of_truth(truth, predicted[part], variable)
        judged.seconds[judge] = time.perf_counter() - start
        judged.shown[judge] = predicted[:, ground.shown_gene]
    return judged


def check_money(episode: Episode, spec: str, slide: str) -> None:
    """Refuse an agent that did not spend its budget.

    Raises
    ------
    InputError
        Naming the agent and the slide.
    """
    if episode.spent != episode.budget:
        raise InputError(
            f"agent {spec!r} spent {episode.spent} of {episode.budget} spots on slide "
            f"{slide!r}; agents are compared at equal spending only"
        )


def ground_truth(ground: Ground) -> dict[str, Any]:
    """Return what maps of seed 0 show beside predictions: places, the picture, a measured gene."""
    public, gene = ground.slide.public, ground.shown_gene
    maps: dict[str, Any] = {
        "gene": ground.genes.genes[gene],
        "coordinates": public.coordinates,
        "pitch": public.pitch,
        "truth": ground.expression[:, gene],
        "measurable": public.measurable,
        "test_part": np.asarray(ground.test_part(0)),
    }
    if public.image is not None:
        maps |= {"image": public.image.pixels, "image_scale": public.image.scale}
    return maps
