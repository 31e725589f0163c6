"""Farthest-point sampling: the simplest way to spread purchases."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from agents.base import MaskAgent
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide


class FarthestPointAgent(MaskAgent):
    """Buys the available spot that is farthest from everything bought so far.

    Spots as far as the farthest within a hundredth of a pitch are drawn from at random.

    Parameters
    ----------
    start
        Where to begin on a slide on which nothing is bought: at a "random" available spot, or at
        the one nearest to the "centre" of all spots.

    References
    ----------
    Gonzalez, Clustering to minimize the maximum intercluster distance, 1985.
    """

    name = "farthest"
    tie: ClassVar[float] = 0.01

    def __init__(self, start: Literal["random", "centre"] = "random") -> None:
        if start not in {"random", "centre"}:
            raise InputError(f"start={start!r}: it is 'random' or 'centre'")
        self.start = start

    def points(self, slide: PublicSlide) -> NDArray[np.floating]:
        """Return what distances are taken between, (N, d): coordinates, in pitches."""
        return slide.pitch_coordinates

    def prepare(self, slide: PublicSlide) -> None:
        """Set every distance to a bought spot to infinity."""
        self.place = self.points(slide)
        self.distance = np.full(slide.n_spots, np.inf)  # (N,)
        self.seen = np.zeros(slide.n_spots, bool)

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the farthest available spot."""
        del slide
        for spot in np.flatnonzero(bought & ~self.seen):
            away = np.linalg.norm(self.place - self.place[spot], axis=1)
            np.minimum(self.distance, away, out=self.distance)
        self.seen = bought.copy()
        if not bought.any() and self.start == "centre":
            from_centre = np.linalg.norm(self.place - self.place.mean(axis=0), axis=1)
            return int(np.where(available, from_centre, np.inf).argmin())
        candidates = np.flatnonzero(available)
        reach = self.distance[candidates]
        return int(self.rng.choice(candidates[reach >= reach.max() - self.tie]))
