"""How well what a cohort teaches predicts patients that it was not learned from."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from predictor.base import Cohort, centred_by_group, gene_spread
from predictor.ridge import MIN_SPOTS, ridge_path
from predictor.scr2net.experts import NETWORK_EXPERTS, Expert, Linear, Regression, Retrieval
from predictor.scr2net.pretraining import PretrainedCohort, pretrain
from predictor.scr2net.training import Examples, memory_bank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from predictor.base import Matrix

PENALTIES = tuple(10.0 ** np.arange(0, 3.01, 0.5))
N_FOLDS = 5
# More spots of one patient say more about this patient, and no more about the next one.
PATIENT_SPOTS = 20


class Evidence(NamedTuple):
    """What K candidates were worth on patients left out.

    The candidates are a ridge regression per penalty of :data:`PENALTIES`, then the network's
    experts. Everything is a deviation from the level of its slide, in standard deviations of it.

    Parameters
    ----------
    alike
        Cosines of their predictions with each other, over all spots and genes, (K, K).
    agreement
        Their cosines with what was measured, (K,).
    size
        Root mean square of what was measured.
    n_spots
        How many spots this counts as: of each patient those beyond the level of each slide, and
        no more than twenty.
    """

    alike: Matrix
    agreement: Matrix
    size: float
    n_spots: int


@lru_cache(maxsize=8)
def left_out(cohort: PretrainedCohort) -> Evidence | None:
    """Predict every patient from the others; where there is one patient only, every slide.

    Parameters
    ----------
    cohort
        Its patients go into at most five folds. Kept for reuse.

    Returns
    -------
    Evidence or None
        None where there is one slide only, or fewer than four spots to learn from or to test.
    """
    codes = cohort.patient_codes if cohort.patient_codes.any() else cohort.group_codes
    n_spots = _independent_spots(codes, cohort.group_codes)
    folds = codes % N_FOLDS
    fewest = min(int((folds != fold).sum()) for fold in np.unique(folds))
    if min(fewest, n_spots) < MIN_SPOTS:
        return None
    products = np.zeros((len(PENALTIES) + len(NETWORK_EXPERTS) + 1,) * 2)
    for fold in np.unique(folds):
        deviations = _held_out(cohort, folds == fold)
        products += deviations @ deviations.T
    norms = np.sqrt(np.maximum(products.diagonal(), 1e-12))
    cosines = products / np.outer(norms, norms)
    size = norms[-1] / np.sqrt(cohort.expression.size)
    return Evidence(cosines[:-1, :-1], cosines[:-1, -1], float(size), n_spots)


def ridges(cohort: Cohort) -> list[Matrix]:
    """Return ridge coefficients (D, G) to :func:`standardised` expression, one per penalty."""
    return list(ridge_path(cohort.centred_features, standardised(cohort), PENALTIES))


def standardised(cohort: Cohort) -> Matrix:
    """Return expression around the level of its slide, in standard deviations of its slide, (n, G).

    What varies much on one patient's slide, or was counted deeply there, is no more worth there.
    """
    values = cohort.centred_expression.copy()
    for code in np.unique(cohort.group_codes):
        own = cohort.group_codes == code
        values[own] /= gene_spread(values[own])
    return values


def network_experts(cohort: PretrainedCohort, bank: Examples) -> dict[str, Expert]:
    """Return the experts of a cohort's network.

    Parameters
    ----------
    cohort
        Whose network it is.
    bank
        Spots that can be retrieved.
    """
    network = cohort.network
    n_features, n_genes = cohort.coefficients.shape
    nothing = Linear(np.zeros(n_features), np.zeros((n_features, n_genes)))
    return {
        "regression": Regression(network, nothing),
        "retrieval": Retrieval(network, memory_bank(network, bank), cohort.settings),
    }


def _held_out(cohort: PretrainedCohort, held: NDArray[np.bool_]) -> Matrix:
    """Return the candidates' predictions, then what was measured, one flat row each."""
    known = pretrain(cohort.subset(~held), cohort.settings)
    features = cohort.features[held].astype(np.float64)
    rows = [features @ coefficients for coefficients in ridges(known)]
    experts = network_experts(known, known.examples)
    rows += [experts[name].predict(features, None) for name in NETWORK_EXPERTS]
    rows.append(standardised(cohort)[held])
    slides = np.unique(cohort.group_codes[held], return_inverse=True)[1]
    return np.stack([centred_by_group(row, slides).ravel() for row in rows])


def _independent_spots(patients: NDArray[np.int64], slides: NDArray[np.int64]) -> int:
    total = 0
    for patient in np.unique(patients):
        own = slides[patients == patient]
        total += min(len(own) - len(np.unique(own)), PATIENT_SPOTS)
    return total if patients.any() else 0
