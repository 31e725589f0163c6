"""Nuclei of a patch: dark blobs of the haematoxylin channel, counted and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_AREA = 6  # pixels: about one nucleus of 4 um across at 1.4 um per pixel

NUCLEUS_NAMES = (
    "density",
    "covered",
    "threshold",
    "area_mean",
    "area_std",
    "area_p90",
    "eccentricity_mean",
    "eccentricity_std",
    "intensity_mean",
    "intensity_std",
    "contrast",
    "spacing",
)


def nucleus_features(haematoxylin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Segment by Otsu's threshold and describe the blobs.

    Parameters
    ----------
    haematoxylin
        Stain concentration, (height, width).

    Returns
    -------
    ndarray of float64, shape (12,)
        In the order of ``NUCLEUS_NAMES``; areas in pixels, density per 1,000 pixels, spacing (the
        mean distance to the nearest other blob) in pixels. All zero in a patch without blobs.
    """
    smooth = ndimage.gaussian_filter(haematoxylin, 1.0)
    features = np.zeros(len(NUCLEUS_NAMES))
    if np.ptp(smooth) < 1e-6:
        return features
    threshold = float(threshold_otsu(smooth))  # type: ignore[no-untyped-call]
    mask = smooth > threshold
    labels, n_blobs = ndimage.label(mask)
    area = np.bincount(labels.ravel(), minlength=n_blobs + 1)
    kept = np.flatnonzero(area >= MIN_AREA)
    kept = kept[kept > 0]
    features[1:3] = mask.mean(), threshold
    if not kept.size:
        return features
    sizes = area[kept].astype(np.float64)
    eccentricity, centres = _ellipses(labels, kept, sizes)
    intensity = np.bincount(labels.ravel(), haematoxylin.ravel(), n_blobs + 1)[kept] / sizes
    features[0] = 1000 * kept.size / labels.size
    features[3:6] = sizes.mean(), sizes.std(), np.percentile(sizes, 90)
    features[6:8] = eccentricity.mean(), eccentricity.std()
    features[8:10] = intensity.mean(), intensity.std()
    features[10] = haematoxylin[mask].mean() - haematoxylin[~mask].mean()
    if kept.size > 1:
        distance = np.hypot(*(centres[:, :, None] - centres[:, None, :]))
        np.fill_diagonal(distance, np.inf)
        features[11] = distance.min(axis=1).mean()
    return features


def _ellipses(
    labels: NDArray[np.int32], kept: NDArray[np.intp], area: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eccentricity (B,) of the ellipse with each blob's second moments, and centres (2, B)."""
    axes = (np.arange(side, dtype=np.float64) for side in labels.shape)
    rows, columns = np.meshgrid(*axes, indexing="ij")

    def mean_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(labels.ravel(), values.ravel(), labels.max() + 1)
        return sums[kept] / area

    y, x = mean_of(rows), mean_of(columns)
    # one twelfth: the variance of a pixel's own square, so that a line of pixels has a width
    yy = mean_of(rows * rows) - y * y + 1 / 12
    xx = mean_of(columns * columns) - x * x + 1 / 12
    yx = mean_of(rows * columns) - y * x
    middle, half_gap = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    ratio = np.clip((middle - half_gap) / (middle + half_gap), 0, 1)
    return np.sqrt(1 - ratio), np.stack([y, x])
