"""Buying: one agent, one slide, one budget, one seed, and what the episode earned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agents.episode import Episode
    from agents.spot_agent import SpotAgent
    from benchmarks.config import BenchmarkConfig
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv
    from scr2st_env.gaussian_process import Kernel
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import Slide

ENVIRONMENT = "environment"  # the judge that holds what an episode earned
LEARNED = "learned:"
FITTED = ":fitted"
LOOKAHEAD = "lookahead"
LEARNABLE = ("reward", "prediction", LOOKAHEAD)
PREDICTION_ORACLES = ("oracle", "oracle:denoised")
REWARD_ORACLES = ("reward-oracle", "reward-oracle:denoised")
MIN_PATIENTS = 4  # of whom one can be kept from learning
ATLAS_GUIDED = ("scrl",)  # posterior sampling collects more without: it then spreads out


def reward_weights(config: BenchmarkConfig) -> dict[str, float]:
    """Return the weights of the mission's reward."""
    return {
        "states": config.reward_states,
        "types": config.reward_types,
        "density": config.reward_density,
    }


def make_environment(
    config: BenchmarkConfig,
    slide: Slide,
    reference: CellReference,
    budget: float,
    excluded: Sequence[int],
) -> SpotSamplingEnv:
    """Return the environment in which all agents buy on one slide at one budget.

    Its budget is a share of all spots; the spots in ``excluded``, the test part, are never sold.
    """
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv

    return SpotSamplingEnv(
        [slide],
        reference,
        budget=budget,
        round_size=config.round_size,
        excluded={slide.name: np.asarray(excluded)},
        reward=reward_weights(config),
        feedback=config.feedback,
        info_mask=False,
    )


def make_buyer(
    spec: str,
    folder: Path,
    genes: Sequence[str],
    kernel: Kernel,
    reference: CellReference | None = None,
    reward: Mapping[str, float] | None = None,
    *,
    execute_code: bool = False,
) -> Any:
    """Return the agent, or oracle, of a specification.

    Parameters
    ----------
    spec
        As in ``BenchmarkConfig.agents``.
    folder
        Where the agents trained for this fold are saved.
    genes, kernel
        The gene list and the kernel fitted on the training patients: what the oracle's prediction
        gain refers to; ``"design:fitted"``, and any agent of ours that takes a kernel, with
        ``:fitted`` after its name, decides with that kernel too.
    reference, reward
        Of the environment: agents that look for new cell states are handed the atlas, so that new
        means what the reward pays for, and the oracles of the reward its weights, too.
    execute_code
        As :func:`agents.load_agent` takes it.

    Raises
    ------
    InputError
        If there is no such agent.
    """
    from agents.registry import load_agent

    options: dict[str, Any] = {}
    name = spec.removesuffix(FITTED) if is_fitted(spec) else spec
    if name != spec or name in PREDICTION_ORACLES:
        options["kernel"] = kernel
    if name in PREDICTION_ORACLES:
        options["genes"] = list(genes)
    if name in REWARD_ORACLES:
        options |= {"reference": reference, "reward": reward}
    if name in ATLAS_GUIDED:
        options["reference"] = reference
    if options:
        return load_agent(name, **options)
    path = trained_agent(spec, folder) if spec.startswith(LEARNED) else spec
    return load_agent(path, execute_code=execute_code)


def origin_unchecked(spec: str) -> bool:
    """Whether nothing here can say what an agent learned from: a saved or a foreign one."""
    from agents.registry import BUILT_IN

    return not (spec in BUILT_IN or is_fitted(spec) or spec.startswith(LEARNED))


def is_fitted(spec: str) -> bool:
    """Whether an agent of ours is to decide with the kernel fitted on the training patients."""
    from agents.registry import BUILT_IN

    return spec.endswith(FITTED) and spec.removesuffix(FITTED) in BUILT_IN


def trained_agent(spec: str, folder: Path) -> Path:
    """Return where the agent ``"learned:<objective>"`` of a fold is saved."""
    return folder / f"{spec.removeprefix(LEARNED)}.safetensors"


