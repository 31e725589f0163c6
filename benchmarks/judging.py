"""Judges: predictors fitted on what an agent bought, scored on what nobody can buy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.ablations import parameters
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from predictor.base import Cohort
    from scr2st_env.arrays import FloatArray
    from scr2st_env.gaussian_process import Kernel
    from scr2st_env.slide import PublicSlide, Slide

BUILT_IN = {
    "gp": "predictor:GaussianProcess",
    "ridge": "predictor:Ridge",
    "knn": "predictor:NearestNeighbours",
    "mean": "predictor:MeanPredictor",
    "pls": "predictor:PartialLeastSquares",
    "scr2net": "predictor:SCR2Net",
    "st-net": "predictor:SCR2Net",
    "bleep": "predictor:SCR2Net",
}
OF_TRUTH = "_truth"


def predictor_inputs(slide: PublicSlide) -> FloatArray:
    """Return what predictors learn from: z-scored features, else coordinates in pitches."""
    return slide.standardised_features if slide.n_features else slide.pitch_coordinates


def make_judge(name: str, kernel: Kernel, seed: int) -> Any:
    """Return an unfitted predictor.

    Parameters
    ----------
    name
        One of :data:`BUILT_IN`, where wanted with a change after a colon (``"scr2net:no-gate"``;
        see :mod:`benchmarks.ablations`), or ``"module:Class"``.
    kernel
        For the Gaussian process; fitted on training patients.
    seed
        For predictors that draw random numbers.

    Raises
    ------
    InputError
        If there is no such predictor.
    """
    base, _, change = name.partition(":")
    target, options = name, dict[str, Any]()
    if base in BUILT_IN:
        target = BUILT_IN[base]
        if base == "gp":
            options = {"kernel": kernel}
        if target == BUILT_IN["scr2net"]:
            options = {"random_state": seed, "device": "cpu"}
        options |= parameters(base, change)
    module, separator, attribute = target.partition(":")
    if not separator:
        known = ", ".join(BUILT_IN)
        raise InputError(f"judge {name!r} is none of {known}; or write module:Class")
    try:
        return getattr(importlib.import_module(module), attribute)(**options)
    except (ImportError, AttributeError) as error:
        raise InputError(f"judge {name!r} cannot be imported: {error}") from error


def predict_slide(
    judge: Any,
    slide: Slide,
    expression: FloatArray,
    bought: ArrayLike,
    cohort: Cohort | None,
    *,
    with_coordinates: bool = True,
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
    with_coordinates
        Whether the judge is told where spots are.

    Returns
    -------
    ndarray of float32, shape (N, G)

    Raises
    ------
    InputError
        If the cohort's features are of another encoder than the slide's.
    """
    if cohort is not None:
        from predictor.names import check_same_encoder

        check_same_encoder(cohort.encoder, slide.public.encoder, f"slide {slide.name!r}")
    spots = np.unique(np.asarray(bought, np.int64))
    inputs = predictor_inputs(slide.public)
    place = slide.public.pitch_coordinates if with_coordinates else None
    judge.fit(
        inputs[spots],
        expression[spots],
        coordinates=None if place is None else place[spots],
        cell_types=_named_types(slide, spots),
        cohort=cohort,
    )
    predicted: FloatArray = judge.predict(inputs, coordinates=place)
    return predicted


def _named_types(slide: Slide, spots: NDArray[np.int64]) -> pd.DataFrame | None:
    """Return the bought spots' composition by the names of the types; the cohort may order them."""
    import pandas as pd

    if slide.hidden is None or slide.hidden.types is None:
        return None
    return pd.DataFrame(slide.hidden.types[spots], columns=list(slide.hidden.type_names))


def scores(
    measured: FloatArray, predicted: FloatArray, variable: Sequence[int]
) -> dict[str, float]:
    """Score predictions of the test part of one slide; the axis is in each metric's name.

    Parameters
    ----------
    measured, predicted
        (n, G).
    variable
        Columns of the genes most variable in the training data.

    Returns
    -------
    dict of str to float
    """
    from predictor import metrics

    per_gene = metrics.pearson_per_gene(measured, predicted)
    return {
        "pearson_per_gene": float(np.mean(per_gene)),
        "pearson_per_gene_top": float(np.mean(per_gene[list(variable)])),
        "pearson_per_spot": float(np.mean(metrics.pearson_per_spot(measured, predicted))),
        "mse": float(np.mean(metrics.mse(measured, predicted))),
        "mae": float(np.mean(metrics.mae(measured, predicted))),
    }


def scores_of_truth(
    truth: FloatArray, predicted: FloatArray, variable: Sequence[int]
) -> dict[str, float]:
    """Correlate predictions with expression without noise: 1 can be reached.

    No errors beside the correlations: counts of few reads have another mean logarithm.

    Parameters
    ----------
    truth, predicted
        (n, G).
    variable
        As in :func:`scores`.

    Returns
    -------
    dict of str to float
        As :func:`scores` names them, with :data:`OF_TRUTH` behind.
    """
    found = scores(truth, predicted, variable)
    return {name + OF_TRUTH: r for name, r in found.items() if name.startswith("pearson")}
