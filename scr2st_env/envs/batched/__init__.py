"""Many episodes of ``SpotSampling-v0`` at once."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.envs.batched.environment import SpotSamplingVectorEnv as SpotSamplingVectorEnv

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"environment": ["SpotSamplingVectorEnv"]}
)
