"""The prior of a Gaussian process on slides that are too large for its N x N covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, principal_components

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike, NDArray

    from scr2st_env.slide import PublicSlide

    Between = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]

DENSE_UP_TO = 10_000  # spots: the float64 covariance of as many takes 0.8 GB
JITTER = 1e-8
ROWS_AT_ONCE = 8_192


def inducing_factor(
    kernel: Kernel, slide: PublicSlide, rank: int, dtype: DTypeLike = np.float32
) -> NDArray[np.floating]:
    """Return Z, (N, m), with Z Z' = K_NU K_UU^-1 K_UN, from m inducing spots U.

    It is the best guess of K that the m columns of K allow, never forms K, and is K itself where
    U is all spots. The inducing spots are far from each other: each is the one that is least
    alike, by the kernel, to those before it. Time is O(N m^2), memory O(N m).

    Parameters
    ----------
    kernel
        Prior covariance K.
    slide
        Of N spots.
    rank
        m, at most N are used.
    dtype
        Of Z.

    Raises
    ------
    InputError
        If ``rank`` is less than 1.

    References
    ----------
    Quinonero-Candela & Rasmussen, A unifying view of sparse approximate Gaussian process
    regression, 2005, section 4 (subset of regressors).
    """
    if rank < 1:
        raise InputError(f"rank must be at least 1, got {rank}")
    between = covariance_between(kernel, slide)
    inducing = spread_spots(between, slide, min(rank, slide.n_spots))
    among = between(inducing, inducing)
    among[np.diag_indices_from(among)] += JITTER
    root = cholesky(among, lower=True)
    factor = np.empty((slide.n_spots, len(inducing)), dtype)
    for start in range(0, slide.n_spots, ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, slide.n_spots))
        factor[rows] = solve_triangular(root, between(inducing, rows), lower=True).T
    return factor


def covariance_between(kernel: Kernel, slide: PublicSlide) -> Between:
    """Return the function from indices of n and of m spots of a slide to their covariance, (n, m).

    Parameters
    ----------
    kernel
        Prior covariance; on a slide without features it sees coordinates alone.
    slide
        Whose spots are meant.
    """
    place = slide.pitch_coordinates
    if kernel.feature_weight == 0 or slide.n_features == 0:
        return lambda a, b: kernel.between(place[a], place[b])
    look = principal_components(slide.standardised_features, kernel.n_components)
    return lambda a, b: kernel.between(place[a], place[b], look[a], look[b])


def spread_spots(between: Between, slide: PublicSlide, n_wanted: int) -> NDArray[np.int64]:
    """Return spots far from each other, (n_wanted,): each least alike to those before it.

    Parameters
    ----------
    between
        As :func:`covariance_between` returns it.
    slide
        The first spot is the one nearest to its centre.
    n_wanted
        At most the spots of the slide.
    """
    place = slide.pitch_coordinates
    everywhere = np.arange(slide.n_spots)
    spots = [int(((place - place.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    likeness = np.full(slide.n_spots, -np.inf)
    while len(spots) < n_wanted:
        np.maximum(likeness, between(everywhere, np.array(spots[-1:]))[:, 0], out=likeness)
        likeness[spots[-1]] = np.inf  # two spots alike in all that the kernel sees are two
        spots.append(int(likeness.argmin()))
    return np.array(spots)
