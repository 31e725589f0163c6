"""Steps: ratios to ``gym.make("CartPole-v1")`` in the same process, in CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.speed.rows import Row
from benchmarks.speed.tissue import make_reference, make_slide

Play = Callable[[], float]
"""Plays some steps and returns the CPU seconds of one step of one environment."""

DEFAULT = None
HARD = {"states": 0.0, "hard_states": 1.0}


@dataclass(frozen=True)
class Effort:
    """How much is played.

    Parameters
    ----------
    repetitions
        Times that each pair of environments is played.
    n_steps
        Steps of a single environment each time.
    num_envs
        Sub-environments of the batched one.
    n_batched_steps
        Steps of the batched one each time.
    sizes
        Spots of a small, a middle and a large slide.
    """

    repetitions: int = 5
    n_steps: int = 20_000
    num_envs: int = 1_024
    n_batched_steps: int = 200
    sizes: tuple[int, int, int] = (1_000, 5_000, 100_000)


def cartpole(n_steps: int) -> Play:
    """Return a player of random actions, drawn beforehand."""
    env = gym.make("CartPole-v1")
    actions = np.random.default_rng(0).integers(2, size=n_steps)
    env.reset(seed=0)
    return partial(play_single, env, actions)


def spot_sampling(
    n_steps: int, n_spots: int, n_features: int = 64, *, budget: int | None = None, **arguments: Any
) -> Play:
    """Return a player of valid actions, drawn beforehand: every episode buys other spots."""
    budget = min(n_spots // 10, 1_000) if budget is None else budget
    env = gym.make(
        "SpotSampling-v0",
        slides=[make_slide(n_spots, n_features)],
        reference=make_reference(),
        budget=budget,
        info_mask=False,
        **arguments,
    )
    env.reset(seed=0)
    return partial(play_single, env, valid_actions(n_spots, budget, n_steps))


def batched(effort: Effort, n_spots: int, **arguments: Any) -> Play:
    """Return a player of valid actions in many sub-environments at once."""
    budget = n_spots // 10
    envs = gym.make_vec(
        "SpotSampling-v0",
        num_envs=effort.num_envs,
        slides=[make_slide(n_spots, 64)],
        reference=make_reference(),
        budget=budget,
        info_mask=False,
        autoreset_mode="SameStep",
        **arguments,
    )
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(n_spots), (effort.num_envs, 1)), axis=1)[:, :budget]
    actions = np.ascontiguousarray(orders.T)[np.arange(effort.n_batched_steps) % budget]
    return partial(_play_batched, envs, actions)


def valid_actions(n_spots: int, budget: int, n_steps: int) -> Any:
    """Return episode after episode of different spots, (n_steps,)."""
    rng = np.random.default_rng(0)
    n_episodes = -(-n_steps // budget)
    episodes = [rng.choice(n_spots, budget, replace=False) for _ in range(n_episodes)]
    return np.concatenate(episodes)[:n_steps]


def play_single(env: gym.Env[Any, Any], actions: Any) -> float:
    """Play the actions; return the CPU seconds of one step."""
    env.reset()
    start = time.process_time()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return (time.process_time() - start) / len(actions)


def _play_batched(envs: gym.vector.VectorEnv[Any, Any, Any], actions: Any) -> float:
    envs.reset(seed=0)
    start = time.process_time()
    for action in actions:
        envs.step(action)
    return (time.process_time() - start) / len(actions) / envs.num_envs


def _copying(n_spots: int, n_features: int, n_steps: int) -> Play:
    features = np.random.default_rng(0).standard_normal((n_spots, n_features), np.float32)

    def play() -> float:
        start = time.process_time()
        for _ in range(n_steps):
            features.copy()
        return (time.process_time() - start) / n_steps

    return play


def compare(what: str, ours: Play, other: Play, repetitions: int, **asked: Any) -> Row:
    """Return the ratio other / ours, each pair measured one right after the other."""
    pairs = [(other(), ours()) for _ in range(repetitions)]
    slow, fast = np.median(pairs, axis=0) * 1e6
    return Row(
        what,
        [theirs / own for theirs, own in pairs],
        beside=f"{slow:.3g} us / {fast:.3g} us",
        **asked,
    )


def single_rows(effort: Effort) -> Iterator[Row]:
    """Measure single environments against CartPole."""
    small, middle, large = effort.sizes
    rival = cartpole(effort.n_steps)
    make = partial(spot_sampling, effort.n_steps, observation="compact")
    for n_spots, reward, name, bar, aim in (
        (small, DEFAULT, "default", 0.8, None),
        (middle, DEFAULT, "default", 0.8, 1.0),
        (large, DEFAULT, "default", 0.6, None),
        (small, HARD, "hard states", 1.25, None),
        (middle, HARD, "hard states", 1.25, None),
    ):
        yield compare(
            f"CartPole / single, compact, {name} reward, N = {n_spots:,}",
            make(n_spots, reward=reward),
            rival,
            effort.repetitions,
            bar=bar,
            aim=aim,
        )


def width_rows(effort: Effort) -> Iterator[Row]:
    """Measure what a wide encoding costs."""
    middle = effort.sizes[1]
    make = partial(spot_sampling, n_spots=middle)
    yield compare(
        f"compact, D = 1,536 / D = 64, N = {middle:,}",
        make(effort.n_steps, n_features=64, observation="compact"),
        make(effort.n_steps, n_features=1_536, observation="compact"),
        effort.repetitions,
        sense="at most",
        bar=1.1,
    )
    for n_features, n_steps, bar in (
        (64, effort.n_steps // 10, None),
        (1_536, effort.n_steps // 100, 0.8),
    ):
        yield compare(
            f"copy of the features / full, N = {middle:,}, D = {n_features:,}",
            make(n_steps, n_features=n_features, observation="full"),
            _copying(middle, n_features, n_steps),
            effort.repetitions,
            bar=bar,
        )


def batched_rows(effort: Effort) -> Iterator[Row]:
    """Measure the batched environment against CartPole."""
    small, middle, _ = effort.sizes
    rival = cartpole(effort.n_steps)
    for n_spots, observation, bar, aim in (
        (small, "compact", 12.0, 20.0),
        (middle, "compact", 5.0, 10.0),
        (middle, "picks", 8.0, None),
    ):
        yield compare(
            f"CartPole / batched x {effort.num_envs:,}, {observation}, N = {n_spots:,}",
            batched(effort, n_spots, observation=observation),
            rival,
            effort.repetitions,
            bar=bar,
            aim=aim,
        )
