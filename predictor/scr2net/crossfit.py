"""Predictions of the network for spots that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from predictor.scr2net.experts import NETWORK_EXPERTS, Regression, Retrieval
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

    Returns
    -------
    dict of str to ndarray (n, G)
        Held-out predictions of the experts "regression" and "retrieval", standardised.
    """
    predictions = {name: np.zeros(examples.targets.shape) for name in NETWORK_EXPERTS}
    for fold in np.unique(folds):
        held = folds == fold
        known = examples[~held]
        network = learn(known)
        bank = memory_bank(network, known)
        features = examples.features[held].astype(np.float64)
        predictions["regression"][held] = Regression(network).predict(features, None)
        retrieval = Retrieval(network, bank, settings)
        predictions["retrieval"][held] = retrieval.predict(features, None)
    return predictions
