"""Keeping the best network that training came by."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.episode import run_episode

if TYPE_CHECKING:
    from agents.spot_agent import SpotAgent
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv


class BestCheckpoint(BaseCallback):
    """Scores the deterministic policy from time to time, the untrained one first.

    Parameters
    ----------
    agent
        Whose network is in training.
    env
        With the slides to score on, and its own episodes.
    every
        Environment steps between two scores.
    """

    def __init__(self, agent: SpotAgent, env: SpotSamplingEnv, every: int) -> None:
        super().__init__()
        self.agent = agent
        self.env = env
        self.every = every
        self.scores: list[float] = []
        self._due = 0
        self._best = deepcopy(agent.network.state_dict())

    def restore(self) -> float:
        """Give the agent its best network back and return that network's score."""
        self.agent.network.load_state_dict(self._best)
        return max(self.scores)

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._due:
            self._due += self.every
            self._score()

    def _on_training_end(self) -> None:
        self._score()

    def _on_step(self) -> bool:
        return True

    def _score(self) -> None:
        rewards = [
            run_episode(self.agent, self.env, slide=slide.name).reward for slide in self.env.slides
        ]
        score = float(np.mean(rewards))
        if not self.scores or score > max(self.scores):
            self._best = deepcopy(self.agent.network.state_dict())
        self.scores.append(score)
