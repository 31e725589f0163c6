"""The environment ``SpotSampling-v0``."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.envs.batched.environment import SpotSamplingVectorEnv as SpotSamplingVectorEnv
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv as SpotSamplingEnv

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"batched": ["SpotSamplingVectorEnv"], "spot_sampling": ["SpotSamplingEnv"]},
)
