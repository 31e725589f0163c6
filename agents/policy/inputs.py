"""What the spot policy knows of a slide before the episode: its static inputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from agents.policy.feedback import N_NEIGHBOURS
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, low_rank
from scr2st_env.rewards.density import reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.slide import PublicSlide

SEEN = 0.99  # how much of itself a measured spot shows; 1 would have an infinite logarithm
ROUGH_LENGTH = 10.0  # in pitches
ROUGH_NOISE = 0.1
NEGLIGIBLE = 1e-6  # of the largest variance: below it, float32 features show only rounding


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
        Length scales at which spots nearby count as seen, in units of the reach of a
        measured spot (:func:`scr2st_env.rewards.density.reach`); the reach itself, with a sharp
        edge, is always one.
    feature_lengths
        Length scales at which spots with like features count as seen, in units of the root mean
        squared distance between two random spots of the slide.
    seen
        Whether the inputs tell how much of a spot, and of what it would show, is seen already.
    posterior
        Whether they tell the posterior variance given the purchases and how it would fall.
    distances
        Whether they tell the distance to the nearest purchase, in space and in features.
    prior
        Whether the policy starts from a design; without it, from chance. With all four False it
        decides by what never changes on a slide alone, which is fast to train.
    feedback
        Whether the inputs tell what the measured spots showed
        (:func:`agents.policy.feedback.feedback_inputs`).
    belief
        Kernel of the embeddings under ``feedback``.
    """

    kernel: Kernel = field(default_factory=Kernel)
    rank: int = 48
    n_components: int = 16
    space_lengths: tuple[float, ...] = (0.75, 1.5)
    feature_lengths: tuple[float, ...] = (0.35, 0.7)
    seen: bool = True
    posterior: bool = True
    distances: bool = False
    prior: bool = True
    feedback: bool = False
    belief: Kernel = field(default_factory=lambda: Kernel(feature_weight=0.5))


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
        leading = range(-1, -1 - min(n_components, variance.size), -1)
        kept = [k for k in leading if variance[k] > NEGLIGIBLE * variance[-1]]
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
    fingerprint, n_measured
        Of the public slide that they were made from, and the measured spots they were made for.
    static
        Inputs of each spot that do not change, (N, F).
    place
        Coordinates in pitches, (N, 2).
    similarity
        How much of spot j is seen when spot i is measured, in [0, 1], at each length scale in
        space and in features, (L, N, N).
    typical
        How much the mean spot sees of all, at each length scale, (L,).
    unseen
        log(1 - similarity), side by side, (N, L N): a selection mask times this is the logarithm of
        what remains unseen of every spot.
    factor
        U with U U' close to the design kernel, (N, r).
    rough
        Covariance of a rough surface, Matern 3/2 of 10 pitches, (N, N): its posterior variance
        grows with the distance to purchases, most of all beyond them.
    away
        Distances between spots in pitches, (N, N).
    unlike
        Distances between spots in features, in units of the root mean squared one, (1, N, N);
        (0, N, N) where the policy has no use for them.
    tissue
        Density of the tissue at each spot, (N,).
    belief
        V with V V' close to the kernel of the embeddings, (N, r); (N, 0) without feedback.
    neighbours
        The spots nearest to each spot, int64, (N, 6); (N, 0) without feedback.
    """

    fingerprint: str
    n_measured: int
    static: torch.Tensor  # (N, F)
    place: torch.Tensor  # (N, 2)
    similarity: torch.Tensor  # (L, N, N)
    typical: torch.Tensor  # (L,)
    unseen: torch.Tensor  # (N, L N)
    factor: torch.Tensor  # (N, r)
    rough: torch.Tensor  # (N, N)
    away: torch.Tensor  # (N, N)
    unlike: torch.Tensor  # (0 or 1, N, N)
    tissue: torch.Tensor  # (N,)
    belief: torch.Tensor  # (N, r)
    neighbours: torch.Tensor  # (N, 6)

    @property
    def n_spots(self) -> int:
        """Number of spots, N."""
        return len(self.static)


def describe(
    slide: PublicSlide, n_measured: int, settings: InputSettings, projection: FeatureProjection
) -> SlideInputs:
    """Compute the static inputs of a slide from its public part.

    Parameters
    ----------
    slide
        Any slide; its features must match ``projection``.
    n_measured
        Measured spots when the budget is spent: the budget and the initial spots, as for rewards.
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
    components = projection.apply(slide)
    similarity = _similarity(slide, components, n_measured, settings)
    seen = similarity.sum(axis=2)  # (L, N)
    surroundings = np.log(seen).T
    tissue = np.log1p(slide.tissue_density / slide.tissue_density.mean())
    return SlideInputs(
        fingerprint=slide.fingerprint,
        n_measured=n_measured,
        static=_tensor(
            np.column_stack([components, surroundings - surroundings.mean(axis=0), tissue])
        ),
        place=_tensor(slide.pitch_coordinates.astype(np.float64)),
        similarity=_tensor(similarity),
        typical=_tensor(seen.mean(axis=1)),
        unseen=_tensor(np.concatenate(np.log1p(-SEEN * similarity), axis=1)),
        factor=_factor(settings.kernel, slide, settings, projection),
        rough=_tensor(_matern(slide.pitch_coordinates, ROUGH_LENGTH)),
        away=_tensor(cdist(slide.pitch_coordinates, slide.pitch_coordinates)),
        unlike=_tensor(_unlike(components, settings)),
        tissue=_tensor(slide.tissue_density.astype(np.float64)),
        belief=(
            _factor(settings.belief, slide, settings, projection)
            if settings.feedback
            else torch.zeros(slide.n_spots, 0)
        ),
        neighbours=_neighbours(slide, N_NEIGHBOURS if settings.feedback else 0),
    )


