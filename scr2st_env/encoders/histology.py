"""The default patch encoder: what a pathologist's eye measures, without any download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

from scr2st_env.encoders.nuclei import NUCLEUS_NAMES, nucleus_features
from scr2st_env.encoders.pixels import checked_patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray

    Image = NDArray[np.float64]

WORKING_SIDE = 112  # pixels; 1.4 um each for a patch of 154 um, a nucleus is 6 pixels across
PERCENTILES = (5, 25, 50, 75, 95)
LEVELS = 16
DISTANCES = (1, 2, 4, 8)
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
TEXTURE = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
RINGS = ((8, 1), (16, 3), (24, 6))  # (points, radius in pixels)
SCALES = (1, 2, 4, 8)
HAEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)  # absorbance of red, green, blue
UNMIX = np.linalg.inv(np.stack([HAEMATOXYLIN, EOSIN, np.cross(HAEMATOXYLIN, EOSIN)]))
# The ends of the grey scales of the co-occurrence, fixed so that sections can be compared.
ABSORBANCE_RANGE, LIGHTNESS_RANGE = (0.0, 3.0), (0.0, 100.0)


class HistologyEncoder:
    """Stain, colour, texture and nuclei of a patch, with scikit-image.

    Per patch: haematoxylin and eosin by colour deconvolution [1]_ (mean, spread, percentiles),
    CIELAB statistics, grey-level co-occurrence [2]_ of haematoxylin and
    lightness at four distances, uniform
    local binary patterns [3]_, gradient energy at four scales, the layout on a 3 x 3 grid,
    and nuclei found by Otsu's threshold. Features are absolute, not standardised: stain
    differs between sections, so z-score them per slide
    (:attr:`scr2st_env.PublicSlide.standardised_features` does).

    Attributes
    ----------
    name
        ``"histology-v1"``.
    feature_names
        One name per feature.
    dim
        Number of features.

    References
    ----------
    .. [1] Ruifrok & Johnston (2001), Anal. Quant. Cytol. Histol. 23, 291-299.
    .. [2] Haralick, Shanmugam & Dinstein (1973), IEEE Trans. SMC 3, 610-621.
    .. [3] Ojala, Pietikainen & Maenpaa (2002), IEEE TPAMI 24, 971-987.

    Examples
    --------
    >>> import numpy as np
    >>> encoder = HistologyEncoder()
    >>> encoder.encode(np.full((2, 64, 64, 3), 255, np.uint8)).shape == (2, encoder.dim)
    True
    """

    name = "histology-v1"

    def __init__(self) -> None:
        self.feature_names: tuple[str, ...] = _feature_names()
        self.dim = len(self.feature_names)

    def encode(self, patches: NDArray[np.uint8]) -> FloatArray:
        """Describe patches.

        Parameters
        ----------
        patches
            RGB, uint8, (n, height, width, 3), sides of at least 16 pixels.

        Returns
        -------
        ndarray of float32, shape (n, dim)
            Finite for every patch, a blank one included.

        Raises
        ------
        InputError
            If the array has another type or shape.
        """
        checked = checked_patches(patches)
        features = np.empty((len(checked), self.dim), np.float32)
        for row, patch in zip(features, checked, strict=True):
            row[:] = _describe(_shrunk(patch))
        return features


def _shrunk(patch: NDArray[np.uint8]) -> Image:
    """Average blocks of pixels until the shorter side is about the working size; values 0..1."""
    height, width = patch.shape[:2]
    block = max(1, round(min(height, width) / WORKING_SIDE))
    height, width = height // block, width // block
    blocks = patch[: height * block, : width * block].reshape(height, block, width, block, 3)
    return blocks.mean(axis=(1, 3), dtype=np.float64) / 255


def _describe(rgb: Image) -> Image:
    haematoxylin, eosin = _stains(rgb)
    lab = rgb2lab(rgb)
    lightness = lab[..., 0]
    parts = [
        *(_distribution(channel) for channel in (haematoxylin, eosin, *np.moveaxis(lab, -1, 0))),
        _cooccurrence(haematoxylin, *ABSORBANCE_RANGE),
        _cooccurrence(lightness, *LIGHTNESS_RANGE),
        *(_binary_patterns(lightness, *ring) for ring in RINGS),
        *(_gradient_energy(channel) for channel in (haematoxylin, eosin)),
        _layout(np.dstack([haematoxylin, eosin, lightness])),
        nucleus_features(haematoxylin),
    ]
    return np.concatenate(parts)


def _stains(rgb: Image) -> tuple[Image, Image]:
    """Absorbance due to haematoxylin and to eosin (Beer-Lambert), each (height, width)."""
    absorbance = -np.log(np.maximum(rgb, 1 / 255))
    unmixed = absorbance @ UNMIX
    return unmixed[..., 0], unmixed[..., 1]


def _feature_names() -> tuple[str, ...]:
    stains = ("haematoxylin", "eosin")
    statistics = ("mean", "std", *(f"p{percentile}" for percentile in PERCENTILES))
    names = [f"{c}_{s}" for c in (*stains, "L", "a", "b") for s in statistics]
    textures = [f"{texture}_{distance}" for texture in TEXTURE for distance in DISTANCES]
    names += [f"{c}_glcm_{texture}" for c in ("haematoxylin", "L") for texture in textures]
    names += [f"lbp_{points}_{radius}_{k}" for points, radius in RINGS for k in range(points + 2)]
    gradients = [f"gradient_{s}_{scale}" for s in ("mean", "std") for scale in SCALES]
    names += [f"{c}_{gradient}" for c in stains for gradient in gradients]
    names += [f"{c}_{s}" for s in ("centre_contrast", "layout_std") for c in (*stains, "L")]
    names += [f"nuclei_{name}" for name in NUCLEUS_NAMES]
    return tuple(names)


def _distribution(channel: Image) -> Image:
    return np.array([channel.mean(), channel.std(), *np.percentile(channel, PERCENTILES)])


def _cooccurrence(channel: Image, low: float, high: float) -> Image:
    """Haralick's properties averaged over four directions, property by distance."""
    levels = np.clip((channel - low) / (high - low) * LEVELS, 0, LEVELS - 1).astype(np.uint8)
    matrix = graycomatrix(  # type: ignore[no-untyped-call]
        levels, DISTANCES, ANGLES, levels=LEVELS, symmetric=True, normed=True
    )
    properties = [graycoprops(matrix, name) for name in TEXTURE]  # type: ignore[no-untyped-call]
    return np.concatenate([values.mean(axis=1) for values in properties])


def _binary_patterns(lightness: Image, points: int, radius: int) -> Image:
    grey = np.rint(lightness * 2.55).astype(np.uint8)
    codes = local_binary_pattern(  # type: ignore[no-untyped-call]
        grey, points, radius, method="uniform"
    )
    return np.bincount(codes.astype(np.intp).ravel(), minlength=points + 2) / codes.size


def _gradient_energy(stain: Image) -> Image:
    steepness = [ndimage.gaussian_gradient_magnitude(stain, scale) for scale in SCALES]
    return np.array([g.mean() for g in steepness] + [g.std() for g in steepness])


def _layout(channels: Image) -> Image:
    """Contrast of the central ninth with the mean, and spread over the nine ninths."""
    height, width = channels.shape[:2]
    rows, columns = np.arange(3) * height // 3, np.arange(3) * width // 3
    sums = np.add.reduceat(np.add.reduceat(channels, rows, axis=0), columns, axis=1)
    sizes = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    means = (sums / sizes[..., None]).reshape(9, -1)
    return np.concatenate([means[4] - means.mean(axis=0), means.std(axis=0)])
