"""The world: slides, references, readers, encoders, rewards and ``SpotSampling-v0``.

Importing this package registers the environment and imports neither torch nor anndata: public
names are loaded when they are first used.
"""

from typing import TYPE_CHECKING

import gymnasium
import lazy_loader

from scr2st_env._version import __version__

if TYPE_CHECKING:
    from scr2st_env.envs.batched.environment import SpotSamplingVectorEnv as SpotSamplingVectorEnv
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv as SpotSamplingEnv
    from scr2st_env.errors import InputError as InputError
    from scr2st_env.gaussian_process import Kernel as Kernel
    from scr2st_env.reference import CellReference as CellReference
    from scr2st_env.rewards.base import Setting as Setting
    from scr2st_env.rewards.base import Term as Term
    from scr2st_env.rewards.weights import RewardWeights as RewardWeights
    from scr2st_env.slide import PublicSlide as PublicSlide
    from scr2st_env.slide import Slide as Slide
    from scr2st_env.slide import SlideImage as SlideImage

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "envs.batched.environment": ["SpotSamplingVectorEnv"],
        "envs.spot_sampling": ["SpotSamplingEnv"],
        "errors": ["InputError"],
        "gaussian_process": ["Kernel"],
        "reference": ["CellReference"],
        "rewards.base": ["Setting", "Term"],
        "rewards.weights": ["RewardWeights"],
        "slide": ["PublicSlide", "Slide", "SlideImage"],
    },
)

# The environment refuses a step before reset() by itself, and the tests run Gymnasium's checker on
# every form of it: two wrappers around each step would find nothing, at an eighth of its time.
gymnasium.register(
    id="SpotSampling-v0",
    entry_point="scr2st_env.envs.spot_sampling:SpotSamplingEnv",
    vector_entry_point="scr2st_env.envs.batched.environment:SpotSamplingVectorEnv",
    order_enforce=False,
    disable_env_checker=True,
)
