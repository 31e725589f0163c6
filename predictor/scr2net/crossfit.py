"""Predictions of the network for spots that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from predictor.scr2net.experts import NETWORK_EXPERTS, Regression, Retrieval
from predictor.scr2net.training import Examples, Settings, memory_bank, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class CrossFit:
    """Held-out predictions of every spot.

    Parameters
    ----------
    predictions
        Of the experts "regression" and "retrieval", standardised, (n, G) each.
    epochs
        The number of epochs at which their mean had the least error.
    """

    predictions: dict[str, Matrix]
    epochs: int


def cross_fit(
    examples: Examples, settings: Settings, stops: Sequence[int], folds: NDArray[np.int64]
) -> CrossFit:
    """Train one network per fold on the other folds, and predict the fold.

    Parameters
    ----------
    examples
        All spots.
    settings
        How to train.
    stops
        Numbers of epochs to choose from.
    folds
        Fold of each spot, (n,); at least two different ones.

    Returns
    -------
    CrossFit
    """
    shape = len(stops), *examples.targets.shape
    predictions = {name: np.zeros(shape) for name in NETWORK_EXPERTS}
    for fold in np.unique(folds):
        held = folds == fold
        learned = examples[~held]
        for index, network in enumerate(train(learned, settings, stops)):
            bank = memory_bank(network, learned)
            for name, expert in (
                ("regression", Regression(network)),
                ("retrieval", Retrieval(network, bank, settings)),
            ):
                predictions[name][index, held] = expert.predict(examples.features[held], None)
    blend = sum(predictions.values()) / len(predictions)
    errors = ((blend - examples.targets) ** 2).mean(axis=(1, 2))
    best = int(np.argmin(errors))
    return CrossFit({name: values[best] for name, values in predictions.items()}, stops[best])
