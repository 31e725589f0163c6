"""Learning from a cohort once, for the many fits that start from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from predictor.base import Cohort, gene_spread
from predictor.ridge import cohort_coefficients
from predictor.scr2net.modules import Network
from predictor.scr2net.training import Examples, Settings, train
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from predictor.base import Matrix

# Few, because a network that has learned one patient by heart predicts the next one badly: from
# patient B to C and back, r per gene is .12 and .20 after 5 epochs, .12 and .17 after 20.
EPOCHS = 5


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
    network
        The trained network.
    """

    settings: Settings
    spread: Matrix
    coefficients: Matrix
    network: Network

    @property
    def examples(self) -> Examples:
        """What the network learned from."""
        return cohort_examples(self, self.spread)


def cohort_examples(cohort: Cohort, spread: Matrix) -> Examples:
    """Return features, and expression centred by group and standardised."""
    types = None if cohort.cell_types is None else cohort.cell_types.argmax(axis=1)
    targets = (cohort.centred_expression / spread).astype(np.float32)
    return Examples(cohort.features, targets, types)


def pretrain(cohort: Cohort, settings: Settings) -> PretrainedCohort:
    """Train a network on a cohort, around the cohort's ridge regression.

    Parameters
    ----------
    cohort
        Spots of retrospective slides.
    settings
        How to train.

    Returns
    -------
    PretrainedCohort

    Raises
    ------
    InputError
        If the cohort has one spot only.
    """
    if len(cohort.features) < 2:
        raise InputError("the cohort has one spot, which teaches nothing; leave cohort= out")
    spread = gene_spread(cohort.centred_expression)
    coefficients = cohort_coefficients(cohort) / spread
    skip = np.zeros(len(coefficients)), coefficients
    network = train(cohort_examples(cohort, spread), settings, EPOCHS, skip)
    return PretrainedCohort(
        cohort.features,
        cohort.expression,
        cohort.cell_types,
        cohort.groups,
        cohort.encoder,
        cohort.genes,
        cohort.type_names,
        cohort.spot_names,
        cohort.patients,
        settings=settings,
        spread=spread,
        coefficients=coefficients,
        network=network,
    )
