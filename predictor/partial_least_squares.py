"""Partial least squares: the directions in which images and expression vary together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.exceptions import ConvergenceWarning

from predictor.base import Cohort, Measured, Predictor, gene_spread, level
from predictor.ridge import MIN_SPOTS, cohort_share
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from predictor.base import Matrix

N_FOLDS = 5


class PartialLeastSquares(Predictor):
    """PLS regression on the z-scored features, with as many components as held-out spots justify.

    With a cohort, as in :class:`predictor.Ridge`: the cohort's PLS regression, fitted within
    groups and scaled by how far the measured spots confirm it, plus a PLS regression of what it
    leaves unexplained there.

    Parameters
    ----------
    n_components
        Components to try, at most.

    Attributes
    ----------
    coefficients_ : ndarray of float64, shape (D, G)
    intercept_ : ndarray of float64, shape (G,)
    n_components_ : int
        Of the fit on the measured spots, from the error over five folds of them: at least one,
        save on top of a cohort; 0 where fewer than four were measured.

    References
    ----------
    Wold, Sjöström & Eriksson, PLS-regression: a basic tool of chemometrics, Chemometrics and
    Intelligent Laboratory Systems 58, 2001.
    """

    def __init__(self, n_components: int = 10) -> None:
        self.n_components = n_components

    def _check_parameters(self) -> None:
        if self.n_components < 1:
            raise InputError(f"n_components must be at least 1, got {self.n_components}")

    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        self.coefficients_ = np.zeros((self.n_features_in_, self.n_genes_))
        if cohort is not None:
            self.coefficients_ = cohort_coefficients(cohort, self.n_components)
        self.intercept_, self.n_components_ = level(measured, cohort), 0
        if measured.n_spots == 0:
            return
        if measured.n_spots >= MIN_SPOTS:
            scale = gene_spread(measured.expression)
            base = self.coefficients_
            base = base * cohort_share(measured.features @ base, measured.expression, scale)
            rest = measured.expression - measured.features @ base
            folds = np.arange(measured.n_spots) % min(N_FOLDS, measured.n_spots)
            least = 1 if cohort is None else 0
            change = pls(measured.features, rest, scale, folds, self.n_components, least)
            self.coefficients_ = base + change.coefficients
            self.n_components_ = change.n_components
        self.intercept_ = self.intercept_ - measured.features.mean(axis=0) @ self.coefficients_

    def _predict(self, features: Matrix, coordinates: Matrix | None) -> Matrix:  # noqa: ARG002
        return features @ self.coefficients_ + self.intercept_


class PLSFit(NamedTuple):
    """What :func:`pls` found: (D, G) coefficients for centred features, and how many components."""

    coefficients: Matrix
    n_components: int


def pls(
    features: Matrix,
    values: Matrix,
    scale: Matrix,
    folds: NDArray[np.integer],
    n_components: int,
    least: int = 1,
) -> PLSFit:
    """Return the PLS regression whose number of components has the least held-out error.

    Parameters
    ----------
    features
        (n, D); centred and z-scored here, and the coefficients scaled back.
    values
        (n, G); centred here.
    scale
        What the error of each gene is divided by, (G,).
    folds
        Fold of each spot, (n,); at least two different ones.
    n_components
        How many to try, at most.
    least
        How many to try, at least.

    Returns
    -------
    PLSFit
    """
    errors = np.zeros(n_components + 1)
    for fold in np.unique(folds):
        held = folds == fold
        known = features[~held], values[~held]
        centre, mean = known[0].mean(axis=0), known[1].mean(axis=0)
        tried = list(pls_coefficients(*known, scale, n_components))
        for count in range(n_components + 1):
            coefficients = tried[min(count, len(tried) - 1)]
            missed = values[held] - mean - (features[held] - centre) @ coefficients
            errors[count] += ((missed / scale) ** 2).sum()
    best = least + int(np.argmin(errors[least:]))
    fitted = list(pls_coefficients(features, values, scale, best))
    return PLSFit(fitted[-1], len(fitted) - 1)


def pls_coefficients(
    features: Matrix, values: Matrix, scale: Matrix, n_components: int
) -> Iterator[Matrix]:
    """Yield the coefficients of 0, 1, ... components, all from one decomposition.

    B_a = diag(1/s) R_a Q_a' diag(scale),  R = W (P'W)^-1

    with weights W, X-loadings P and Y-loadings Q of X / s against Y / scale, and R_a, Q_a the
    first a columns.

    Parameters
    ----------
    features, values, scale
        See :func:`pls`; the genes count alike.
    n_components
        How many, at most: no more than the features have dimensions, nor than it takes to explain
        the values.

    Yields
    ------
    ndarray of float64, shape (D, G)
    """
    centred = features - features.mean(axis=0)
    spread = centred.std(axis=0)
    spread = np.where(spread > 1e-8, spread, np.inf)
    inputs, outputs = centred / spread, (values - values.mean(axis=0)) / scale
    yield np.zeros((features.shape[1], values.shape[1]))
    if not np.abs(outputs).max(initial=0.0) > 1e-9:
        return
    n_components = min(n_components, int(np.linalg.matrix_rank(inputs)))
    if n_components == 0:
        return
    with warnings.catch_warnings():
        # Both are no news: directions of equal strength, and values explained before the end.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "y residual is constant")
        model = PLSRegression(n_components, scale=False).fit(inputs, outputs)
    for count in range(1, n_components + 1):
        rotations, loadings = model.x_rotations_[:, :count], model.y_loadings_[:, :count]
        yield rotations @ loadings.T / spread[:, None] * scale


@lru_cache(maxsize=8)
def cohort_coefficients(cohort: Cohort, n_components: int) -> Matrix:
    """Return the PLS coefficients within the groups of a cohort, (D, G); kept for reuse.

    The number of components is that of least error on groups left out in turn; a cohort of one
    group has its spots left out instead.
    """
    codes, values = cohort.group_codes, cohort.centred_expression
    groups = codes if codes.any() else np.arange(len(codes))
    if len(groups) < 2:
        return np.zeros((cohort.features.shape[1], values.shape[1]))
    scale, folds = gene_spread(values), groups % N_FOLDS
    return pls(cohort.centred_features, values, scale, folds, n_components).coefficients
