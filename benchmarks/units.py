"""One unit of work: all agents and seeds at one budget on one slide, written when it is done."""

from __future__ import annotations

import json
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
from benchmarks.judging import make_judge, predict_slide, scores
from benchmarks.names import file_stem
from benchmarks.results import read_episodes
from scr2st_env.errors import InputError
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from agents.episode import Episode
    from benchmarks.config import BenchmarkConfig
    from benchmarks.folds import Ground
    from scr2st_env.arrays import FloatArray


@dataclass(frozen=True)
class Unit:
    """All agents and seeds at one budget on one slide.

    Parameters
    ----------
    fold, slide
        Names.
    budget
        Share of all spots of the slide.
    """

    fold: str
    slide: str
    budget: float

    def path(self, folder: Path) -> Path:
        """Where its episodes are written, one JSON object a line."""
        return folder / "units" / f"{file_stem(self.fold, self.slide, self.budget)}.jsonl"

    def map_path(self, folder: Path) -> Path:
        """Where the predictions of one gene are written, for the maps of the report."""
        return self.path(folder).with_suffix(".npz")


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
        if (episode["fold"], episode["slide"], episode["budget"]) != (
            unit.fold,
            unit.slide,
            unit.budget,
        ):
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
    if unit.budget == config.primary_budget:
        with replacing(unit.map_path(folder)) as path:
            np.savez_compressed(path, **maps)
    with replacing(unit.path(folder)) as path:
        path.write_text("".join(json.dumps(episode) + "\n" for episode in episodes))
    return unit


def _play(
    config: BenchmarkConfig, ground: Ground, unit: Unit
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from agents.episode import run_episode

    slide = ground.slide
    env = make_environment(config, slide, ground.reference, unit.budget, ground.test_part)
    episodes, maps = [], _ground_truth(ground)
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
        for seed in range(config.seeds):
            episode = run_episode(buyer, env, slide=slide.name, seed=seed)
            _check_money(episode, spec, slide.name)
            judged: dict[str, dict[str, float]] = {}
            seconds = {"buying": episode.seconds}
            for judge in config.judges:
                start = time.perf_counter()
                predicted = predict_slide(
                    make_judge(judge, ground.kernel, config.training_seed),
                    slide,
                    ground.expression,
                    episode.picks,
                    ground.cohorts.get(judge),
                )
                judged[judge] = _test_scores(ground, predicted)
                seconds[judge] = time.perf_counter() - start
                if seed == 0:
                    maps[f"predicted/{spec}/{judge}"] = predicted[:, ground.shown_gene]
            if seed == 0:
                maps[f"picks/{spec}"] = np.asarray(episode.picks)
            episodes.append(
                {
                    "protocol": config.protocol,
                    "fold": unit.fold,
                    "patient": slide.patient,
                    "slide": slide.name,
                    "agent": spec,
                    "oracle": bool(getattr(buyer, "is_oracle", False)),
                    "budget": unit.budget,
                    "seed": seed,
                    "spent": episode.spent,
                    "picks": [int(spot) for spot in episode.picks],
                    "scores": {
                        ENVIRONMENT: episode_scores(episode, slide, ground.reference),
                        **judged,
                    },
                    "seconds": seconds,
                }
            )
    return episodes, maps


def _check_money(episode: Episode, spec: str, slide: str) -> None:
    if episode.spent != episode.budget:
        raise InputError(
            f"agent {spec!r} spent {episode.spent} of {episode.budget} spots on slide "
            f"{slide!r}; agents are compared at equal spending only"
        )


def _test_scores(ground: Ground, predicted: FloatArray) -> dict[str, float]:
    part = ground.test_part
    return scores(ground.expression[part], predicted[part], ground.genes.variable)


def _ground_truth(ground: Ground) -> dict[str, Any]:
    public, gene = ground.slide.public, ground.shown_gene
    maps: dict[str, Any] = {
        "gene": ground.genes.genes[gene],
        "coordinates": public.coordinates,
        "pitch": public.pitch,
        "truth": ground.expression[:, gene],
        "measurable": public.measurable,
        "test_part": np.asarray(ground.test_part),
    }
    if public.image is not None:
        maps |= {"image": public.image.pixels, "image_scale": public.image.scale}
    return maps
