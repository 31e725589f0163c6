"""Playing SpotSampling-v0 in tests."""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence

import scr2st_env  # noqa: F401 - registers the environment
from scr2st_env import CellReference

MODES = ["full", "compact", "picks"]


def make(
    slides: Sequence[Any], reference: CellReference | None, **options: Any
) -> gym.Env[Any, Any]:
    return gym.make("SpotSampling-v0", slides=slides, reference=reference, **options)


def play(
    env: Any, actions: Iterator[int] | None = None, seed: int = 0, options: Any = None
) -> list[Any]:
    """Play one episode: the given actions, or random available ones; return all transitions."""
    rng = np.random.default_rng(seed)
    steps = [env.reset(seed=seed, options=options)]
    terminated = False
    while not terminated:
        spot = (
            next(actions) if actions else rng.choice(np.flatnonzero(env.unwrapped.action_masks()))
        )
        steps.append(env.step(int(spot)))
        terminated = steps[-1][2]
    return steps


def same(one: Any, other: Any) -> bool:
    """Whether two transitions, observations or infos are equal bit for bit."""
    return data_equivalence(one, other, exact=True)
