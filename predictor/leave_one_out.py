"""Leave-one-out errors in closed form: how penalties and kernels are chosen on few spots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


def kernel_residuals(
    covariance: Matrix, values: Matrix, noises: Sequence[float]
) -> Iterator[Matrix]:
    """Yield, per noise variance, the error at each spot predicted from all others.

    e_i = [(K + s I)^-1 y]_i / [(K + s I)^-1]_ii

    Parameters
    ----------
    covariance
        K, (n, n).
    values
        y, (n, G), prior mean zero.
    noises
        The s to try; one eigendecomposition serves all.

    Yields
    ------
    ndarray of float64, shape (n, G)

    References
    ----------
    Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), eq. 5.12.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance)
    rotated = vectors.T @ values
    for noise in noises:
        precision = 1 / (np.clip(eigenvalues, 0, None) + noise)
        diagonal = (vectors**2) @ precision
        yield (vectors * precision) @ rotated / diagonal[:, None]


def ridge_residuals(
    left: Matrix, scale: Matrix, values: Matrix, penalties: Sequence[float]
) -> Iterator[Matrix]:
    """Yield, per penalty, the error at each spot of a ridge regression on all others.

    e_i = (y_i - [H y]_i) / (1 - H_ii),  H = 1/n + U diag(d^2 / (d^2 + penalty)) U'

    Parameters
    ----------
    left, scale
        U (n, r) and d (r,) of the singular value decomposition of the centred features.
    values
        y, (n, G), centred, so that the intercept, which is not penalised, is the 1/n in H.
    penalties
        The penalties to try.

    Yields
    ------
    ndarray of float64, shape (n, G)

    References
    ----------
    Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), eq. 7.64.
    """
    rotated = left.T @ values
    for penalty in penalties:
        shrinkage = scale**2 / (scale**2 + penalty)
        leverage = 1 / len(left) + (left**2) @ shrinkage
        fitted = (left * shrinkage) @ rotated
        yield (values - fitted) / np.maximum(1 - leverage, 1e-6)[:, None]
