"""The mean of the measured spots that look most alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from predictor.base import Cohort, Measured, Predictor, gene_spread, level
from predictor.ridge import cohort_share
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from predictor.base import Matrix

COHORT_FACTOR = 5


class NearestNeighbours(Predictor):
    """Predict the distance-weighted mean of the nearest spots in feature space.

    With a cohort the same is done twice: neighbours in the cohort (five times as many) give a
    first prediction, scaled by how far the measured spots confirm it, and measured neighbours
    give what it leaves unexplained.

    Parameters
    ----------
    n_neighbors
        How many; fewer where fewer are measured.

    Attributes
    ----------
    level_ : ndarray of float64, shape (G,)
        Mean expression, to which differences are added.
    cohort_share_ : float
        How much of the cohort's prediction is used.
    """

    def __init__(self, n_neighbors: int = 10) -> None:
        self.n_neighbors = n_neighbors

    def _check_parameters(self) -> None:
        if self.n_neighbors < 1:
            raise InputError(f"n_neighbors must be at least 1, got {self.n_neighbors}")

    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        self.cohort_neighbours_ = None
        if cohort is not None:
            k = COHORT_FACTOR * self.n_neighbors
            features = cohort.features.astype(np.float64)
            self.cohort_neighbours_ = _nearest(k, features, cohort.centred_expression)
        prior = self._cohort_change(measured.features)
        rest = measured.expression - level(measured, cohort)
        scale = gene_spread(measured.expression) if measured.n_spots else np.ones(self.n_genes_)
        self.cohort_share_ = cohort_share(prior, rest, scale)
        rest = rest - self.cohort_share_ * prior
        correction = rest.mean(axis=0) if measured.n_spots else 0.0
        self.level_ = level(measured, cohort) + correction
        self.neighbours_ = None
        if measured.n_spots:
            self.neighbours_ = _nearest(self.n_neighbors, measured.features, rest - correction)

    def _predict(self, features: Matrix, coordinates: Matrix | None) -> Matrix:  # noqa: ARG002
        predicted = self.level_ + self.cohort_share_ * self._cohort_change(features)
        if self.neighbours_ is None:
            return predicted
        return predicted + self.neighbours_.predict(features)

    def _cohort_change(self, features: Matrix) -> Matrix:
        if self.cohort_neighbours_ is None or len(features) == 0:
            return np.zeros((len(features), self.n_genes_))
        return np.asarray(self.cohort_neighbours_.predict(features), np.float64)


def _nearest(n_neighbors: int, features: Matrix, values: Matrix) -> KNeighborsRegressor:
    n_neighbors = min(n_neighbors, len(features))
    return KNeighborsRegressor(n_neighbors, weights="distance").fit(features, values)
