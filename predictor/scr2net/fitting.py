"""From measured spots and a cohort to experts: what is standardised how, and who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from predictor.base import Measured, gene_spread, level
from predictor.ridge import MIN_SPOTS
from predictor.scr2net.learning import Learned, cohort_base, learn
from predictor.scr2net.pretraining import PretrainedCohort
from predictor.scr2net.programs import programs_of
from predictor.scr2net.training import Settings
from predictor.scr2net.transfer import from_cohort

if TYPE_CHECKING:
    from predictor.base import Matrix

# How many measured spots a cohort counts as when programs are looked for, however large it is: a
# new patient has programs of its own.
COHORT_SPOTS = 40.0


class Fitted(NamedTuple):
    """Experts, and the scale on which they speak.

    Parameters
    ----------
    level, spread
        What zero and one standard deviation of each gene are, (G,).
    learned
        The experts.
    truth
        Standardised expression of the spots that they were asked about, (n, G).
    """

    level: Matrix
    spread: Matrix
    learned: Learned
    truth: Matrix


def serves_alone(pretrained: PretrainedCohort | None, n_measured: int) -> bool:
    """Whether a cohort speaks by itself, there being too few measured spots to learn from."""
    return pretrained is not None and n_measured < MIN_SPOTS


def fit_experts(
    measured: Measured,
    pretrained: PretrainedCohort | None,
    names: Sequence[str],
    settings: Settings,
    *,
    gate: bool,
) -> Fitted:
    """Learn the experts from measured spots, or take them from a cohort.

    Parameters
    ----------
    measured
        The spots.
    pretrained
        The cohort, or None.
    names
        Experts to use.
    settings
        Of the network.
    gate
        Whether the experts' weights are learned.

    Returns
    -------
    Fitted
    """
    middle = level(measured, pretrained)
    if pretrained is not None and serves_alone(pretrained, measured.n_spots):
        spread = pretrained.spread
        targets = (measured.expression - middle) / spread
        learned = from_cohort(pretrained, measured, targets, names, gate=gate)
    else:
        spread = gene_spread(measured.expression)
        targets = (measured.expression - middle) / spread
        base = cohort_base(pretrained, measured, targets, spread)
        programs = programs_of(_variation(pretrained, targets, spread))
        learned = learn(
            measured, targets, names, settings, base, pretrained, programs=programs, gate=gate
        )
    return Fitted(middle, spread, learned, targets[learned.rows])


def _variation(pretrained: PretrainedCohort | None, targets: Matrix, spread: Matrix) -> Matrix:
    """Return spots whose principal components are the programs, (n, G)."""
    if pretrained is None:
        return targets
    cohort = pretrained.centred_expression / spread
    return np.vstack([np.sqrt(COHORT_SPOTS / len(cohort)) * cohort, targets])
