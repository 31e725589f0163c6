"""Learning from a cohort once, for the many fits that start from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from predictor.base import Cohort, gene_spread
from predictor.ridge import TRANSFER, cohort_coefficients, ridge
from predictor.scr2net.crossfit import cross_fit
from predictor.scr2net.experts import NETWORK_EXPERTS
from predictor.scr2net.gate import convex_weights
from predictor.scr2net.modules import Network
from predictor.scr2net.training import Examples, Settings, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from predictor.base import Matrix

N_FOLDS = 3
STOPS = (5, 10, 20)
WEIGHT_STRENGTH = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class PretrainedCohort(Cohort):
    """A cohort and what was learned from it; made by :meth:`SCR2Net.pretrain`.

    It goes wherever a :class:`Cohort` goes, so that fits on many different bought spots share one
    training.

    Parameters
    ----------
    settings
        How it was trained.
    spread
        Standard deviation of each gene within the slides, (G,).
    coefficients
        Ridge regression from features to standardised expression, (D, G).
    weights
        Weight of each expert on slides left out.
    network
        The trained network, or None where no expert needs one.
    epochs
        How long it was trained.
    """

    settings: Settings
    spread: Matrix
    coefficients: Matrix
    weights: dict[str, float]
    network: Network | None
    epochs: int

    @property
    def examples(self) -> Examples:
        """What the network learned from."""
        return cohort_examples(self, self.spread)


def cohort_examples(cohort: Cohort, spread: Matrix) -> Examples:
    """Return features, and expression centred by group and standardised."""
    types = None if cohort.cell_types is None else cohort.cell_types.argmax(axis=1)
    targets = (cohort.centred_expression / spread).astype(np.float32)
    return Examples(cohort.features, targets, types)


def pretrain(cohort: Cohort, settings: Settings, experts: Sequence[str]) -> PretrainedCohort:
    """Learn the experts from a cohort, and how far to trust each, by leaving slides out.

    Parameters
    ----------
    cohort
        Spots of retrospective slides.
    settings
        How to train.
    experts
        Among "linear", "regression" and "retrieval".

    Returns
    -------
    PretrainedCohort
    """
    spread = gene_spread(cohort.centred_expression)
    examples = cohort_examples(cohort, spread)
    folds = _folds(cohort, settings.seed)
    held_out: dict[str, Matrix] = {}
    epochs, network = 0, None
    if "linear" in experts:
        held_out["linear"] = _held_out_ridge(cohort, spread, folds)
    if set(experts) & set(NETWORK_EXPERTS):
        crossed = cross_fit(examples, settings, STOPS, folds)
        epochs = crossed.epochs
        held_out |= {name: crossed.predictions[name] for name in NETWORK_EXPERTS if name in experts}
        (network,) = train(examples, settings, [epochs])
    truth = examples.targets.astype(np.float64)
    return PretrainedCohort(
        cohort.features,
        cohort.expression,
        cohort.cell_types,
        cohort.groups,
        settings=settings,
        spread=spread,
        coefficients=cohort_coefficients(cohort) / spread,
        weights=_weights(held_out, truth),
        network=network,
        epochs=epochs,
    )


def _folds(cohort: Cohort, seed: int) -> NDArray[np.int64]:
    """Whole groups where there are several, else spots at random."""
    codes = cohort.group_codes
    if codes.max() == 0:
        codes = np.random.default_rng(seed).permutation(len(codes))
    return codes % N_FOLDS


def _held_out_ridge(cohort: Cohort, spread: Matrix, folds: NDArray[np.int64]) -> Matrix:
    features, values = cohort.centred_features, cohort.centred_expression / spread
    predicted = np.zeros_like(values)
    for fold in np.unique(folds):
        held = folds == fold
        if held.all():
            continue
        learned = ridge(features[~held], values[~held], np.ones(values.shape[1]), stronger=TRANSFER)
        predicted[held] = features[held] @ learned.coefficients
    return predicted


def _weights(held_out: dict[str, Matrix], truth: Matrix) -> dict[str, float]:
    if not held_out:
        return {}
    even = [1 / len(held_out)] * len(held_out)
    weights = convex_weights(list(held_out.values()), truth, even, WEIGHT_STRENGTH)
    return dict(zip(held_out, weights.tolist(), strict=True))
