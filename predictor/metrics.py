"""Scores of a prediction; the name says the axis, because the axis decides the number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.arrays import finite_matrix
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]


def pearson_per_gene(Y: ArrayLike, P: ArrayLike) -> Vector:
    """Return the correlation of each gene over the spots of one slide.

    Parameters
    ----------
    Y
        Truth, (n, G).
    P
        Prediction, (n, G).

    Returns
    -------
    ndarray of float64, shape (G,)
        0 for a gene that is constant in the truth or in the prediction.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, or there are no spots.

    Examples
    --------
    >>> pearson_per_gene([[1, 0], [2, 0], [3, 0]], [[2, 1], [4, 2], [6, 3]]).round(6).tolist()
    [1.0, 0.0]
    """
    truth, predicted = _pair(Y, P)
    return _pearson(truth.T, predicted.T)


def mean_pearson_per_gene(Y: ArrayLike, P: ArrayLike) -> float:
    """Return the mean over genes of :func:`pearson_per_gene`: the headline of every table."""
    return float(pearson_per_gene(Y, P).mean())


def mean_pearson_per_gene_top(Y: ArrayLike, P: ArrayLike, top: ArrayLike) -> float:
    """Return the mean of :func:`pearson_per_gene` over chosen genes.

    Parameters
    ----------
    Y, P
        Truth and prediction, (n, G).
    top
        Indices of genes chosen on training data, for example :func:`most_variable_genes`;
        choosing them by their test score would flatter.

    Returns
    -------
    float
    """
    index = np.asarray(top)
    if index.ndim != 1 or index.size == 0:
        raise InputError("top must be a list with at least one gene index")
    return float(pearson_per_gene(Y, P)[index].mean())


def most_variable_genes(Y: ArrayLike, n_genes: int = 50) -> NDArray[np.int64]:
    """Return the indices of the genes of largest variance in *training* expression (n, G)."""
    variance = np.asarray(Y, np.float64).var(axis=0)
    return np.argsort(-variance, kind="stable")[:n_genes]


def pearson_per_spot(Y: ArrayLike, P: ArrayLike) -> Vector:
    """Return the correlation of each spot over its genes, (n,).

    Mostly the differences between genes, which any constant profile has too: never a headline.
    """
    return _pearson(*_pair(Y, P))


def mse(Y: ArrayLike, P: ArrayLike) -> float:
    """Return the mean squared error over spots and genes."""
    truth, predicted = _pair(Y, P)
    return float(((truth - predicted) ** 2).mean())


def mae(Y: ArrayLike, P: ArrayLike) -> float:
    """Return the mean absolute error over spots and genes."""
    truth, predicted = _pair(Y, P)
    return float(np.abs(truth - predicted).mean())


def _pearson(truth: Vector, predicted: Vector) -> Vector:
    """Correlate row by row; 0 where a row is constant to float32 accuracy."""
    constant = _is_constant(truth) | _is_constant(predicted)
    truth = truth - truth.mean(axis=1, keepdims=True)
    predicted = predicted - predicted.mean(axis=1, keepdims=True)
    scale = np.sqrt((truth**2).sum(axis=1) * (predicted**2).sum(axis=1))
    product = (truth * predicted).sum(axis=1)
    return np.divide(product, scale, out=np.zeros_like(scale), where=~constant & (scale > 0))


def _is_constant(rows: Vector) -> NDArray[np.bool_]:
    extent = rows.max(axis=1) - rows.min(axis=1)
    return extent <= 1e-6 * np.maximum(np.abs(rows).max(axis=1), 1e-6)


def _pair(Y: ArrayLike, P: ArrayLike) -> tuple[Vector, Vector]:
    truth = finite_matrix(Y, "Y").astype(np.float64)
    predicted = finite_matrix(P, "P").astype(np.float64)
    if truth.shape != predicted.shape or truth.size == 0:
        raise InputError(
            f"truth {truth.shape} and prediction {predicted.shape} must have one shape, not empty"
        )
    return truth, predicted
