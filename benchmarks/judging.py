"""Judges: predictors fitted on what an agent bought, scored on what nobody can buy."""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, posterior_mean, principal_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from predictor.base import Cohort
    from scr2st_env.arrays import FloatArray
    from scr2st_env.slide import PublicSlide, Slide

    Matrix = NDArray[np.float64]

BUILT_IN = {
    "gp": "predictor:GaussianProcess",
    "ridge": "predictor:Ridge",
    "knn": "predictor:NearestNeighbours",
    "mean": "predictor:MeanPredictor",
    "scr2net": "predictor:SCR2Net",
}
LENGTHS = (2.0, 3.0, 4.5, 6.5, 9.0)
NOISES = (0.75, 1.5, 3.0, 6.0, 12.0)
FEATURE_WEIGHTS = (0.0, 0.25, 0.5, 0.75)
FEATURE_LENGTHS = (0.5, 1.0)
BOUGHT_SHARE = 0.1
MAX_SLIDES = 8


def predictor_inputs(slide: PublicSlide) -> FloatArray:
    """Return what predictors learn from: z-scored features, else coordinates in pitches."""
    return slide.standardised_features if slide.n_features else slide.pitch_coordinates


def make_judge(name: str, kernel: Kernel, seed: int) -> Any:
    """Return an unfitted predictor.

    Parameters
    ----------
    name
        ``"gp"``, ``"ridge"``, ``"knn"``, ``"mean"``, ``"scr2net"`` or ``"module:Class"``.
    kernel
        For the Gaussian process; fitted on training patients.
    seed
        For predictors that draw random numbers.

    Raises
    ------
    InputError
        If there is no such predictor.
    """
    options: dict[str, Any] = {}
    if name == "gp":
        options = {"kernel": kernel}
    if name == "scr2net":
        options = {"random_state": seed, "device": "cpu"}
    module, separator, attribute = BUILT_IN.get(name, name).partition(":")
    if not separator:
        known = ", ".join(BUILT_IN)
        raise InputError(f"judge {name!r} is none of {known}; or write module:Class")
    try:
        return getattr(importlib.import_module(module), attribute)(**options)
    except (ImportError, AttributeError) as error:
        raise InputError(f"judge {name!r} cannot be imported: {error}") from error


def predict_slide(
    judge: Any, slide: Slide, expression: FloatArray, bought: ArrayLike, cohort: Cohort | None
) -> FloatArray:
    """Fit a judge on the bought spots of a slide and predict all its spots.

    Parameters
    ----------
    judge
        An unfitted predictor.
    slide
        The slide.
    expression
        log1p(CP10k) of the gene list, (N, G); only the bought rows are read.
    bought
        Indices of the bought spots.
    cohort
        Retrospective slides that the judge may learn from; None for a lab without any.

    Returns
    -------
    ndarray of float32, shape (N, G)
    """
    spots = np.unique(np.asarray(bought, np.int64))
    inputs, place = predictor_inputs(slide.public), slide.public.pitch_coordinates
    types = None if slide.hidden is None or slide.hidden.types is None else slide.hidden.types
    judge.fit(
        inputs[spots],
        expression[spots],
        coordinates=place[spots],
        cell_types=None if types is None else types[spots],
        cohort=cohort,
    )
    predicted: FloatArray = judge.predict(inputs, coordinates=place)
    return predicted


def scores(truth: FloatArray, predicted: FloatArray, variable: Sequence[int]) -> dict[str, float]:
    """Score predictions of the test part of one slide; the axis is in each metric's name.

    Parameters
    ----------
    truth, predicted
        (n, G).
    variable
        Columns of the genes most variable in the training data.

    Returns
    -------
    dict of str to float
    """
    from predictor import metrics

    per_gene = metrics.pearson_per_gene(truth, predicted)
    return {
        "pearson_per_gene": float(np.mean(per_gene)),
        "pearson_per_gene_top": float(np.mean(per_gene[list(variable)])),
        "pearson_per_spot": float(np.mean(metrics.pearson_per_spot(truth, predicted))),
        "mse": float(np.mean(metrics.mse(truth, predicted))),
        "mae": float(np.mean(metrics.mae(truth, predicted))),
    }


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
