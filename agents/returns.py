"""Rewards as gains over the policy that training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium
import numpy as np

from agents.episode import run_episode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.spot_agent import SpotAgent
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv

N_EPISODES = 4


@dataclass(frozen=True, eq=False)
class RewardStatistics:
    """What the untrained policy earns.

    Parameters
    ----------
    expected
        Mean reward of each step, (budget,), by name of the slide.
    scale
        Standard deviation of a step's reward around it; 1 where every reward is the same.
    """

    expected: Mapping[str, NDArray[np.float64]]
    scale: float


def reward_statistics(agent: SpotAgent, env: SpotSamplingEnv, seed: int) -> RewardStatistics:
    """Let an agent play a few episodes on every slide, drawing its picks.

    Parameters
    ----------
    agent
        The untrained agent.
    env
        With the training slides; it is reset.
    seed
        Of the first episode on each slide.

    Returns
    -------
    RewardStatistics
    """
    expected, squares = {}, []
    for slide in env.slides:
        episodes = [
            run_episode(agent, env, slide=slide.name, seed=seed + k, deterministic=False)
            for k in range(N_EPISODES)
        ]
        rewards = np.array([episode.rewards for episode in episodes])
        expected[slide.name] = rewards.mean(axis=0)
        squares.append(rewards.var(axis=0, ddof=1).mean())
    scale = float(np.sqrt(np.mean(squares)))
    return RewardStatistics(expected, scale if scale > 0 else 1.0)


class CentredReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Takes what the untrained policy earns from each reward, and scales the rest.

    The subtrahend depends on the slide and the step alone, so the best policy stays the best.

    Parameters
    ----------
    env
        With the slides of ``statistics``.
    statistics
        Of the untrained policy.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], statistics: RewardStatistics) -> None:
        super().__init__(env)
        self.statistics = statistics

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and count its steps from 0."""
        self.n_steps = 0
        return self.env.reset(**options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Buy a spot."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        expected = self.statistics.expected[info["slide"]][self.n_steps]
        self.n_steps += 1
        centred = (float(reward) - float(expected)) / self.statistics.scale
        return observation, centred, terminated, truncated, info
