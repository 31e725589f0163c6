"""The weakest baseline: every spot is the mean spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from predictor.base import Cohort, Measured, Predictor, level

if TYPE_CHECKING:
    from predictor.base import Matrix


class MeanPredictor(Predictor):
    """Predict the mean expression of the measured spots (of the cohort if none is measured).

    Attributes
    ----------
    level_ : ndarray of float64, shape (G,)
        The mean.

    Examples
    --------
    >>> MeanPredictor().fit([[0.0], [1.0]], [[2.0], [4.0]]).predict([[5.0]]).tolist()
    [[3.0]]
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        self.level_ = level(measured, cohort)

    def _predict(self, features: Matrix, coordinates: Matrix | None) -> Matrix:  # noqa: ARG002
        return np.tile(self.level_, (len(features), 1))
