"""What the spot policy knows of a slide before the episode: its static inputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from scipy.spatial.distance import cdist

from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, low_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.slide import PublicSlide


@dataclass(frozen=True)
class InputSettings:
    """How a slide is described to the policy.

    Parameters
    ----------
    kernel
        Of the design gain.
    rank
        Of the approximation of the kernel.
    n_components
        Principal components of the features, at most.
    space_lengths
        Length scales, in pitches, at which purchases nearby are counted.
    feature_lengths
        Length scales at which purchases that look alike are counted, in units of the root mean
        squared distance between two random spots of the slide.
    """

    kernel: Kernel = field(default_factory=Kernel)
    rank: int = 48
    n_components: int = 16
    space_lengths: tuple[float, ...] = (1.0, 2.0, 4.0)
    feature_lengths: tuple[float, ...] = (0.35, 0.7)


@dataclass(frozen=True, eq=False)
class FeatureProjection:
    """Principal components of the training slides' features.

    Parameters
    ----------
    encoder
        Name of the patch encoder of the features.
    components
        Float32, (D, P); P is 0 for a policy without an image. A slide's z-scored features times
        ``components`` have unit variance over the training slides.
    """

    encoder: str
    components: NDArray[np.float32]  # (D, P)

    @property
    def n_features(self) -> int:
        """Width of the features, D."""
        return int(self.components.shape[0])

    @property
    def n_components(self) -> int:
        """Number of components, P."""
        return int(self.components.shape[1])

    @classmethod
    def fit(cls, slides: Sequence[PublicSlide], n_components: int) -> Self:
        """Fit the components to the features of all slides, each z-scored by itself.

        Raises
        ------
        InputError
            If the slides' features differ in width or encoder.
        """
        first = slides[0]
        for slide in slides[1:]:
            if (slide.n_features, slide.encoder) != (first.n_features, first.encoder):
                raise InputError(
                    f"slide {slide.name!r} has {slide.n_features} features by {slide.encoder!r}, "
                    f"slide {first.name!r} {first.n_features} by {first.encoder!r}; "
                    "encode all slides alike"
                )
        if first.n_features == 0 or n_components == 0:
            return cls("", np.zeros((first.n_features, 0), np.float32))
        values = np.concatenate([slide.standardised_features for slide in slides])
        covariance = np.cov(values.astype(np.float64), rowvar=False).reshape(
            first.n_features, first.n_features
        )
        variance, axes = np.linalg.eigh(covariance)
        kept = [k for k in range(-1, -1 - min(n_components, variance.size), -1) if variance[k] > 0]
        components = axes[:, kept] / np.sqrt(variance[kept])
        return cls(first.encoder, components.astype(np.float32))

    def apply(self, slide: PublicSlide) -> NDArray[np.float32]:
        """Return the components of a slide's spots, float32, (N, P).

        Raises
        ------
        InputError
            If the slide's features are of another width or encoder.
        """
        if self.n_components == 0:
            return np.zeros((slide.n_spots, 0), np.float32)
        if (slide.n_features, slide.encoder) != (self.n_features, self.encoder):
            raise InputError(
                f"slide {slide.name!r} has {slide.n_features} features by encoder "
                f"{slide.encoder!r}, but the agent was trained on {self.n_features} by "
                f"{self.encoder!r}; run 'scr2st features' with that encoder"
            )
        return slide.standardised_features @ self.components


@dataclass(frozen=True, eq=False)
class SlideInputs:
    """The static inputs of one slide, all float32 tensors.

    Parameters
    ----------
    fingerprint
        Of the public slide that they were made from.
    static
        Inputs of each spot that do not change, (N, F).
    crowding
        Kernels on space and on looks at each length scale, side by side, (N, L N): a selection
        mask times this is the kernel density of purchases around every spot.
    factor
        U with U U' close to the design kernel, (N, r).
    """

    fingerprint: str
    static: torch.Tensor  # (N, F)
    crowding: torch.Tensor  # (N, L N)
    factor: torch.Tensor  # (N, r)

    @property
    def n_spots(self) -> int:
        """Number of spots, N."""
        return len(self.static)


def describe(
    slide: PublicSlide, settings: InputSettings, projection: FeatureProjection
) -> SlideInputs:
    """Compute the static inputs of a slide from its public part.

    Parameters
    ----------
    slide
        Any slide; its features must match ``projection``.
    settings, projection
        As the policy was trained with.

    Returns
    -------
    SlideInputs

    Raises
    ------
    InputError
        If the features do not match.
    """
    looks = projection.apply(slide)
    kernels = [
        _radial(slide.pitch_coordinates, length, unit=1.0) for length in settings.space_lengths
    ]
    if looks.shape[1]:
        unit = float(np.sqrt(2 * looks.var(axis=0).sum())) or 1.0
        kernels += [_radial(looks, length, unit) for length in settings.feature_lengths]
    surroundings = np.log(np.stack([kernel.sum(axis=1) for kernel in kernels], axis=1))
    tissue = np.log1p(slide.tissue_density / slide.tissue_density.mean())
    static = np.column_stack([looks, surroundings - surroundings.mean(axis=0), tissue])
    kernel = settings.kernel
    if projection.n_components == 0:
        kernel = replace(kernel, feature_weight=0.0)
    factor = low_rank(kernel.for_slide(slide), settings.rank)
    return SlideInputs(
        fingerprint=slide.fingerprint,
        static=_tensor(static),
        crowding=_tensor(np.concatenate(kernels, axis=1)),
        factor=_tensor(factor),
    )


def _radial(points: NDArray[np.float32], length: float, unit: float) -> NDArray[np.float64]:
    squared = cdist(points, points, "sqeuclidean")
    return np.exp(-0.5 * squared / (length * unit) ** 2)


def _tensor(array: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
