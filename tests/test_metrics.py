"""Scores: what they count, and what they count as nothing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from predictor import metrics
from scr2st_env import InputError

matrices = arrays(np.float32, (7, 4), elements=st.floats(-50, 50, width=32))


@given(matrices, matrices)
def test_pearson_is_numpys_where_numpy_has_one(truth: Any, predicted: Any) -> None:
    scores = metrics.pearson_per_gene(truth, predicted)
    for gene, score in enumerate(scores):
        y, p = truth[:, gene].astype(float), predicted[:, gene].astype(float)
        if min(np.ptp(y), np.ptp(p)) > 1e-3:
            assert score == pytest.approx(np.corrcoef(y, p)[0, 1], abs=1e-6)
        assert -1 - 1e-9 <= score <= 1 + 1e-9


@given(matrices, st.floats(0.125, 50, width=32), st.floats(-20, 20, width=32))
def test_pearson_ignores_scale_and_level(truth: Any, scale: float, level: float) -> None:
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=truth.shape).astype(np.float32)
    before = metrics.pearson_per_gene(truth, predicted)
    after = metrics.pearson_per_gene(truth, predicted * scale + level)
    np.testing.assert_allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("constant", [0.0, 1.1, 1e6])
def test_a_gene_constant_in_truth_or_prediction_scores_zero(constant: float) -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(2, 10, 3))
    truth[:, 0] = constant
    predicted[:, 1] = constant
    scores = metrics.pearson_per_gene(truth, predicted)
    assert scores[0] == scores[1] == 0
    assert scores[2] != 0


def test_per_spot_is_per_gene_of_the_transpose() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(2, 10, 3))
    np.testing.assert_allclose(
        metrics.pearson_per_spot(truth, predicted), metrics.pearson_per_gene(truth.T, predicted.T)
    )


def test_errors_are_means_over_spots_and_genes() -> None:
    truth, predicted = np.zeros((2, 2)), np.array([[1.0, 1.0], [1.0, 3.0]])
    assert metrics.mse(truth, predicted) == 3.0
    assert metrics.mae(truth, predicted) == 1.5


def test_top_genes_are_the_ones_named() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(2, 10, 5))
    scores = metrics.pearson_per_gene(truth, predicted)
    top = metrics.most_variable_genes(truth * [1, 5, 1, 9, 1], 2)
    assert top.tolist() == [3, 1]
    assert metrics.mean_pearson_per_gene_top(truth, predicted, top) == pytest.approx(
        scores[[3, 1]].mean()
    )
    assert metrics.mean_pearson_per_gene(truth, predicted) == pytest.approx(scores.mean())


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [(np.ones((2, 3)), np.ones((3, 3))), (np.ones((0, 3)), np.ones((0, 3)))],
)
def test_shapes_that_do_not_match_are_refused(truth: Any, predicted: Any) -> None:
    with pytest.raises(InputError, match="one shape"):
        metrics.mse(truth, predicted)


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        metrics.pearson_per_gene([[np.nan], [1.0]], [[0.0], [1.0]])
