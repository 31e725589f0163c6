"""Facility location: no spot far from a bought one, on average."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.base import MaskAgent
from agents.baselines.space import check_feature_weight, metric_space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]

ENTRIES_AT_ONCE = 2**22
TIE = 1e-9


class FacilityLocationAgent(MaskAgent):
    """Buys the available spot that brings all spots of the slide nearest to a bought one.

    Greedy minimisation of sum_j min_{i bought} |x_j - x_i|^2, the sum over every spot of the
    slide; on an empty slide it begins at the spot nearest to the mean. Each time a distance D_j
    shrinks, only what spot j contributes to the gains is computed anew, so that a whole episode
    costs O(N^2 log budget) and no N x N matrix is held. Gains equal within one part in a billion
    are drawn from at random.

    Parameters
    ----------
    feature_weight
        Share of the features in squared distances; see
        :func:`agents.baselines.space.metric_space`.

    References
    ----------
    Nemhauser, Wolsey & Fisher, An analysis of approximations for maximizing submodular set
    functions, 1978.
    """

    name = "facility-location"

    def __init__(self, feature_weight: float = 0.5) -> None:
        self.feature_weight = check_feature_weight(feature_weight)

    def prepare(self, slide: PublicSlide) -> None:
        """Lay out the points."""
        self.points = metric_space(slide, self.feature_weight)
        self.norms = np.einsum("ij,ij->i", self.points, self.points)
        self.nearest = np.full(slide.n_spots, np.inf)  # D, squared distance to a bought spot
        self.gain = np.zeros(slide.n_spots)  # sum_j max(0, D_j - d_ij)
        self.seen = np.zeros(slide.n_spots, bool)

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the available spot of the largest gain."""
        del slide
        fresh = np.flatnonzero(bought & ~self.seen)
        if fresh.size:
            self._serve(fresh)
        self.seen = bought.copy()
        candidates = np.flatnonzero(available)
        gain = self.gain[candidates] if bought.any() else -self._from_mean()[candidates]
        best = gain.max()
        return int(self.rng.choice(candidates[gain >= best - TIE * (abs(best) + TIE)]))

    def _from_mean(self) -> Matrix:
        away: Matrix = ((self.points - self.points.mean(axis=0)) ** 2).sum(axis=1)
        return away

    def _serve(self, fresh: NDArray[np.int64]) -> None:
        """Let newly bought spots serve those that they are nearest to."""
        before = self.nearest
        self.nearest = before.copy()
        for spot in fresh:
            away = self._squared_distances(np.array([spot]))[0]
            np.minimum(self.nearest, away, out=self.nearest)
        nearer = np.flatnonzero(self.nearest < before)
        rows = max(1, ENTRIES_AT_ONCE // len(self.points))
        for start in range(0, nearer.size, rows):
            block = nearer[start : start + rows]
            away = self._squared_distances(block)  # (block, N)
            now, then = self.nearest[block, None], before[block, None]
            if np.isinf(then[0, 0]):
                self.gain += np.maximum(now - away, 0).sum(axis=0)
            else:
                np.clip(away, now, then, out=away)
                self.gain += away.sum(axis=0) - then.sum()

    def _squared_distances(self, spots: NDArray[np.int64]) -> Matrix:
        away: Matrix = self.points[spots] @ self.points.T
        away *= -2
        away += self.norms[spots, None]
        away += self.norms
        away[np.arange(len(spots)), spots] = 0
        return np.maximum(away, 0, out=away)
