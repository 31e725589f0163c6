"""Representatives of clusters: k-means and TypiClust."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from agents.baselines.planned import PlannedAgent
from agents.baselines.space import check_feature_weight, metric_space
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

SEED_LIMIT = 2**31


class KMeansAgent(PlannedAgent):
    """Buys the spot nearest to the centre of each of as many clusters as spots can be paid.

    scikit-learn's k-means makes one cluster for each spot that will be measured, over all spots
    of the slide; clusters that hold a bought spot are covered, the others are represented by
    their available spot nearest to the centre, the largest first.

    Parameters
    ----------
    feature_weight
        Share of the features in squared distances; see
        :func:`agents.baselines.space.metric_space`.
    """

    name = "k-means"

    def __init__(self, feature_weight: float = 0.5) -> None:
        self.feature_weight = check_feature_weight(feature_weight)

    def lay(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, n_wanted: int
    ) -> NDArray[np.int64]:
        """Return the representatives of the uncovered clusters."""
        from sklearn.cluster import KMeans

        points = metric_space(slide, self.feature_weight)
        fitted = KMeans(
            int(bought.sum()) + n_wanted,
            n_init=1,
            random_state=int(self.rng.integers(SEED_LIMIT)),
        ).fit(points)
        cluster, centres = fitted.labels_, fitted.cluster_centers_
        candidates = np.flatnonzero(available)
        away = np.linalg.norm(points[candidates] - centres[cluster[candidates]], axis=1)
        candidates = candidates[np.argsort(away, kind="stable")]
        clusters, nearest = np.unique(cluster[candidates], return_index=True)
        is_open = ~np.isin(clusters, cluster[bought])
        sizes = np.bincount(cluster)[clusters[is_open]]
        return candidates[nearest[is_open]][np.argsort(-sizes, kind="stable")]


class TypiClustAgent(PlannedAgent):
    """Buys the most typical spot of each of as many clusters as spots can be paid.

    Typical is a spot whose five nearest neighbours in its cluster are close. It wraps
    scikit-activeml's ``TypiClust`` and looks at the spots that are bought or available, so that
    no cluster is without a spot to buy.

    Parameters
    ----------
    feature_weight
        Share of the features in squared distances; see
        :func:`agents.baselines.space.metric_space`.

    References
    ----------
    Hacohen, Dekel & Weinshall, Active learning on a budget: opposite strategies suit high and low
    budgets, 2022.
    """

    name = "typiclust"

    def __init__(self, feature_weight: float = 0.5) -> None:
        if find_spec("skactiveml") is None:
            raise InputError(
                "agent 'typiclust' needs scikit-activeml; run: pip install 'scr2st[baselines]'"
            )
        self.feature_weight = check_feature_weight(feature_weight)

    def lay(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, n_wanted: int
    ) -> NDArray[np.int64]:
        """Return the most typical spots of the uncovered clusters."""
        from skactiveml.pool import TypiClust

        spots = np.flatnonzero(bought | available)
        labels = np.where(bought[spots], 0.0, np.nan)
        strategy = TypiClust(random_state=int(self.rng.integers(SEED_LIMIT)))
        points = metric_space(slide, self.feature_weight)[spots]
        return spots[strategy.query(points, labels, batch_size=n_wanted)]
