"""What a cohort says of a slide of which nothing was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from predictor.base import Measured, centred_by_group
from predictor.scr2net.experts import Blend, Expert, Linear, Retrieval
from predictor.scr2net.gate import LEAST_SLOPE, weights_from_products
from predictor.scr2net.learning import Learned, evenly, examples_of
from predictor.scr2net.left_out import PENALTIES, Evidence, left_out, network_experts, ridges
from predictor.scr2net.pretraining import PretrainedCohort
from predictor.scr2net.training import joined

if TYPE_CHECKING:
    from predictor.base import Matrix

# Of the experts as they come, where nothing is to be decided on held-out spots.
FIXED = {"linear": 0.4, "regression": 0.4, "retrieval": 0.2}
# Of experts of like amplitude, before patients left out have spoken. After the few steps that a
# network learns for, what its head adds to the skip path is mostly the noise it started from.
PRIOR = {"linear": 0.8, "regression": 0.0, "retrieval": 0.2}
PRIOR_STRENGTH = 2.0
SHARPNESS = 1.0
LEAST_COSINE = 0.05


def from_cohort(
    pretrained: PretrainedCohort,
    measured: Measured,
    targets: Matrix,
    names: Sequence[str],
    *,
    gate: bool,
) -> Learned:
    """Take the experts from a cohort, where there are too few measured spots to learn from.

    Parameters
    ----------
    pretrained
        The cohort.
    measured
        At most three spots, which can be retrieved beside those of the cohort.
    targets
        Their expression, in the cohort's standard deviations, (n, G).
    names
        Experts to use; kriging has nothing to say.
    gate
        Whether patients of the cohort, left out in turn, decide the penalty of the ridge
        regression, the experts' weights and how far predictions go.

    Returns
    -------
    Learned
    """
    bank = joined(examples_of(measured, targets), pretrained.examples)
    middle = np.zeros(measured.features.shape[1])
    linear = Linear(middle, pretrained.coefficients)
    learned: dict[str, Expert] = {"linear": linear, **network_experts(pretrained, bank)}
    experts = {name: learned[name] for name in learned if name in names} or {"linear": linear}
    if gate:
        blend = _decided(pretrained, experts, measured.n_spots)
    else:
        scales = dict.fromkeys(experts, 1.0)
        blend = Blend(_nothing(linear), experts, _shared_out(FIXED, experts), scales)
    n_genes = targets.shape[1]
    return Learned(blend, np.arange(0), np.zeros((0, n_genes)), np.zeros((n_genes, 0)))


def penalty_shares(evidence: Evidence | None) -> Matrix:
    """Return how much each penalty of the ridge regression counts, summing to 1.

    Proportional to exp(n cos^2), which is the likelihood of spots that each have two independent
    programs; all alike where nothing is known.

    Parameters
    ----------
    evidence
        Of patients left out.

    Returns
    -------
    ndarray of float64, shape (len(PENALTIES),)
    """
    if evidence is None:
        return np.full(len(PENALTIES), 1 / len(PENALTIES))
    explained = np.clip(evidence.agreement[: len(PENALTIES)], 0, None) ** 2
    shares = np.exp(SHARPNESS * evidence.n_spots * (explained - explained.max()))
    return shares / shares.sum()


def transfer_weights(
    evidence: Evidence | None, shares: Matrix, names: Sequence[str]
) -> tuple[dict[str, float], float | None]:
    """Return the weights of experts of like amplitude, and the amplitude that their blend merits.

    The prior counts 2 / (n cos^2) times the evidence, with cos that of its blend and the truth: a
    cosine of .08 over forty spots is hardly more than noise, and then the prior stands.

    Parameters
    ----------
    evidence
        Of patients left out.
    shares
        Of the penalties in the linear expert.
    names
        Of the experts.

    Returns
    -------
    dict of str to float
        Not negative, summing to 1.
    float or None
        The least-squares slope of the truth on the blend, all experts being of amplitude 1; None
        without evidence.
    """
    prior = _shared_out(PRIOR, names)
    if evidence is None:
        return prior, None
    rows = np.eye(len(evidence.agreement))
    linear = np.append(shares, np.zeros(len(rows) - len(shares)))
    rows = np.vstack([linear / _length(evidence.alike, linear), rows[len(shares) :]])
    rows = rows[[list(PRIOR).index(name) for name in names]]
    alike, agreement = rows @ evidence.alike @ rows.T, rows @ evidence.agreement
    first = np.array(list(prior.values()))
    cosine = max(float(first @ agreement) / _length(alike, first), LEAST_COSINE)
    strength = PRIOR_STRENGTH / (evidence.n_spots * cosine**2)
    # at this amplitude the least slope is the least cosine
    size = LEAST_COSINE / LEAST_SLOPE
    weights = weights_from_products(size**2 * alike, size * agreement, list(first), strength)
    slope = max(float(weights @ agreement) / _length(alike, weights) ** 2, LEAST_COSINE)
    return dict(zip(names, weights.tolist(), strict=True)), slope * evidence.size


def _decided(pretrained: PretrainedCohort, experts: dict[str, Expert], n_before: int) -> Blend:
    """Blend experts as patients left out decide; ``n_before`` rows of the bank are no cohort's."""
    evidence = left_out(pretrained)
    shares = penalty_shares(evidence)
    weights, slope = transfer_weights(evidence, shares, list(experts))
    ridge = Linear(np.zeros(len(pretrained.coefficients)), pretrained.coefficients)
    if slope is None:
        slope = _amplitude(pretrained, ridge, n_before)
    if "linear" in experts:
        experts = experts | {"linear": replace(ridge, coefficients=_mean_ridge(pretrained, shares))}
    scales = {}
    for name, expert in experts.items():
        size = _amplitude(pretrained, expert, n_before)
        scales[name] = slope / size if size > 0 else 1.0
    return Blend(_nothing(ridge), experts, weights, scales)


def _mean_ridge(pretrained: PretrainedCohort, shares: Matrix) -> Matrix:
    """Return a mean of ridge regressions with different penalties, all of like amplitude."""
    mean = np.zeros(pretrained.coefficients.shape)
    for share, coefficients in zip(shares, ridges(pretrained), strict=True):
        size = _size(pretrained.centred_features @ coefficients)
        mean += share * coefficients / (size or 1.0)
    return mean


def _amplitude(pretrained: PretrainedCohort, expert: Expert, n_before: int) -> float:
    """Return how far an expert's predictions go from the level of a slide of the cohort."""
    rows = evenly(len(pretrained.features))
    features = pretrained.features[rows].astype(np.float64)
    if isinstance(expert, Retrieval):  # no spot speaks for itself
        found = expert.neighbours(features, n_before + rows)
        predicted = expert.bank.soft_labels(found).astype(np.float64)
    else:
        predicted = expert.predict(features, None)
    slides = np.unique(pretrained.group_codes[rows], return_inverse=True)[1]
    return _size(centred_by_group(predicted, slides))


def _shared_out(prior: Mapping[str, float], experts: Iterable[str]) -> dict[str, float]:
    names = list(experts)
    total = sum(prior[name] for name in names)
    if total == 0:
        return {name: 1 / len(names) for name in names}
    return {name: prior[name] / total for name in names}


def _nothing(linear: Linear) -> Linear:
    return Linear(linear.mean, np.zeros(linear.coefficients.shape))


def _length(alike: Matrix, weights: Matrix) -> float:
    return max(float(np.sqrt(weights @ alike @ weights)), 1e-6)


def _size(values: Matrix) -> float:
    return float(np.sqrt((values**2).mean()))
