"""From scores to evidence: patients are the unit, and random buying is the yardstick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

MIN_PATIENTS = 6  # with five, sign flips cannot reach p < .05
MARGIN = 0.003
EXACT_UP_TO = 16  # 2**16 sign patterns
DRAWS = 9_999


@dataclass(frozen=True)
class Saving:
    """How much more a random buyer would have had to pay for the same score.

    Parameters
    ----------
    factor
        Random's budget for the agent's score, over the agent's budget.
    bound
        ``"="``; ``">="`` where even random's largest budget scores less; ``"<="`` where even
        its smallest scores more.
    """

    factor: float
    bound: str

    def __str__(self) -> str:
        return f"{'' if self.bound == '=' else self.bound}{self.factor:.2f}x"


def _sample(differences: ArrayLike) -> Values:
    values = np.asarray(differences, np.float64).ravel()
    if values.size < 2 or not np.isfinite(values).all():
        raise InputError(f"an interval needs two or more finite differences, got {values.tolist()}")
    return values


def t_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of the mean of paired differences.

    Parameters
    ----------
    differences
        One number per patient, (n,), n >= 2.
    level
        Coverage.

    Returns
    -------
    tuple of two floats

    Examples
    --------
    >>> low, high = t_interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    values = _sample(differences)
    half = stats.t.ppf((1 + level) / 2, values.size - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def t_test(differences: ArrayLike) -> float:
    """Return the two-sided p-value of Student's test of a mean of zero.

    It is below .05 where, and only where, :func:`t_interval` excludes zero.

    Parameters
    ----------
    differences
        One number per patient, (n,), n >= 2.

    Returns
    -------
    float
        1 where all differences are 0.

    Examples
    --------
    >>> round(t_test([1.0, 2.0, 3.0]), 3)
    0.074
    """
    values = _sample(differences)
    if np.ptp(values) == 0:
        return float(values[0] == 0)
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def sign_flip_test(differences: ArrayLike, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean of zero under random signs.

    Exact for up to 16 patients: the share of all 2^n sign patterns whose mean is at least as far
    from zero; beyond, from 9,999 patterns drawn under ``seed``.

    Parameters
    ----------
    differences
        One number per patient, (n,), n >= 2.
    seed
        Of the patterns, where they are drawn.

    Returns
    -------
    float

    References
    ----------
    Fisher, The Design of Experiments, 1935, section 21.

    Examples
    --------
    >>> sign_flip_test([1.0, 2.0, 3.0])
    0.25
    """
    values = _sample(differences)
    result = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf if values.size <= EXACT_UP_TO else DRAWS,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def bootstrap_interval(
    differences: ArrayLike, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return a bootstrap interval of the mean, patients drawn with replacement.

    Bias-corrected and accelerated; the percentile interval where that is not defined.

    Parameters
    ----------
    differences
        One number per patient, (n,), n >= 2.
    level
        Coverage.
    seed
        Of the draws.

    Returns
    -------
    tuple of two floats

    References
    ----------
    Efron, Better bootstrap confidence intervals, JASA 82, 1987.
    """
    values = _sample(differences)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    for method in ("BCa", "percentile"):
        interval = stats.bootstrap(
            (values,),
            np.mean,
            confidence_level=level,
            n_resamples=DRAWS,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        if np.isfinite(interval.low) and np.isfinite(interval.high):
            break
    return float(interval.low), float(interval.high)


def holm(p_values: ArrayLike) -> Values:
    """Return p-values adjusted for the number of tests by Holm's step-down rule.

    Parameters
    ----------
    p_values
        (m,).

    Returns
    -------
    ndarray of float64, shape (m,)

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(values.size, 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def monotone_curve(budgets: Sequence[float], scores: Sequence[float]) -> Values:
    """Return the non-decreasing curve nearest to the scores of ascending budgets.

    Parameters
    ----------
    budgets, scores
        (n,) each.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    from sklearn.isotonic import IsotonicRegression

    fitted: Values = IsotonicRegression().fit_transform(np.asarray(budgets), np.asarray(scores))
    return fitted


def budget_saving(
    budget: float, score: float, random_budgets: Sequence[float], random_scores: Sequence[float]
) -> Saving:
    """Return the budget at which random buying scores the same, over the agent's budget.

    Parameters
    ----------
    budget, score
        What the agent spent, and its score.
    random_budgets, random_scores
        Random's curve at ascending budgets; made monotone here, linear between budgets.

    Returns
    -------
    Saving

    Examples
    --------
    >>> str(budget_saving(0.1, 0.15, [0.1, 0.2, 0.3], [0.1, 0.2, 0.25]))
    '1.50x'
    >>> str(budget_saving(0.1, 0.30, [0.1, 0.2, 0.3], [0.1, 0.2, 0.25]))
    '>=3.00x'
    """
    curve = monotone_curve(random_budgets, random_scores)
    if score > curve[-1]:
        return Saving(random_budgets[-1] / budget, ">=")
    if score < curve[0]:
        return Saving(random_budgets[0] / budget, "<=")
    upper = int(np.searchsorted(curve, score, side="left"))
    if upper == 0:
        return Saving(random_budgets[0] / budget, "=")
    share = (score - curve[upper - 1]) / (curve[upper] - curve[upper - 1])
    needed = random_budgets[upper - 1] + share * (random_budgets[upper] - random_budgets[upper - 1])
    return Saving(float(needed / budget), "=")


def oracle_gap_closed(agent: float, baseline: float, oracle: float) -> float:
    """Return (agent - random) / (oracle - random), NaN where the oracle gains nothing.

    Examples
    --------
    >>> oracle_gap_closed(0.375, 0.25, 0.75)
    0.25
    """
    gap = oracle - baseline
    return (agent - baseline) / gap if gap > 0 else float("nan")


def area_under_curve(budgets: Sequence[float], scores: Sequence[float]) -> float:
    """Return the mean height of the score over the range of budgets (trapezoids).

    Examples
    --------
    >>> area_under_curve([0.25, 0.5, 0.75], [1.0, 2.0, 2.0])
    1.75
    """
    if len(budgets) == 1:
        return float(scores[0])
    area = np.trapezoid(np.asarray(scores, np.float64), np.asarray(budgets, np.float64))
    return float(area / (budgets[-1] - budgets[0]))
