"""Which prior a policy starts from: the one that earns most on the training slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from agents.episode import run_episode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents.spot_agent import SpotAgent
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv

    Scores = Callable[[SpotAgent], NDArray[np.float64]]

CANDIDATES = (  # weights of design, spread, cover and distance
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (0.0, 0.0, 0.0, 1.0),
)


def scores_of(agent: SpotAgent, env: SpotSamplingEnv) -> NDArray[np.float64]:
    """Return the reward of one deterministic episode on each slide, (n_slides,)."""
    return np.array([run_episode(agent, env, slide=slide.name).reward for slide in env.slides])


def choose_prior(agent: SpotAgent, scores: Scores) -> None:
    """Give the agent the prior with which it scores most on average over the slides.

    Parameters
    ----------
    agent
        Changed in place; only the weights of its prior are.
    scores
        Returns the agent's score on each training slide.
    """
    earned = []
    for weights in CANDIDATES:
        agent.network.prior.copy_(torch.tensor(weights))
        earned.append(scores(agent).mean())
    agent.network.prior.copy_(torch.tensor(CANDIDATES[int(np.argmax(earned))]))
