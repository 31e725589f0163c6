"""Rewards: potentials of the set of measured spots, and the authors' formula for comparison."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.rewards.base import BatchedPotential as BatchedPotential
    from scr2st_env.rewards.base import Potential as Potential
    from scr2st_env.rewards.base import Setting as Setting
    from scr2st_env.rewards.base import Term as Term
    from scr2st_env.rewards.compiled import COMPILED as COMPILED
    from scr2st_env.rewards.density import SpatialDensity as SpatialDensity
    from scr2st_env.rewards.entropy import TypeEntropy as TypeEntropy
    from scr2st_env.rewards.information import InformationGain as InformationGain
    from scr2st_env.rewards.information import PredictionGain as PredictionGain
    from scr2st_env.rewards.novelty import ExpectedStates as ExpectedStates
    from scr2st_env.rewards.released import ReleasedReward as ReleasedReward
    from scr2st_env.rewards.states import HardStates as HardStates
    from scr2st_env.rewards.states import SoftStates as SoftStates
    from scr2st_env.rewards.weights import PotentialReward as PotentialReward
    from scr2st_env.rewards.weights import RewardWeights as RewardWeights
    from scr2st_env.rewards.weights import make_reward as make_reward

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["BatchedPotential", "Potential", "Setting", "Term"],
        "compiled": ["COMPILED"],
        "density": ["SpatialDensity"],
        "entropy": ["TypeEntropy"],
        "information": ["InformationGain", "PredictionGain"],
        "novelty": ["ExpectedStates"],
        "released": ["ReleasedReward"],
        "states": ["HardStates", "SoftStates"],
        "weights": ["PotentialReward", "RewardWeights", "make_reward"],
    },
)
