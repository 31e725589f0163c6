"""Predictions of the network for spots that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from predictor.scr2net.experts import NETWORK_EXPERTS, Linear, Regression, Retrieval
from predictor.scr2net.modules import Network
from predictor.scr2net.training import Examples, Settings, memory_bank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


def cross_fit(
    examples: Examples,
    learn: Callable[[Examples], Network],
    settings: Settings,
    folds: NDArray[np.int64],
    base: Linear,
) -> dict[str, Matrix]:
    """Train one network per fold on the other folds, and predict the fold.

    Parameters
    ----------
    examples
        All spots.
    learn
        Trains a network on some of them.
    settings
        Of the retrieval.
    folds
        Fold of each spot, (n,); at least two different ones.
    base
        What is predicted already; the experts predict the rest.

    Returns
    -------
    dict of str to ndarray (n, G)
        Held-out predictions of the experts "regression" and "retrieval", standardised.
    """
    predictions = {name: np.zeros(examples.targets.shape) for name in NETWORK_EXPERTS}
    for fold in np.unique(folds):
        held = folds == fold
        known = centred(examples[~held])
        network = learn(known)
        retrieval = retrieval_of(network, known, settings, base)
        features = examples.features[held].astype(np.float64)
        predictions["regression"][held] = Regression(network, base).predict(features, None)
        predictions["retrieval"][held] = retrieval.predict(features, None)
    return predictions


def centred(examples: Examples) -> Examples:
    """Return the spots with their mean expression as zero, which is where predictions start."""
    return replace(examples, targets=examples.targets - examples.targets.mean(axis=0))


def retrieval_of(
    network: Network, examples: Examples, settings: Settings, base: Linear
) -> Retrieval:
    """Return the retrieval of what ``base`` leaves unexplained of some spots."""
    expected = base.predict(examples.features.astype(np.float64), None)
    rest = examples.targets - expected.astype(np.float32)
    return Retrieval(network, memory_bank(network, examples, rest), settings)
