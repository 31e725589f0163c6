"""The baseline that everything must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.base import MaskAgent

if TYPE_CHECKING:
    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide


class RandomAgent(MaskAgent):
    """Buys uniformly at random among the available spots."""

    name = "random"

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return a random available spot."""
        del slide, bought
        return int(self.rng.choice(np.flatnonzero(available)))
