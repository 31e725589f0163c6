"""The Gaussian process that rewards, design agents and a predictor share.

Notation (Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, chapter 2): prior
covariance K over the spots of one slide with unit variance, observation noise variance s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.spatial.distance import cdist

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]

Shape = Literal["smooth", "rough"]


@dataclass(frozen=True)
class Kernel:
    """A radial basis function on coordinates, mixed with one on image features.

    k(i, j) = (1 - w) exp(-|x_i - x_j|^2 / (2 l^2)) + w exp(-|z_i - z_j|^2 / (2 m^2)), and in a
    *rough* kernel exp(-|x_i - x_j| / l) on coordinates (Rasmussen & Williams, eq. 4.18): surfaces
    with detail at every scale, as those of expression programs are.

    Parameters
    ----------
    length
        l, in spot pitches.
    feature_weight
        w in [0, 1]; 0 for a slide without an image.
    feature_length
        m, in units of the root mean squared distance between two random spots of the features.
    n_components
        Principal components of the z-scored features that z keeps.
    noise
        s, the noise variance of one spot, in units of the prior variance.
    shape
        Of the part on coordinates.
    """

    length: float = 3.0
    feature_weight: float = 0.0
    feature_length: float = 1.0
    n_components: int = 20
    noise: float = 1.5
    shape: Shape = "smooth"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not all(value > 0 for value in (self.length, self.feature_length, self.noise)):
            raise InputError(f"kernel lengths and noise must be positive: {self}")
        if self.n_components < 1:
            raise InputError(f"kernel n_components must be at least 1: {self}")
        if not 0 <= self.feature_weight <= 1:
            raise InputError(f"kernel feature_weight must be in [0, 1]: {self}")
        if self.shape not in get_args(Shape):
            raise InputError(f"kernel shape must be one of {list(get_args(Shape))}: {self}")

    def for_slide(self, slide: PublicSlide) -> Matrix:
        """Return K, float64 (N, N), of a slide's spots; coordinates alone without an image."""
        place = slide.pitch_coordinates
        if self.feature_weight == 0 or slide.n_features == 0:
            return self.between(place, place)
        look = principal_components(slide.standardised_features, self.n_components)
        return self.between(place, place, look, look)

    def between(
        self,
        place_a: ArrayLike,
        place_b: ArrayLike,
        look_a: ArrayLike | None = None,
        look_b: ArrayLike | None = None,
    ) -> Matrix:
        """Return the covariance of spots a with spots b.

        Parameters
        ----------
        place_a, place_b
            Coordinates in pitches, (n, 2) and (m, 2).
        look_a, look_b
            Features as :func:`principal_components` returns them, (n, d) and (m, d); without
            them the coordinates carry all the weight.

        Returns
        -------
        ndarray of float64, shape (n, m)
        """
        if self.shape == "rough":
            near = np.exp(-cdist(place_a, place_b) / self.length)
        else:
            near = np.exp(-0.5 * cdist(place_a, place_b, "sqeuclidean") / self.length**2)
        if look_a is None or look_b is None or self.feature_weight == 0:
            return near
        alike = np.exp(-0.5 * cdist(look_a, look_b, "sqeuclidean") / self.feature_length**2)
        return (1 - self.feature_weight) * near + self.feature_weight * alike


def principal_components(features: ArrayLike, n_components: int) -> Matrix:
    """Return the leading principal components, scaled to a typical pair distance of 1.

    Parameters
    ----------
    features
        (N, D).
    n_components
        How many to keep, at most min(N, D).

    Returns
    -------
    ndarray of float64, shape (N, min(n_components, N, D))
        The root mean squared distance of two rows, each drawn at random, is 1.
    """
    values = np.asarray(features, np.float64)
    values = values - values.mean(axis=0)
    left, scale, _ = np.linalg.svd(values, full_matrices=False)
    scores = (left * scale)[:, :n_components]
    pair_distance = np.sqrt(2 * scores.var(axis=0).sum())
    return scores / pair_distance if pair_distance > 0 else scores


class Posterior:
    """Exact posterior over the N spots of one slide, updated spot by spot in O(N^2).

    Parameters
    ----------
    covariance
        Prior covariance K, (N, N); copied.
    noise
        Noise variance s of a measured spot.
    mean
        Prior mean of G quantities, (N, G); copied. Default: none are tracked.
    """

    def __init__(self, covariance: ArrayLike, noise: float, mean: ArrayLike | None = None) -> None:
        self.covariance: Matrix = np.array(covariance, np.float64)
        self.noise = float(noise)
        self.mean: Matrix | None = None if mean is None else np.array(mean, np.float64)

    def copy(self) -> Self:
        """Return an independent copy."""
        return type(self)(self.covariance, self.noise, self.mean)

    @property
    def variance(self) -> Matrix:
        """Posterior variance of every spot, (N,)."""
        return self.covariance.diagonal()

    def observe(self, index: int, values: ArrayLike | None = None) -> None:
        """Condition on one spot.

        C <- C - c c' / (c_i + s),  m <- m + c (y - m_i) / (c_i + s),  c = C[:, i]

        Parameters
        ----------
        index
            The measured spot.
        values
            Its G quantities, (G,), where a mean is tracked.
        """
        column = self.covariance[:, index].copy()
        total = column[index] + self.noise
        if self.mean is not None and values is not None:
            surprise = np.asarray(values, np.float64) - self.mean[index]
            self.mean += np.outer(column / total, surprise)
        self.covariance -= np.outer(column / total, column)

    def design_gain(self) -> Matrix:
        """Return the fall of the mean posterior variance if a spot were measured, (N,).

        A-optimality: (1/N) sum_j C_ij^2 / (C_ii + s), which needs no expression.
        """
        squares = np.einsum("ij,ij->i", self.covariance, self.covariance)
        return squares / (self.variance + self.noise) / len(squares)


def posterior_mean(
    measured: ArrayLike, cross: ArrayLike, values: ArrayLike, noise: float | ArrayLike
) -> Matrix:
    """Return the posterior mean at other spots, prior mean zero.

    m = k' (K + s I)^-1 y (Rasmussen & Williams, eq. 2.25)

    Parameters
    ----------
    measured
        Covariance of the n measured spots, (n, n).
    cross
        Covariance of m other spots with the measured ones, (m, n).
    values
        (n, G).
    noise
        Noise variance, one for all or one per measured spot, (n,).

    Returns
    -------
    ndarray of float64, shape (m, G)
    """
    system = np.array(measured, np.float64)
    system[np.diag_indices_from(system)] += np.asarray(noise)
    solved: Matrix = cho_solve(cho_factor(system, lower=True), np.asarray(values, np.float64))
    return np.asarray(cross, np.float64) @ solved


def low_rank(covariance: ArrayLike, rank: int) -> Matrix:
    """Return U, (N, rank), with U U' the best approximation of ``covariance`` of that rank."""
    matrix = np.asarray(covariance, np.float64)
    n_spots = len(matrix)
    rank = min(rank, n_spots)
    values, vectors = eigh(matrix, subset_by_index=[n_spots - rank, n_spots - 1])
    return vectors[:, ::-1] * np.sqrt(np.clip(values[::-1], 0, None))
