"""The kernel with which a few spots predict the others best, chosen on retrospective slides."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.gaussian_process import Kernel, posterior_mean, principal_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray
    from scr2st_env.slide import Slide

    Matrix = NDArray[np.float64]

LENGTHS = (2.0, 3.0, 4.5, 6.5, 9.0)
NOISES = (0.75, 1.5, 3.0, 6.0, 12.0)
FEATURE_WEIGHTS = (0.0, 0.25, 0.5, 0.75)
FEATURE_LENGTHS = (0.5, 1.0)
BOUGHT_SHARE = 0.1
MAX_SLIDES = 8


def fit_kernel(slides: Sequence[Slide], genes: Sequence[str], seed: int = 0) -> Kernel:
    """Choose the kernel that predicts training slides best from a random tenth of their spots.

    Parameters
    ----------
    slides
        Of training patients; the first eight, patients in turn, are used.
    genes
        The gene list.
    seed
        Of the random tenth.

    Returns
    -------
    Kernel
        Of the lowest squared error, each slide's variance being 1, among a grid of lengths, noises
        and (with images) weights and lengths of the features.
    """
    imaged = all(slide.public.n_features > 0 for slide in slides)
    grid = [
        Kernel(length, weight, feature_length, noise=noise)
        for length, noise in itertools.product(LENGTHS, NOISES)
        for weight, feature_length in (
            itertools.product(FEATURE_WEIGHTS, FEATURE_LENGTHS) if imaged else [(0.0, 1.0)]
        )
        if weight > 0 or feature_length == 1.0
    ]
    rng = np.random.default_rng(seed)
    errors = np.zeros(len(grid))
    for slide in _patients_in_turn(slides)[:MAX_SLIDES]:
        errors += _relative_errors(grid, slide, slide.expression(genes), rng)
    return grid[int(np.argmin(errors))]


def _patients_in_turn(slides: Sequence[Slide]) -> list[Slide]:
    seen: dict[str, int] = {}
    turns = []
    for slide in slides:
        turns.append(seen.get(slide.patient, 0))
        seen[slide.patient] = turns[-1] + 1
    return [slides[index] for index in np.argsort(turns, kind="stable")]


def _relative_errors(
    grid: Sequence[Kernel], slide: Slide, expression: FloatArray, rng: np.random.Generator
) -> Matrix:
    spots = rng.permutation(np.flatnonzero(slide.public.measurable))
    bought, others = np.split(spots, [max(2, round(BOUGHT_SHARE * slide.n_spots))])
    mean = expression[bought].mean(axis=0)
    values, truth = expression[bought] - mean, expression[others] - mean
    place = slide.public.pitch_coordinates
    look = None
    if slide.public.n_features:
        components = grid[0].n_components
        look = principal_components(slide.public.standardised_features, components)[spots]
    covariances: dict[tuple[float, float, float], Matrix] = {}
    errors = []
    for kernel in grid:
        key = (kernel.length, kernel.feature_weight, kernel.feature_length)
        if key not in covariances:
            near = place[spots]
            n_bought = len(bought)
            covariances[key] = kernel.between(
                near, near[:n_bought], look, None if look is None else look[:n_bought]
            )
        prior = covariances[key]
        predicted = posterior_mean(prior[: len(bought)], prior[len(bought) :], values, kernel.noise)
        errors.append(float(((predicted - truth) ** 2).sum() / (truth**2).sum()))
    return np.array(errors)
