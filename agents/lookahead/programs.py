"""Expression programs: what of a spot's embedding says most about its genes, and how it spreads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, principal_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.slide import Slide

    Matrix = NDArray[np.float64]

LEVEL = 0.5  # variance of the level of a slide, in units of a program's variance within it
SPOTS_PER_SLIDE = 100  # on which spatial covariance is fitted: each fit is cubic in them
FIRST_GUESS = (4.0, 0.5, 0.5)  # length in pitches, noise and variance as shares of the whole
FIRST_ODDS = 1.0  # of the features against the coordinates
FIRST_STEP = 0.5  # of the search, in logarithms
SHORTEST, LONGEST = 0.3, 30.0  # pitches: outside, a sample of a slide cannot tell lengths apart
LEAST_NOISE = 1e-2  # share of the whole
N_FITTING_STEPS = 200
NEGLIGIBLE = 1e-6


@dataclass(frozen=True, eq=False)
class ExpressionPrograms:
    """Directions of the embedding in the order of the expression that they explain.

    A program is a surface over the tissue; a spot shows it with noise. Leading programs are far
    less noisy than any single gene, since they are averages over many.

    Parameters
    ----------
    directions
        Float64, (E, P): a spot's embedding times ``directions`` are its programs, each scaled to
        the variance that it explains, summed over standardised genes.
    variances
        Prior variance of each surface within a slide, (P,).
    kernels
        P rough kernels of unit variance; ``noise`` is that of a spot over the surface's variance.
    """

    directions: Matrix
    variances: tuple[float, ...]
    kernels: tuple[Kernel, ...]

    @property
    def n_programs(self) -> int:
        """P."""
        return len(self.kernels)

    @classmethod
    def fit(
        cls, slides: Sequence[Slide], genes: Sequence[str], n_programs: int, seed: int = 0
    ) -> Self:
        """Learn programs and how they vary over the tissue from retrospective slides.

        Directions are those of reduced-rank regression of the standardised genes on the
        embedding [1]_, from covariances within slides in which every patient counts alike.
        Length, noise and variance of each, and the weight of the features where the slides have
        an image, have the highest likelihood over all slides.

        Parameters
        ----------
        slides
            With embeddings in one space.
        genes
            Names, measured in every slide.
        n_programs
            P, at most E.
        seed
            Of the spots on which kernels are fitted.

        Returns
        -------
        ExpressionPrograms

        Raises
        ------
        InputError
            If a slide has no embedding, widths differ, or there are fewer dimensions than programs.

        References
        ----------
        .. [1] Izenman, Reduced-rank regression for the multivariate linear model, 1975.
        """
        embeddings = [_embedding(slide) for slide in slides]
        widths = {embedding.shape[1] for embedding in embeddings}
        if len(widths) > 1 or not 1 <= n_programs <= min(*widths, len(genes)):
            raise InputError(
                f"{n_programs} programs of {len(genes)} genes and embeddings {sorted(widths)} "
                "wide: take at least 1, at most the genes and the width, and embed all slides with "
                "the same embedder"
            )
        within, across = _covariances(slides, embeddings, genes)
        directions = _directions(within, across)[:, :n_programs]
        explained = np.linalg.norm(directions, axis=0)
        if not (explained > NEGLIGIBLE * max(explained.max(), NEGLIGIBLE)).all():
            raise InputError(
                f"the embeddings explain fewer than {n_programs} programs of the genes; ask for "
                "fewer, or embed the slides with another embedder"
            )
        rng = np.random.default_rng(seed)
        known = list(zip(slides, embeddings, strict=True))
        surfaces = [
            _fit_surface([_sample(slide, embedding @ way, rng) for slide, embedding in known])
            for way in directions.T
        ]
        return cls(
            directions,
            tuple(variance for _, variance in surfaces),
            tuple(kernel for kernel, _ in surfaces),
        )


def _embedding(slide: Slide) -> Matrix:
    if slide.hidden is None or slide.hidden.embedding is None:
        raise InputError(f"slide {slide.name!r} has no embedding; run 'scr2st embed'")
    return slide.hidden.embedding.astype(np.float64)


def _covariances(
    slides: Sequence[Slide], embeddings: Sequence[Matrix], genes: Sequence[str]
) -> tuple[Matrix, Matrix]:
    """Covariance within slides of the embedding, (E, E), and of it with the genes, (E, G)."""
    names = [slide.patient or slide.name for slide in slides]
    within = np.zeros((embeddings[0].shape[1],) * 2)
    across = np.zeros((len(within), len(genes)))
    for patient in dict.fromkeys(names):
        looks, values = [], []
        for slide, embedding, name in zip(slides, embeddings, names, strict=True):
            if name == patient:
                kept = slide.public.measurable
                looks.append(embedding[kept] - embedding[kept].mean(axis=0))
                values.append(_standardised(slide.expression(genes)[kept].astype(np.float64)))
        look, value = np.concatenate(looks), np.concatenate(values)
        within += look.T @ look / len(look)
        across += look.T @ value / len(look)
    return within, across


def _standardised(values: Matrix) -> Matrix:
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > NEGLIGIBLE)


def _directions(within: Matrix, across: Matrix) -> Matrix:
    """Reduced-rank regression: whiten, then the left singular vectors times singular values."""
    variance, axes = np.linalg.eigh(within)
    least = max(NEGLIGIBLE * variance[-1], np.finfo(float).tiny)
    white = axes / np.sqrt(np.maximum(variance, least))
    left, explained, _ = np.linalg.svd(white.T @ across, full_matrices=False)
    turned: Matrix = white @ left * explained
    return turned


class _Sample(NamedTuple):
    """Some measurable spots of a slide, and what a program is there."""

    apart: Matrix  # (n, n), pitches
    alike: Matrix | None  # (n, n), covariance by features; None without an image
    values: Matrix  # (n,), centred


def _sample(slide: Slide, values: Matrix, rng: np.random.Generator) -> _Sample:
    public = slide.public
    spots = rng.permutation(np.flatnonzero(public.measurable))[:SPOTS_PER_SLIDE]
    place = public.pitch_coordinates[spots].astype(np.float64)
    alike = None
    if public.n_features:
        features = Kernel(feature_weight=1.0)
        look = principal_components(public.standardised_features, features.n_components)[spots]
        alike = features.between(place, place, look, look)
    apart = np.linalg.norm(place[:, None] - place, axis=2)
    return _Sample(apart, alike, values[spots] - values[spots].mean())


def _fit_surface(samples: Sequence[_Sample]) -> tuple[Kernel, float]:
    """Kernel and variance of highest likelihood over all slides (Rasmussen & Williams, eq. 5.8)."""
    whole = float(np.mean([(sample.values**2).mean() for sample in samples]))
    guess = np.array(FIRST_GUESS) * [1.0, whole, whole]
    if samples[0].alike is not None:
        guess = np.append(guess, FIRST_ODDS)
    start = np.log(guess)
    found = minimize(
        _surprise,
        start,
        (samples,),
        method="Nelder-Mead",
        bounds=np.log(
            [(SHORTEST, LONGEST), (LEAST_NOISE * whole, np.inf), *[(1e-6, np.inf)] * len(guess[2:])]
        ),
        options={
            "initial_simplex": np.vstack([start, start + FIRST_STEP * np.eye(len(start))]),
            "maxiter": N_FITTING_STEPS,
            "xatol": 0.02,
            "fatol": 0.05,
        },
    )
    length, noise, variance, *odds = np.exp(found.x).tolist()
    weight = odds[0] / (1 + odds[0]) if odds else 0.0
    return Kernel(length, weight, noise=noise / variance, shape="rough"), variance


def _surprise(logarithms: Matrix, samples: Sequence[_Sample]) -> float:
    """Negative logarithm of the likelihood, but for a constant."""
    length, noise, variance, *odds = np.exp(logarithms)
    total = 0.0
    for apart, alike, values in samples:
        covariance = np.exp(-apart / length)
        if alike is not None:
            covariance = (covariance + odds[0] * alike) / (1 + odds[0])
        covariance = variance * (LEVEL + covariance)
        covariance[np.diag_indices_from(covariance)] += noise
        root = cholesky(covariance, lower=True)
        total += values @ cho_solve((root, True), values) / 2 + np.log(root.diagonal()).sum()
    return float(total)
