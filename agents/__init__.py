"""Who decides which spot is measured next: baselines, oracles, and agents that learn.

Public names are loaded when they are first used; only the learned agents import torch.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from agents.base import Agent as Agent
    from agents.base import FunctionAgent as FunctionAgent
    from agents.base import as_agent as as_agent
    from agents.baselines.clusters import KMeansAgent as KMeansAgent
    from agents.baselines.clusters import TypiClustAgent as TypiClustAgent
    from agents.baselines.design import DesignAgent as DesignAgent
    from agents.baselines.design import RoughDesignAgent as RoughDesignAgent
    from agents.baselines.ensemble import EnsembleUncertaintyAgent as EnsembleUncertaintyAgent
    from agents.baselines.facility_location import FacilityLocationAgent as FacilityLocationAgent
    from agents.baselines.farthest import FarthestPointAgent as FarthestPointAgent
    from agents.baselines.grid import GridAgent as GridAgent
    from agents.baselines.k_center import KCenterAgent as KCenterAgent
    from agents.baselines.leverage import LeverageAgent as LeverageAgent
    from agents.baselines.mutual_information import MutualInformationAgent as MutualInformationAgent
    from agents.baselines.posterior_sampling import PosteriorSamplingAgent as PosteriorSamplingAgent
    from agents.baselines.random import RandomAgent as RandomAgent
    from agents.baselines.scrl import ReleasedSCRLAgent as ReleasedSCRLAgent
    from agents.baselines.scrl import SCRLAgent as SCRLAgent
    from agents.baselines.sketching import GeometricSketchAgent as GeometricSketchAgent
    from agents.denoised_oracle import DenoisedPredictionOracle as DenoisedPredictionOracle
    from agents.denoised_oracle import DenoisedRewardOracle as DenoisedRewardOracle
    from agents.episode import Episode as Episode
    from agents.episode import run_episode as run_episode
    from agents.evaluation import evaluate as evaluate
    from agents.lookahead.agent import LookaheadAgent as LookaheadAgent
    from agents.lookahead.training import train_lookahead_agent as train_lookahead_agent
    from agents.oracle import Oracle as Oracle
    from agents.oracle import PredictionOracle as PredictionOracle
    from agents.oracle import RewardOracle as RewardOracle
    from agents.policy.plain import PlainSpotPolicy as PlainSpotPolicy
    from agents.policy.plain import SpotQPolicy as SpotQPolicy
    from agents.policy.sb3 import SpotPolicy as SpotPolicy
    from agents.registry import agent_names as agent_names
    from agents.registry import load_agent as load_agent
    from agents.spot_agent import SpotAgent as SpotAgent
    from agents.spot_policy import make_spot_agent as make_spot_agent
    from agents.spot_policy import spot_policy_kwargs as spot_policy_kwargs
    from agents.training import train_spot_agent as train_spot_agent
    from agents.vec_env import SpotSamplingVecEnv as SpotSamplingVecEnv

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Agent", "FunctionAgent", "as_agent"],
        "baselines.clusters": ["KMeansAgent", "TypiClustAgent"],
        "baselines.ensemble": ["EnsembleUncertaintyAgent"],
        "baselines.facility_location": ["FacilityLocationAgent"],
        "baselines.k_center": ["KCenterAgent"],
        "baselines.leverage": ["LeverageAgent"],
        "baselines.mutual_information": ["MutualInformationAgent"],
        "baselines.posterior_sampling": ["PosteriorSamplingAgent"],
        "baselines.scrl": ["ReleasedSCRLAgent", "SCRLAgent"],
        "baselines.sketching": ["GeometricSketchAgent"],
        "baselines.design": ["DesignAgent", "RoughDesignAgent"],
        "denoised_oracle": ["DenoisedPredictionOracle", "DenoisedRewardOracle"],
        "episode": ["Episode", "run_episode"],
        "evaluation": ["evaluate"],
        "baselines.farthest": ["FarthestPointAgent"],
        "baselines.grid": ["GridAgent"],
        "lookahead.agent": ["LookaheadAgent"],
        "lookahead.training": ["train_lookahead_agent"],
        "oracle": ["Oracle", "PredictionOracle", "RewardOracle"],
        "baselines.random": ["RandomAgent"],
        "policy.plain": ["PlainSpotPolicy", "SpotQPolicy"],
        "policy.sb3": ["SpotPolicy"],
        "registry": ["agent_names", "load_agent"],
        "spot_agent": ["SpotAgent"],
        "spot_policy": ["make_spot_agent", "spot_policy_kwargs"],
        "training": ["train_spot_agent"],
        "vec_env": ["SpotSamplingVecEnv"],
    },
)
