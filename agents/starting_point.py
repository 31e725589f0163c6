"""Which prior a policy starts from: the one that earns most on the training slides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from agents.episode import run_episode
from agents.policy.bank import SlideBank
from agents.policy.context import PRIORS, n_spot_inputs
from agents.policy.network import SpotNetwork
from agents.spot_agent import SpotAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scr2st_env.envs.spot_sampling import SpotSamplingEnv

    Scores = Callable[[SpotAgent], NDArray[np.float64]]

CANDIDATES = tuple(torch.eye(len(PRIORS)))  # each of the designs alone


def scores_of(agent: SpotAgent, env: SpotSamplingEnv) -> NDArray[np.float64]:
    """Return the reward of one deterministic episode on each slide, (n_slides,)."""
    return np.array([run_episode(agent, env, slide=slide.name).reward for slide in env.slides])


def mean_scores(parts: Sequence[Scores]) -> Scores:
    """Return the mean of several scores of the same slides, as at several budgets."""

    def scores(agent: SpotAgent) -> NDArray[np.float64]:
        return np.mean([score(agent) for score in parts], axis=0)

    return scores


def by_prior_alone(agent: SpotAgent) -> SpotAgent:
    """Return an agent that decides as an untrained one does, without what only learning uses.

    Parameters
    ----------
    agent
        Untrained: what its network adds to the prior is zero. The prior is shared with it.

    Returns
    -------
    SpotAgent
        Makes the same picks, in less time.
    """
    settings = replace(agent.settings, seen=False, posterior=False, distances=False, feedback=False)
    n_inputs = n_spot_inputs(settings, agent.projection)
    network = SpotNetwork(n_inputs, 1, agent.network.prior_strength)
    network.prior = agent.network.prior
    alone = SpotAgent(network, settings, agent.projection)
    described = [agent.bank.slide(row) for row in range(len(agent.bank.keys))]
    alone.bank = SlideBank(described, settings)
    return alone


def choose_prior(agent: SpotAgent, scores: Scores) -> None:
    """Give the agent the prior with which it scores most on average over the slides.

    Parameters
    ----------
    agent
        Untrained; changed in place, only the weights of its prior are.
    scores
        Returns the agent's score on each training slide.
    """
    earned, alone = [], by_prior_alone(agent)
    for weights in CANDIDATES:
        agent.network.prior.copy_(weights)
        earned.append(scores(alone).mean())
    agent.network.prior.copy_(CANDIDATES[int(np.argmax(earned))])
