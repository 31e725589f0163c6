"""Evaluation during training: the best network is kept, and what is needed to go on."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.progress_file import ProgressFile, TrainingProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.spot_agent import SpotAgent
    from agents.starting_point import Scores

SEED_LIMIT = 2**31


class BestCheckpoint(BaseCallback):
    """Scores the deterministic policy from time to time, as it was before training first.

    A network takes the place of the best so far if its mean over the slides is higher by more
    than two standard errors of that difference: on a few slides the highest of many scores is
    often the luckiest. Whenever it scores, training stands at a *mark*: episodes begin anew and
    all random numbers are seeded by the seed and the number of steps, so that what follows
    depends on nothing but what a :class:`~agents.progress_file.ProgressFile` holds.

    Parameters
    ----------
    agent
        Whose network is in training.
    scores
        Returns the agent's score on each slide.
    every
        Environment steps between two scores.
    seed
        Of training.
    patience
        Scores in a row without a new best after which training ends; default: never.
    file
        Where to keep the progress; default: nowhere.
    """

    def __init__(
        self,
        agent: SpotAgent,
        scores: Scores,
        every: int,
        *,
        seed: int = 0,
        patience: int | None = None,
        file: ProgressFile | None = None,
    ) -> None:
        super().__init__()
        self.agent = agent
        self.scores_of = scores
        self.every = every
        self.seed = seed
        self.patience = patience
        self.file = file
        self.scores: list[float] = []
        self.best_index = 0
        self._due = 0
        self._is_resuming = False
        self._best: dict[str, Any] = deepcopy(agent.network.state_dict())
        self._best_scores = np.zeros(0)

    def restore(self) -> float:
        """Give the agent its best network back and return that network's score."""
        self.agent.network.load_state_dict(self._best)
        return self.scores[self.best_index]

    def score(self, *, trusted: bool = False) -> None:
        """Score the network as it is; a trusted one takes the place of the best in any case."""
        found = self.scores_of(self.agent)
        if not self.scores or trusted or self._gain(found) > self._doubt(found):
            self._best = deepcopy(self.agent.network.state_dict())
            self._best_scores, self.best_index = found, len(self.scores)
        self.scores.append(float(found.mean()))

    def progress(self) -> TrainingProgress:
        """Return what training at a mark needs to go on."""
        return TrainingProgress(
            steps=self.num_timesteps,
            due=self._due,
            updates=int(self.model._n_updates),  # noqa: SLF001 - no public name
            scores=list(self.scores),
            best_index=self.best_index,
            best_scores=self._best_scores.tolist(),
            network=self.agent.network.state_dict(),
            best=self._best,
            optimizer=self.model.policy.optimizer.state_dict(),
        )

    def continue_from(self, progress: TrainingProgress) -> None:
        """Take the scores and the best network of an interrupted training."""
        self.scores, self.best_index = list(progress.scores), progress.best_index
        self._best_scores, self._best = np.array(progress.best_scores), dict(progress.best)
        self._due, self.num_timesteps = progress.due, progress.steps
        self._is_resuming = True

    def _gain(self, found: NDArray[np.float64]) -> float:
        return float((found - self._best_scores).mean())

    def _doubt(self, found: NDArray[np.float64]) -> float:
        gains = found - self._best_scores
        return float(2 * gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0

    def _on_rollout_start(self) -> None:
        if self._is_resuming:
            self._is_resuming = False
            self._begin_anew()
        if self.num_timesteps < self._due:
            return
        if self.num_timesteps > 0:
            self.score()
            self.logger.record("evaluation/reward", self.scores[-1])
            self.logger.record("evaluation/best", self.scores[self.best_index])
        self._due = self.num_timesteps + self.every
        if self.file is not None:
            self.file.write(self.progress())
        self._begin_anew()

    def _begin_anew(self) -> None:
        seed = (self.seed * 1_000_003 + self.num_timesteps) % SEED_LIMIT
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        model: Any = self.model
        model.env.seed(seed)
        model._last_obs = model.env.reset()  # noqa: SLF001 - where the next rollout begins
        model._last_episode_starts = np.ones(model.env.num_envs, dtype=bool)  # noqa: SLF001

    def _on_training_end(self) -> None:
        self.score()

    def _on_step(self) -> bool:
        waited = len(self.scores) - 1 - self.best_index
        return self.patience is None or waited < self.patience
