"""Who decides which spot is measured next: baselines, oracles, and the learned spot policy.

Public names are loaded when they are first used; only the learned agents import torch.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from agents.base import Agent, FunctionAgent, as_agent
    from agents.design import DesignAgent
    from agents.episode import Episode, run_episode
    from agents.evaluation import evaluate
    from agents.farthest import FarthestPointAgent
    from agents.grid import GridAgent
    from agents.oracle import Oracle, PredictionOracle, RewardOracle
    from agents.random import RandomAgent
    from agents.registry import agent_names, load_agent
    from agents.spot_agent import SpotAgent
    from agents.training import train_spot_agent

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Agent", "FunctionAgent", "as_agent"],
        "design": ["DesignAgent"],
        "episode": ["Episode", "run_episode"],
        "evaluation": ["evaluate"],
        "farthest": ["FarthestPointAgent"],
        "grid": ["GridAgent"],
        "oracle": ["Oracle", "PredictionOracle", "RewardOracle"],
        "random": ["RandomAgent"],
        "registry": ["agent_names", "load_agent"],
        "spot_agent": ["SpotAgent"],
        "training": ["train_spot_agent"],
    },
)
