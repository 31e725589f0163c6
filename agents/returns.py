"""Rewards as gains over the policy that training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from agents.episode import run_episode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.spot_agent import SpotAgent
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv

N_EPISODES = 4


@dataclass(frozen=True, eq=False)
class RewardStatistics:
    """What the policy earns before it learns.

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
        The agent that training starts from.
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


class CentredRewards(VecEnvWrapper):
    """Takes what the starting policy earns from each reward, and scales the rest.

    The subtrahend depends on the slide and the step alone, so the best policy stays the best.

    Parameters
    ----------
    venv
        With the slides of ``statistics``.
    statistics
        Of the policy that training starts from.
    """

    def __init__(self, venv: VecEnv, statistics: RewardStatistics) -> None:
        super().__init__(venv)
        self.statistics = statistics
        self.n_steps = np.zeros(venv.num_envs, np.int64)

    def reset(self) -> Any:
        """Begin all episodes and count their steps from 0."""
        self.n_steps[:] = 0
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        """Buy a spot in every sub-environment."""
        observations, rewards, ended, infos = self.venv.step_wait()
        expected = [
            self.statistics.expected[info["slide"]][step]
            for info, step in zip(infos, self.n_steps, strict=True)
        ]
        self.n_steps = np.where(ended, 0, self.n_steps + 1)
        centred = (rewards - np.array(expected)) / self.statistics.scale
        return observations, centred.astype(np.float32), ended, infos