def _similarity(
    slide: PublicSlide, components: NDArray[np.float32], n_measured: int, settings: InputSettings
) -> NDArray[np.float64]:
    """Return the kernels on space and components at every length scale, (L, N, N)."""
    coordinates = slide.coordinates.astype(np.float64)
    radius = reach(slide, n_measured)
    within = (cdist(coordinates, coordinates) <= radius * (1 + 1e-3)).astype(np.float64)
    kernels = [
        within,
        *(_radial(coordinates, length * radius) for length in settings.space_lengths),
    ]
    if components.shape[1]:
        unit = _typical_distance(components)
        kernels += [_radial(components, length * unit) for length in settings.feature_lengths]
    return np.stack(kernels)


def _factor(
    kernel: Kernel, slide: PublicSlide, settings: InputSettings, projection: FeatureProjection
) -> torch.Tensor:
    """Return U with U U' close to the kernel; on coordinates alone without an image."""
    if projection.n_components == 0:
        kernel = replace(kernel, feature_weight=0.0)
    return _tensor(low_rank(kernel.for_slide(slide), settings.rank))


def _neighbours(slide: PublicSlide, n_neighbours: int) -> torch.Tensor:
    """Return the nearest other spots of each spot, int64, (N, n); ties in no particular order."""
    n_kept = min(n_neighbours, slide.n_spots - 1)
    if n_kept < 1:
        return torch.zeros(slide.n_spots, 0, dtype=torch.int64)
    place = slide.pitch_coordinates
    _, nearest = cKDTree(place).query(place, k=range(2, n_kept + 2))
    return torch.from_numpy(np.asarray(nearest, np.int64))


def _unlike(components: NDArray[np.float32], settings: InputSettings) -> NDArray[np.float64]:
    if not settings.distances or components.shape[1] == 0:
        return np.zeros((0, len(components), len(components)))
    return cdist(components, components)[None] / _typical_distance(components)


def _typical_distance(components: NDArray[np.float32]) -> float:
    """Return the root mean squared distance of two random spots, 1 where all are alike."""
    return float(np.sqrt(2 * components.var(axis=0).sum())) or 1.0


def _radial(points: NDArray[Any], length: float) -> NDArray[np.float64]:
    return np.exp(-0.5 * cdist(points, points, "sqeuclidean") / length**2)


def _matern(points: NDArray[Any], length: float) -> NDArray[np.float64]:
    scaled = np.sqrt(3.0) * cdist(points, points) / length
    return (1 + scaled) * np.exp(-scaled)


def _tensor(array: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))
