"""The core-set baseline: the k-center problem, greedily."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from agents.baselines.farthest import FarthestPointAgent
from agents.baselines.space import check_feature_weight, metric_space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scr2st_env.slide import PublicSlide


class KCenterAgent(FarthestPointAgent):
    """Buys the available spot that is least like everything bought so far, in look and place.

    On a slide without features it is the farthest point of the tissue.

    Parameters
    ----------
    feature_weight
        Share of the features in squared distances; see
        :func:`agents.baselines.space.metric_space`.
    start
        Of :class:`agents.FarthestPointAgent`.

    References
    ----------
    Sener & Savarese, Active learning for convolutional neural networks: a core-set approach, 2018.
    """

    name = "k-center"
    tie: ClassVar[float] = 1e-6

    def __init__(
        self, feature_weight: float = 0.5, start: Literal["random", "centre"] = "random"
    ) -> None:
        super().__init__(start)
        self.feature_weight = check_feature_weight(feature_weight)

    def points(self, slide: PublicSlide) -> NDArray[np.floating]:
        """Return what distances are taken between, (N, d)."""
        return metric_space(slide, self.feature_weight)