def train_agent(
    spec: str,
    config: BenchmarkConfig,
    slides: Sequence[Slide],
    reference: CellReference,
    path: Path,
    progress: bool = False,
) -> None:
    """Train an agent on the training patients' slides and save it.

    The best checkpoint of a policy is chosen on slides that :func:`checkpoint_slides` names.

    Parameters
    ----------
    spec
        ``"learned:reward"``, for the mission's reward, ``"learned:prediction"``, for the fall of
        the prediction error, or ``"learned:lookahead"``, a model of expression to look ahead with.
    config
        Its ``training_*`` fields.
    slides, reference
        Of the fold.
    path
        Of the file, ``*.safetensors``.
    progress
        Show a progress bar.

    Raises
    ------
    InputError
        If the objective is unknown.
    """
    objective = spec.removeprefix(LEARNED)
    if objective not in LEARNABLE:
        raise InputError(f"agent {spec!r}: it is none of {', '.join(LEARNABLE)}")
    if objective == LOOKAHEAD:
        from agents.lookahead.training import train_lookahead_agent

        train_lookahead_agent(slides, n_genes=config.n_genes, seed=config.training_seed).save(path)
        return
    _train_policy(objective, config, slides, reference, progress).save(path)


def _train_policy(
    objective: str,
    config: BenchmarkConfig,
    slides: Sequence[Slide],
    reference: CellReference,
    progress: bool,
) -> SpotAgent:
    from agents.training import train_spot_agent

    learned_from, judged_on = checkpoint_slides(objective, slides)
    weights = reward_weights(config)
    if objective == "prediction":
        weights = {**dict.fromkeys(weights, 0.0), "prediction": 1.0}
    return train_spot_agent(
        learned_from,
        reference,
        budget=config.learned_at(objective),
        reward=weights,
        total_steps=config.training_steps,
        seed=config.training_seed,
        round_size=config.round_size,
        progress=progress,
        evaluation_slides=judged_on,
        n_threads=1,
    )


def checkpoint_slides(objective: str, slides: Sequence[Slide]) -> tuple[list[Slide], list[Slide]]:
    """Return the slides that a policy learns from, and those on which its best state is chosen.

    For the reward these are of different patients: a quarter of the patients, spread over their
    names in order, are kept from learning. With fewer than four patients, and for prediction, where
    designs differ so little that every patient counts in the choice of the prior, learning takes
    all slides, and the choice is made on one of each patient.
    """
    patients = sorted({slide.patient for slide in slides})
    if objective == "prediction" or len(patients) < MIN_PATIENTS:
        return list(slides), list({slide.patient: slide for slide in slides}.values())
    n_kept = round(len(patients) / 4)
    kept = {patients[k * len(patients) // n_kept] for k in range(n_kept)}
    return (
        [slide for slide in slides if slide.patient not in kept],
        [slide for slide in slides if slide.patient in kept],
    )


def episode_scores(episode: Episode, slide: Slide, reference: CellReference) -> dict[str, float]:
    """Return the reward, its terms, and plain measures of what was bought.

    Parameters
    ----------
    episode
        A finished episode.
    slide, reference
        On which it was played.

    Returns
    -------
    dict of str to float
        ``reward`` and ``reward.<term>``; ``state_coverage``: share of the cell states that are
        nearest to a bought spot; ``type_entropy``: entropy of the mean composition over that of
        equal shares; ``mean_distance``: from a spot to the nearest bought one, in pitches (less
        is better); ``wasted``: purchases that bought nothing.
    """
    from scr2st_env.cell_states import nearest_states
    from scr2st_env.rewards.entropy import entropy

    spots = np.unique(np.asarray(episode.picks, np.int64))
    hidden = slide.hidden
    if hidden is None or hidden.embedding is None or hidden.types is None:
        raise InputError(f"slide {slide.name!r} has no embedding; embed it first")
    place = slide.public.pitch_coordinates
    reached = nearest_states(hidden.embedding[spots], reference.states)
    shares = hidden.types[spots].mean(axis=0, dtype=np.float64)
    return {
        "reward": float(episode.reward),
        **{f"reward.{term}": float(paid) for term, paid in episode.reward_terms.items()},
        "state_coverage": len(np.unique(reached)) / reference.n_states,
        "type_entropy": entropy(shares / shares.sum()) / float(np.log(len(shares))),
        "mean_distance": float(cKDTree(place[spots]).query(place)[0].mean()),
        "wasted": float(episode.wasted),
    }
