"""Statistics against brute force, hand numbers and scipy."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.statistics import (
    area_under_curve,
    bootstrap_interval,
    budget_saving,
    holm,
    monotone_curve,
    oracle_gap_closed,
    sign_flip_test,
    t_interval,
    t_test,
)
from scr2st_env.errors import InputError

differences = st.lists(
    st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 3)), min_size=2, max_size=9
)


@settings(max_examples=40, deadline=None)
@given(differences)
def test_the_sign_flip_test_counts_all_sign_patterns(values: list[float]) -> None:
    sample = np.array(values)
    means = [np.mean(sample * signs) for signs in product([-1, 1], repeat=len(sample))]
    expected = np.mean(np.abs(means) >= abs(sample.mean()) - 1e-12)
    assert sign_flip_test(sample) == pytest.approx(expected)


def test_eight_patients_that_all_gain_give_the_smallest_possible_p() -> None:
    assert sign_flip_test(np.arange(1, 9)) == pytest.approx(2 / 2**8)


def test_many_patients_are_tested_by_drawn_patterns() -> None:
    rng = np.random.default_rng(0)
    assert sign_flip_test(rng.normal(1, 1, 40)) < 0.001
    assert sign_flip_test(rng.normal(0, 1, 40)) > 0.05


@settings(max_examples=30, deadline=None)
@given(differences.filter(lambda values: np.ptp(values) > 0))
def test_the_t_interval_is_scipys(values: list[float]) -> None:
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(values) == pytest.approx((expected.low, expected.high))


@settings(max_examples=60, deadline=None)
@given(differences.filter(lambda values: np.ptp(values) > 0))
def test_the_t_test_says_what_the_interval_says(values: list[float]) -> None:
    low, high = t_interval(values)
    assert t_test(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert (t_test(values) < 0.05) == (low > 0 or high < 0)


def test_differences_without_spread_are_all_or_nothing() -> None:
    assert t_test([0.0, 0.0, 0.0]) == 1
    assert t_test([0.1, 0.1, 0.1]) == 0


def test_the_t_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = [
        low <= 0.3 <= high for low, high in (t_interval(rng.normal(0.3, 1, 8)) for _ in range(2000))
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_the_bootstrap_interval_is_near_the_t_interval_for_many_patients() -> None:
    sample = np.random.default_rng(1).normal(0.2, 1, 100)
    assert bootstrap_interval(sample) == pytest.approx(t_interval(sample), abs=0.03)


@pytest.mark.parametrize("sample", [[0.1, 0.1, 0.1], [0.0, 0.3], [0.2, 0.2, 0.9]])
def test_the_bootstrap_interval_is_finite_for_few_or_equal_patients(sample: list[float]) -> None:
    low, high = bootstrap_interval(sample)
    middle, rounding = np.mean(sample), 1e-12
    assert min(sample) <= low <= middle + rounding
    assert middle - rounding <= high <= max(sample)


def test_holm_gives_the_numbers_worked_by_hand() -> None:
    # Ascending .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, and the last may not fall.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_their_order(
    values: list[float],
) -> None:
    raw, adjusted = np.array(values), holm(values)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, raw * len(raw)) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_an_interval_of_one_patient_is_refused() -> None:
    with pytest.raises(InputError, match="two or more"):
        t_interval([0.1])


BUDGETS, SCORES = [0.05, 0.1, 0.2, 0.4, 0.6], [0.1, 0.14, 0.18, 0.22, 0.24]


@settings(deadline=None)
@given(st.floats(0.1, 0.24), st.floats(0.05, 0.6))
def test_random_scores_the_same_at_the_budget_that_the_saving_names(
    score: float, budget: float
) -> None:
    saving = budget_saving(budget, score, BUDGETS, SCORES)
    assert saving.bound == "="
    assert np.interp(saving.factor * budget, BUDGETS, SCORES) == pytest.approx(score)


def test_savings_beyond_the_curve_are_printed_as_bounds() -> None:
    assert str(budget_saving(0.1, 0.3, BUDGETS, SCORES)) == ">=6.00x"
    assert str(budget_saving(0.1, 0.05, BUDGETS, SCORES)) == "<=0.50x"


def test_a_dip_of_the_random_curve_is_smoothed_away_before_it_is_read() -> None:
    assert monotone_curve([0.1, 0.2, 0.3], [0.1, 0.3, 0.2]).tolist() == [0.1, 0.25, 0.25]
    saving = budget_saving(0.1, 0.25, [0.1, 0.2, 0.3], [0.1, 0.3, 0.2])
    assert str(saving) == "2.00x"  # the cheapest budget that reaches the plateau


def test_the_oracle_gap_is_a_ratio_and_undefined_without_a_gap() -> None:
    assert oracle_gap_closed(0.17, 0.15, 0.19) == pytest.approx(0.5)
    assert oracle_gap_closed(0.13, 0.15, 0.19) == pytest.approx(-0.5)
    assert np.isnan(oracle_gap_closed(0.17, 0.15, 0.15))


def test_the_area_under_a_straight_line_is_its_middle() -> None:
    assert area_under_curve([0.1, 0.15, 0.3], [1.0, 1.5, 3.0]) == pytest.approx(2.0)
    assert area_under_curve([0.1], [0.7]) == 0.7
