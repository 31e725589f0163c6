"""Ridge regression with its penalty from leave-one-out errors, alone or on top of a cohort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from predictor.base import Cohort, Measured, Predictor, gene_spread, level
from predictor.leave_one_out import ridge_residuals
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from predictor.base import Matrix

PENALTIES = tuple(10.0 ** np.arange(-3, 3.01, 0.5))
MIN_SPOTS = 4
TRANSFER = 10.0


class Ridge(Predictor):
    """Ridge regression on the principal components of the z-scored features.

    With a cohort the prediction is the cohort's ridge regression (fitted within groups, because
    levels differ between slides), scaled by how far the measured spots confirm it, plus a ridge
    regression of what it leaves unexplained there.

    Parameters
    ----------
    n_components
        Principal components to keep, at most.

    Attributes
    ----------
    coefficients_ : ndarray of float64, shape (D, G)
    intercept_ : ndarray of float64, shape (G,)
    penalty_ : float or None
        Chosen by the leave-one-out error over the measured spots, in units of the mean variance
        of a component times n; None where fewer than four spots were measured.
    """

    def __init__(self, n_components: int = 256) -> None:
        self.n_components = n_components

    def _check_parameters(self) -> None:
        if self.n_components < 1:
            raise InputError(f"n_components must be at least 1, got {self.n_components}")

    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        shape = measured.features.shape[1], measured.expression.shape[1]
        base = np.zeros(shape) if cohort is None else cohort_coefficients(cohort, self.n_components)
        self.coefficients_, self.penalty_ = base, None
        self.intercept_ = level(measured, cohort)
        if measured.n_spots == 0:
            return
        if measured.n_spots >= MIN_SPOTS:
            scale = gene_spread(measured.expression)
            base = base * cohort_share(measured.features @ base, measured.expression, scale)
            rest = measured.expression - measured.features @ base
            change = ridge(measured.features, rest, scale, self.n_components)
            self.coefficients_, self.penalty_ = base + change.coefficients, change.penalty
        self.intercept_ = self.intercept_ - measured.features.mean(axis=0) @ self.coefficients_

    def _predict(self, features: Matrix, coordinates: Matrix | None) -> Matrix:  # noqa: ARG002
        return features @ self.coefficients_ + self.intercept_


class RidgeFit(NamedTuple):
    """What :func:`ridge` found.

    Parameters
    ----------
    coefficients
        For centred features, (D, G).
    penalty
        In units of the sum of squares of the features, divided by n.
    residuals
        Leave-one-out errors at the chosen penalty (before ``stronger``), (n, G).
    """

    coefficients: Matrix
    penalty: float
    residuals: Matrix


def ridge(
    features: Matrix,
    values: Matrix,
    scale: Matrix,
    n_components: int = 256,
    stronger: float = 1.0,
) -> RidgeFit:
    """Return ridge coefficients, (D, G), with the penalty of least leave-one-out error.

    Parameters
    ----------
    features
        (n, D); columns are centred and z-scored here, and the coefficients scaled back.
    values
        (n, G); centred here.
    scale
        What the error of each gene is divided by, (G,).
    n_components
        Leading principal components to keep.
    stronger
        Factor on the chosen penalty.

    Returns
    -------
    RidgeFit
    """
    parts = _Decomposed.of(features, n_components)
    centred = values - values.mean(axis=0)
    penalties = [p * parts.unit for p in PENALTIES]
    residuals = list(ridge_residuals(parts.left, parts.size, centred, penalties))
    best = int(np.argmin([np.mean((rest / scale) ** 2) for rest in residuals]))
    penalty = stronger * PENALTIES[best]
    return RidgeFit(parts.coefficients(centred, penalty), penalty, residuals[best])


def ridge_path(
    features: Matrix, values: Matrix, penalties: Sequence[float], n_components: int = 256
) -> Iterator[Matrix]:
    """Yield the coefficients of :func:`ridge`, (D, G), at one given penalty after the other.

    Parameters
    ----------
    features, values, n_components
        See :func:`ridge`.
    penalties
        In units of the sum of squares of the features, divided by n.

    Yields
    ------
    ndarray of float64, shape (D, G)
    """
    parts = _Decomposed.of(features, n_components)
    centred = values - values.mean(axis=0)
    for penalty in penalties:
        yield parts.coefficients(centred, penalty)


class _Decomposed(NamedTuple):
    """Features z-scored and decomposed, and the unit of penalties."""

    left: Matrix
    size: Matrix
    right: Matrix
    spread: Matrix
    unit: float

    @classmethod
    def of(cls, features: Matrix, n_components: int) -> _Decomposed:
        spread = features.std(axis=0)
        spread = np.where(spread > 1e-8, spread, np.inf)
        left, size, right = np.linalg.svd(
            (features - features.mean(axis=0)) / spread, full_matrices=False
        )
        left, size, right = left[:, :n_components], size[:n_components], right[:n_components]
        unit = (size**2).sum() / len(features) or 1.0
        return cls(left, size, right, spread, unit)

    def coefficients(self, centred: Matrix, penalty: float) -> Matrix:
        shrunk = self.size / (self.size**2 + penalty * self.unit)
        return (self.right.T * shrunk) @ (self.left.T @ centred) / self.spread[:, None]


@lru_cache(maxsize=8)
def cohort_coefficients(cohort: Cohort, n_components: int = 256) -> Matrix:
    """Return the ridge coefficients within the groups of a cohort, (D, G); kept for reuse.

    The penalty is ten times the one of least leave-one-out error, because a new patient is farther
    away than a spot left out of its own slide.
    """
    values = cohort.centred_expression
    scale = gene_spread(values)
    return ridge(cohort.centred_features, values, scale, n_components, TRANSFER).coefficients


def cohort_share(prior: Matrix, values: Matrix, scale: Matrix) -> float:
    """Return how much of a cohort's prediction the measured spots confirm, 0 to 2.

    The least-squares slope of the measured values on the prediction, both centred, one for all
    genes: sum(v p / scale^2) / sum(p^2 / scale^2). With fewer than four spots it is 1.

    Parameters
    ----------
    prior, values
        The cohort's prediction at the measured spots and what was measured there, (n, G).
    scale
        Spread of each gene, (G,).

    Returns
    -------
    float
    """
    if len(prior) < MIN_SPOTS:
        return 1.0
    predicted = (prior - prior.mean(axis=0)) / scale
    found = (values - values.mean(axis=0)) / scale
    power = float((predicted**2).sum())
    return float(np.clip((predicted * found).sum() / power, 0, 2)) if power > 0 else 0.0
