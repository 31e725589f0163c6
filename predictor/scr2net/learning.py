"""The two ways in which experts come about: from one slide alone, or from a cohort and a slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from predictor.base import Measured
from predictor.gaussian_process import Projection
from predictor.ridge import MIN_SPOTS, cohort_share, ridge
from predictor.scr2net.crossfit import cross_fit
from predictor.scr2net.experts import (
    NETWORK_EXPERTS,
    Blend,
    Expert,
    Interpolation,
    Linear,
    Regression,
    Retrieval,
)
from predictor.scr2net.gate import convex_weights
from predictor.scr2net.kriging import Kriging
from predictor.scr2net.pretraining import PretrainedCohort
from predictor.scr2net.training import Examples, Settings, joined, memory_bank, train
from scr2st_env.arrays import FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from predictor.base import Matrix

# Weight of each expert before anything is known; the measured spots move it.
PRIOR = {"linear": 0.15, "regression": 0.15, "retrieval": 0.1, "kriging": 0.6}
PRIOR_STRENGTH = 0.3
STOPS = (15, 30, 60)
N_FOLDS = 5
LOOK_COMPONENTS = 20
KRIGED_SPOTS = 1000


class Learned(NamedTuple):
    """A blend, and what it predicts for measured spots without having seen them.

    Parameters
    ----------
    blend
        The experts and their weights.
    rows
        The measured spots that were held out in turn.
    held_out
        The prediction of these, (len(rows), G).
    epochs
        How long the network was trained.
    """

    blend: Blend
    rows: NDArray[np.int64]
    held_out: Matrix
    epochs: int


def learn(measured: Measured, targets: Matrix, names: Sequence[str], settings: Settings) -> Learned:
    """Learn the experts from the measured spots of one slide.

    Parameters
    ----------
    measured
        The spots.
    targets
        Their standardised expression, (n, G).
    names
        Experts to learn.
    settings
        Of the network.

    Returns
    -------
    Learned
    """
    experts: dict[str, Expert] = {}
    held_out: dict[str, Matrix] = {}
    rows, epochs, spread = _evenly(len(targets)), 0, 0.0
    if "linear" in names:
        fitted = ridge(measured.features, targets, np.ones(targets.shape[1]))
        experts["linear"] = Linear(measured.features.mean(axis=0), fitted.coefficients)
        held_out["linear"] = (targets - fitted.residuals)[rows]
    if set(names) & set(NETWORK_EXPERTS):
        examples = _examples(measured, targets)
        regression, retrieval, predictions, epochs = _learn_network(examples, settings)
        learned: dict[str, Expert] = {"regression": regression, "retrieval": retrieval}
        experts |= {name: learned[name] for name in NETWORK_EXPERTS if name in names}
        held_out |= {name: predictions[name][rows] for name in NETWORK_EXPERTS if name in names}
        found = retrieval.neighbours(measured.features, np.arange(len(targets)))
        spread = float(retrieval.bank.spread(found).mean())
    if "kriging" in names:
        experts["kriging"] = interpolation = _interpolation(measured, targets, rows)
        held_out["kriging"] = interpolation.kriging.held_out()
    weights = _convex(held_out, targets[rows])
    blended = sum(weights[name] * held_out[name] for name in weights)
    blend = Blend(experts, weights, np.zeros(targets.shape[1]), adds=False, spread=spread)
    return Learned(blend, rows, np.asarray(blended), epochs)


def adapt(
    pretrained: PretrainedCohort, measured: Measured, targets: Matrix, names: Sequence[str]
) -> Learned:
    """Trust a cohort's experts as far as the measured spots confirm them, and krige the rest.

    Parameters
    ----------
    pretrained
        The cohort.
    measured
        Bought spots of the new slide, possibly none.
    targets
        Their expression, standardised, (n, G).
    names
        Experts to use.

    Returns
    -------
    Learned
    """
    experts, predictions, spread = _cohort_experts(pretrained, measured, targets, names)
    blended, weights = np.zeros_like(targets), {name: pretrained.weights[name] for name in experts}
    if experts and len(targets) >= MIN_SPOTS:
        weights = _convex(predictions, targets, weights)
    for name, weight in weights.items():
        blended += weight * predictions[name]
    share = cohort_share(blended, targets, np.ones(targets.shape[1]))
    centre = blended.mean(axis=0) if len(targets) else np.zeros(targets.shape[1])
    held_out = share * (blended - centre)
    rows = _evenly(len(targets))
    weights = {name: share * weight for name, weight in weights.items()}
    if "kriging" in names and len(targets) >= MIN_SPOTS:
        rest = targets - held_out
        interpolation = _interpolation(measured, rest, rows, pretrained.features)
        experts["kriging"], weights["kriging"] = interpolation, 1.0
        held_out = held_out[rows] + interpolation.kriging.held_out()
    blend = Blend(experts, weights, -share * centre, adds=True, spread=spread)
    return Learned(blend, rows, held_out[: len(rows)], pretrained.epochs)


def _cohort_experts(
    pretrained: PretrainedCohort, measured: Measured, targets: Matrix, names: Sequence[str]
) -> tuple[dict[str, Expert], dict[str, Matrix], float]:
    """Experts, what they say of measured spots (none of which retrieves itself), and spread."""
    experts: dict[str, Expert] = {}
    predictions: dict[str, Matrix] = {}
    spread = 0.0
    if "linear" in names:
        experts["linear"] = Linear(np.zeros(measured.features.shape[1]), pretrained.coefficients)
    if "regression" in names and pretrained.network is not None:
        experts["regression"] = Regression(pretrained.network)
    for name, expert in experts.items():
        predictions[name] = expert.predict(measured.features, None)
    if "retrieval" in names and pretrained.network is not None:
        examples = _examples(measured, targets)
        bank = memory_bank(pretrained.network, joined(examples, pretrained.examples))
        retrieval = Retrieval(pretrained.network, bank, pretrained.settings)
        found = retrieval.neighbours(measured.features, np.arange(len(targets)))
        experts["retrieval"] = retrieval
        predictions["retrieval"] = bank.soft_labels(found).astype(np.float64)
        spread = float(bank.spread(found).mean()) if len(targets) else 0.0
    return experts, predictions, spread


def _learn_network(
    examples: Examples, settings: Settings
) -> tuple[Regression, Retrieval, dict[str, Matrix], int]:
    n_spots = len(examples.features)
    epochs = STOPS[0]
    predictions = dict.fromkeys(NETWORK_EXPERTS, np.zeros(examples.targets.shape))
    if n_spots >= MIN_SPOTS:
        order = np.random.default_rng(settings.seed).permutation(n_spots)
        crossed = cross_fit(examples, settings, STOPS, order % min(N_FOLDS, n_spots))
        epochs, predictions = crossed.epochs, crossed.predictions
    (network,) = train(examples, settings, [epochs])
    bank = memory_bank(network, examples)
    return Regression(network), Retrieval(network, bank, settings), predictions, epochs


def _interpolation(
    measured: Measured,
    values: Matrix,
    rows: NDArray[np.int64],
    cohort_features: FloatArray | None = None,
) -> Interpolation:
    known = measured.features
    if cohort_features is not None:
        known = np.concatenate([known, cohort_features])
    projection = Projection.fit(known, LOOK_COMPONENTS)
    places = None if measured.coordinates is None else measured.coordinates[rows]
    looks = projection(measured.features[rows])
    return Interpolation(projection, Kriging.fit(places, looks, values[rows]))


def _convex(
    predictions: dict[str, Matrix], truth: Matrix, prior: dict[str, float] | None = None
) -> dict[str, float]:
    """Weights by name, near the prior where the spots are too few to tell."""
    prior = PRIOR if prior is None else prior
    total = sum(prior[name] for name in predictions) or 1.0
    shares = [prior[name] / total for name in predictions]
    if len(truth) < MIN_SPOTS:
        return dict(zip(predictions, shares, strict=True))
    weights = convex_weights(list(predictions.values()), truth, shares, PRIOR_STRENGTH)
    return dict(zip(predictions, weights.tolist(), strict=True))


def _examples(measured: Measured, targets: Matrix) -> Examples:
    types = None if measured.cell_types is None else measured.cell_types.argmax(axis=1)
    return Examples(measured.features.astype(np.float32), targets.astype(np.float32), types)


def _evenly(n_spots: int) -> NDArray[np.int64]:
    """All spots, or as many as kriging can take."""
    kept = np.linspace(0, n_spots - 1, min(n_spots, KRIGED_SPOTS))
    return np.unique(kept.round().astype(np.int64))
