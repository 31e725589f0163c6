"""How the experts come about: from the measured spots of one slide, on top of a cohort or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from predictor.base import Measured
from predictor.gaussian_process import Projection
from predictor.ridge import MIN_SPOTS, cohort_share, ridge
from predictor.scr2net.crossfit import cross_fit, retrieval_of
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
from predictor.scr2net.modules import Network
from predictor.scr2net.pretraining import PretrainedCohort
from predictor.scr2net.programs import programs_of
from predictor.scr2net.training import Examples, Settings, train, train_on

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from predictor.base import Matrix

# Weight of each expert before anything is known, and how many spots' worth of evidence that is.
PRIOR = {"linear": 0.05, "regression": 0.05, "retrieval": 0.2, "kriging": 0.7}
PRIOR_STRENGTH = 15.0
# Measured neighbours explain again part of what the cohort explains, so it is not counted in full.
COHORT_TRUST = 0.6
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
    programs
        In which the expression of the tissue varies, (G, R).
    """

    blend: Blend
    rows: NDArray[np.int64]
    held_out: Matrix
    programs: Matrix


def learn(
    measured: Measured,
    targets: Matrix,
    names: Sequence[str],
    settings: Settings,
    base: Linear,
    pretrained: PretrainedCohort | None,
    *,
    programs: Matrix | None = None,
    gate: bool = True,
) -> Learned:
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
    base
        What a cohort predicts, all zero without one; the experts predict the rest.
    pretrained
        The cohort whose network is trained further; None: a new one.
    programs
        Along which kriging chooses how much to smooth, (G, R); default: those of the targets.
    gate
        Whether the experts' weights are learned; else they are those before any evidence.

    Returns
    -------
    Learned
    """
    experts: dict[str, Expert] = {}
    held_out: dict[str, Matrix] = {}
    rows, spread = evenly(len(targets)), 0.0
    programs = programs_of(targets) if programs is None else programs
    expected = base.predict(measured.features, None)
    rest = targets - expected
    if "linear" in names:
        fitted = ridge(measured.features, rest, np.ones(targets.shape[1]))
        mean = measured.features.mean(axis=0)
        experts["linear"] = Linear(mean, fitted.coefficients)
        mean_of_others = -rest / max(len(rest) - 1, 1)
        held_out["linear"] = (rest - fitted.residuals - mean_of_others)[rows]
    if set(names) & set(NETWORK_EXPERTS):
        examples = examples_of(measured, targets)
        regression, retrieval, predictions = _learn_network(examples, settings, base, pretrained)
        found = retrieval.neighbours(measured.features, np.arange(len(targets)))
        spread = float(retrieval.bank.spread(found).mean())
        learned: dict[str, Expert] = {"regression": regression, "retrieval": retrieval}
        experts |= {name: learned[name] for name in NETWORK_EXPERTS if name in names}
        held_out |= {name: predictions[name][rows] for name in NETWORK_EXPERTS if name in names}
    if "kriging" in names:
        known = [measured.features] + ([] if pretrained is None else [pretrained.features])
        projection = Projection.fit(np.concatenate(known), LOOK_COMPONENTS)
        places = None if measured.coordinates is None else measured.coordinates[rows]
        looks = projection(measured.features[rows])
        kriging = Kriging.fit(places, looks, rest[rows], programs)
        experts["kriging"] = Interpolation(projection, kriging)
        held_out["kriging"] = kriging.held_out()
    scales = _scales(held_out)
    held_out = {name: scales[name] * values for name, values in held_out.items()}
    weights = _convex(held_out, rest[rows], gate)
    blended = expected[rows]
    for name, weight in weights.items():
        blended = blended + weight * held_out[name]
    return Learned(Blend(base, experts, weights, scales, spread), rows, blended, programs)


def cohort_base(
    pretrained: PretrainedCohort | None, measured: Measured, targets: Matrix, spread: Matrix
) -> Linear:
    """Return the cohort's ridge regression as far as the measured spots confirm it.

    Parameters
    ----------
    pretrained
        The cohort, or None: the result predicts zero.
    measured, targets
        The spots and their standardised expression.
    spread
        What one standard deviation is, (G,).

    Returns
    -------
    Linear
        Zero on average over the measured spots.
    """
    mean = measured.features.mean(axis=0)
    if pretrained is None:
        return Linear(mean, np.zeros((len(mean), targets.shape[1])))
    coefficients = pretrained.coefficients * (pretrained.spread / spread)
    expected = (measured.features - mean) @ coefficients
    share = COHORT_TRUST * cohort_share(expected, targets, np.ones(targets.shape[1]))
    return Linear(mean, share * coefficients)


def _learn_network(
    examples: Examples, settings: Settings, base: Linear, pretrained: PretrainedCohort | None
) -> tuple[Regression, Retrieval, dict[str, Matrix]]:
    def learn_from(known: Examples) -> Network:
        if pretrained is not None:
            return train_on(pretrained.network, known, settings, settings.epochs)
        features = known.features.astype(np.float64)
        targets = known.targets.astype(np.float64)
        skip = ridge(features, targets, np.ones(targets.shape[1])).coefficients
        return train(known, settings, settings.epochs, (features.mean(axis=0), skip))

    n_spots = len(examples.features)
    predictions = dict.fromkeys(NETWORK_EXPERTS, np.zeros(examples.targets.shape))
    if n_spots >= MIN_SPOTS:
        order = np.random.default_rng(settings.seed).permutation(n_spots)
        folds = order % min(N_FOLDS, n_spots)
        predictions = cross_fit(examples, learn_from, settings, folds, base)
    network = learn_from(examples)
    return Regression(network, base), retrieval_of(network, examples, settings, base), predictions


def _scales(held_out: dict[str, Matrix]) -> dict[str, float]:
    """Amplitude of the most cautious expert over that of each."""
    amplitudes = {name: float(np.sqrt((values**2).mean())) for name, values in held_out.items()}
    least = min((value for value in amplitudes.values() if value > 0), default=0.0)
    return {name: least / value if value > 0 else 1.0 for name, value in amplitudes.items()}


def _convex(predictions: dict[str, Matrix], truth: Matrix, gate: bool) -> dict[str, float]:
    total = sum(PRIOR[name] for name in predictions)
    prior = [PRIOR[name] / total for name in predictions]
    if not gate or len(truth) < MIN_SPOTS:
        return dict(zip(predictions, prior, strict=True))
    strength = PRIOR_STRENGTH / len(truth)
    weights = convex_weights(list(predictions.values()), truth, prior, strength)
    return dict(zip(predictions, weights.tolist(), strict=True))


def examples_of(measured: Measured, targets: Matrix) -> Examples:
    """Return what a network learns from."""
    types = None if measured.cell_types is None else measured.cell_types.argmax(axis=1)
    return Examples(measured.features.astype(np.float32), targets.astype(np.float32), types)


def evenly(n_spots: int) -> NDArray[np.int64]:
    """Return all spots, or as many as kriging can take."""
    kept = np.linspace(0, n_spots - 1, min(n_spots, KRIGED_SPOTS))
    return np.unique(kept.round().astype(np.int64))
