"""Uncertainty of an ensemble that predicts what the unmeasured spots would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.baselines.feedback import FeedbackAgent, Returned
from agents.baselines.space import metric_space
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

SEED_LIMIT = 2**31


class EnsembleUncertaintyAgent(FeedbackAgent):
    """Buys the available spot on whose embedding an ensemble disagrees most.

    The members are regression trees from coordinates and features to the embedding, each grown
    on a bootstrap sample of the measured spots (scikit-learn's random forest); disagreement is
    their variance, summed over the dimensions of the embedding. The ensemble is grown anew
    whenever spots come back, and stands still within a round, whose spots may therefore clump.
    Spots of equal variance are drawn from at random.

    Parameters
    ----------
    n_members
        Trees, at least 2.
    min_leaf
        Measured spots in a leaf, at least.

    References
    ----------
    Lakshminarayanan, Pritzel & Blundell, Simple and scalable predictive uncertainty estimation
    using deep ensembles, 2017; Burbidge, Rowland & King, Active learning for regression based on
    query by committee, 2007.
    """

    name = "ensemble-uncertainty"

    def __init__(self, n_members: int = 20, min_leaf: int = 2) -> None:
        if n_members < 2 or min_leaf < 1:
            raise InputError(f"n_members={n_members} must be >= 2 and min_leaf={min_leaf} >= 1")
        self.n_members = n_members
        self.min_leaf = min_leaf

    def prepare(self, slide: PublicSlide) -> None:
        """Lay out the inputs of the ensemble."""
        self.points = metric_space(slide).astype(np.float32)
        self.n_known = 0

    def choose(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, known: Returned
    ) -> int:
        """Return the available spot of the largest variance."""
        del slide, bought
        if known.spots.size != self.n_known:
            self.variance = self._variance(known)  # (N,)
            self.n_known = known.spots.size
        candidates = np.flatnonzero(available)
        variance = self.variance[candidates]
        return int(self.rng.choice(candidates[variance >= variance.max()]))

    def _variance(self, known: Returned) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            self.n_members,
            min_samples_leaf=self.min_leaf,
            random_state=int(self.rng.integers(SEED_LIMIT)),
        ).fit(self.points[known.spots], known.embedding)
        predicted = np.stack(
            [tree.predict(self.points).reshape(len(self.points), -1) for tree in forest.estimators_]
        )
        return predicted.var(axis=0).sum(axis=1)
