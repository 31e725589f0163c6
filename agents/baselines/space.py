"""Where spots lie for baselines that compare them by distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import principal_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]

N_COMPONENTS = 20


def check_feature_weight(weight: float) -> float:
    """Return a share of the features in squared distances, checked to be one."""
    if not 0 <= weight <= 1:
        raise InputError(f"feature_weight must be in [0, 1], got {weight}")
    return weight


def metric_space(slide: PublicSlide, feature_weight: float = 0.5) -> Matrix:
    """Return a point for each spot, so that spots alike in look and place are close.

    The 20 leading principal components of the z-scored features beside the coordinates, each
    block scaled to a root mean squared distance of 1 between two random spots, then weighted. On a
    slide without features it is the coordinates alone.

    Parameters
    ----------
    slide
        Public part of a slide.
    feature_weight
        Share of the features in squared distances, in [0, 1].

    Returns
    -------
    ndarray of float64, shape (N, d)
    """
    place = slide.pitch_coordinates.astype(np.float64)
    place -= place.mean(axis=0)
    place /= np.sqrt(2 * place.var(axis=0).sum()) or 1.0
    if slide.n_features == 0 or feature_weight == 0:
        return place
    look = _leading_components(slide.standardised_features)
    return np.hstack([np.sqrt(feature_weight) * look, np.sqrt(1 - feature_weight) * place])


def _leading_components(features: NDArray[np.float32]) -> Matrix:
    """Return the principal components, on tall matrices by way of D x D, five times as fast."""
    if len(features) <= features.shape[1]:
        return principal_components(features, N_COMPONENTS)
    values = features.astype(np.float64)
    values -= values.mean(axis=0)
    _, axes = np.linalg.eigh(values.T @ values)
    scores: Matrix = values @ axes[:, : -1 - N_COMPONENTS : -1]
    scores /= np.sqrt(2 * scores.var(axis=0).sum()) or 1.0
    return scores
