"""Rewards: potentials of the set of measured spots, and the authors' formula for comparison."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.rewards.base import Potential, Setting, Term
    from scr2st_env.rewards.density import SpatialDensity
    from scr2st_env.rewards.information import InformationGain, PredictionGain
    from scr2st_env.rewards.novelty import HardStates, SoftStates, TypeEntropy
    from scr2st_env.rewards.released import ReleasedReward
    from scr2st_env.rewards.weights import PotentialReward, RewardWeights, make_reward

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Potential", "Setting", "Term"],
        "density": ["SpatialDensity"],
        "information": ["InformationGain", "PredictionGain"],
        "novelty": ["HardStates", "SoftStates", "TypeEntropy"],
        "released": ["ReleasedReward"],
        "weights": ["PotentialReward", "RewardWeights", "make_reward"],
    },
)
