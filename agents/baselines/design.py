"""Optimal design: buy where a Gaussian process learns most, before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.base import MaskAgent
from scr2st_env.gaussian_process import Kernel, Posterior

if TYPE_CHECKING:
    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

TIE = 1e-6


class DesignAgent(MaskAgent):
    """Buys the available spot that lowers the mean posterior variance of all spots most.

    Greedy A-optimal design: argmax over i of (1/N) sum_j C_ij^2 / (C_ii + s), with C the
    posterior covariance after what is bought, initial and pending spots included. The mean runs
    over every spot of the slide, also over those that cannot be bought. A pick costs O(N^2).
    Gains equal within one part in a million are drawn from at random.

    Parameters
    ----------
    kernel
        Prior covariance of the expression of two spots; give it a ``feature_weight`` to let the
        image decide too.

    References
    ----------
    Krause, Singh & Guestrin, Near-optimal sensor placements in Gaussian processes, 2008.
    """

    name = "design"

    def __init__(self, kernel: Kernel | None = None) -> None:
        self.kernel = Kernel() if kernel is None else kernel

    def prepare(self, slide: PublicSlide) -> None:
        """Set the posterior back to the prior."""
        self.posterior = Posterior(self.kernel.for_slide(slide), self.kernel.noise)
        self.observed = np.zeros(slide.n_spots, bool)

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the available spot with the largest design gain."""
        del slide
        for spot in np.flatnonzero(bought & ~self.observed):
            self.posterior.observe(int(spot))
        self.observed = bought.copy()
        candidates = np.flatnonzero(available)
        gain = self.posterior.design_gain()[candidates]
        return int(self.rng.choice(candidates[gain >= gain.max() * (1 - TIE)]))
