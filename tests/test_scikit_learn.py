"""Predictors are estimators: scikit-learn's own checks, and its tools on SCR2Net."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_predictors import N_FEATURES, N_GENES, tissue, toy_cohort

from predictor import GaussianProcess, MeanPredictor, NearestNeighbours, Ridge, SCR2Net
from predictor.metrics import mean_pearson_per_gene

QUICK = SCR2Net(width=4, epochs=1, device="cpu")
EXPECTED_FAILURES = {
    "check_regressor_multioutput": "predictions are float32 by contract, whatever the targets are",
}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@parametrize_with_checks(
    [MeanPredictor(), Ridge(), NearestNeighbours(), GaussianProcess(), QUICK],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learns_own_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


def test_what_is_expected_to_fail_is_the_number_format_alone() -> None:
    features, expression, *_ = tissue(30)
    predicted = Ridge().fit(features, expression.astype(np.float64)).predict(features)
    assert predicted.dtype == np.float32
    assert predicted.shape == expression.shape


@pytest.mark.parametrize("predictor", [Ridge(), GaussianProcess(), QUICK])
def test_one_gene_may_come_and_go_without_a_second_dimension(predictor: Any) -> None:
    features, expression, *_ = tissue(30)
    flat = clone(predictor).fit(features, expression[:, 0]).predict(features)
    column = clone(predictor).fit(features, expression[:, :1]).predict(features)
    assert flat.shape == (30,)
    np.testing.assert_array_equal(flat, column[:, 0])


def test_uncertainty_of_one_gene_has_its_shape_too() -> None:
    features, expression, *_ = tissue(30)
    predicted, std = clone(QUICK).fit(features, expression[:, 0]).predict(features, return_std=True)
    assert predicted.shape == std.shape == (30,)


def test_data_frames_name_features_spots_and_genes() -> None:
    features, expression, *_ = tissue(30)
    names = [f"f{index}" for index in range(N_FEATURES)]
    genes = [f"g{index}" for index in range(N_GENES)]
    spots = [f"s{index}" for index in range(30)]
    X, Y = pd.DataFrame(features, spots, names), pd.DataFrame(expression, spots, genes)
    fitted = clone(QUICK).fit(X, Y)
    assert fitted.feature_names_in_.tolist() == names
    assert fitted.genes_ == tuple(genes)
    assert fitted.spot_names_ == tuple(spots)
    np.testing.assert_array_equal(
        fitted.predict(X), clone(QUICK).fit(features, expression).predict(features)
    )
    shuffled = Y[genes[::-1]].assign(other=1.0)  # truth in another order, with a gene too many
    assert fitted.score(X, shuffled) == pytest.approx(fitted.score(X, Y))


def test_the_score_is_the_mean_r2_and_takes_places() -> None:
    features, expression, places, _ = tissue(60)
    fitted = clone(QUICK).fit(features[:30], expression[:30], coordinates=places[:30])
    rest = features[30:], expression[30:]
    predicted = fitted.predict(features[30:], coordinates=places[30:])
    assert fitted.score(*rest, coordinates=places[30:]) == pytest.approx(
        r2_score(expression[30:], predicted)
    )
    assert fitted.score(*rest, coordinates=places[30:]) != fitted.score(*rest)


def test_a_pipeline_and_a_grid_search_by_slide_take_scr2net() -> None:
    parts = [tissue(20, seed) for seed in range(3)]
    features = np.concatenate([part[0] for part in parts])
    expression = np.concatenate([part[1] for part in parts])
    slides = np.repeat(["a", "b", "c"], 20)
    pipeline = make_pipeline(StandardScaler(), clone(QUICK))
    search = GridSearchCV(
        pipeline,
        {"scr2net__experts": [("retrieval",), ("linear", "kriging")]},
        cv=GroupKFold(3),
        scoring=make_scorer(mean_pearson_per_gene),
    )
    search.fit(features, expression, groups=slides)
    assert search.best_params_ == {"scr2net__experts": ("linear", "kriging")}
    assert search.best_score_ > 0.5
    scores = cross_val_score(pipeline, features, expression, groups=slides, cv=GroupKFold(3))
    assert scores.shape == (3,)


def test_groups_and_places_are_routed_to_fit_and_predict() -> None:
    features, expression, places, _ = tissue(60)
    with sklearn.config_context(enable_metadata_routing=True):
        model = clone(QUICK).set_fit_request(coordinates=True).set_score_request(coordinates=True)
        scores = cross_val_score(model, features, expression, cv=3, params={"coordinates": places})
        blind = cross_val_score(
            clone(QUICK).set_fit_request(coordinates=True).set_score_request(coordinates=False),
            features,
            expression,
            cv=3,
            params={"coordinates": places},
        )
    assert scores.mean() > blind.mean()


@pytest.mark.parametrize("predictor", [Ridge(), NearestNeighbours(), GaussianProcess(), QUICK])
def test_spots_of_several_slides_are_learned_from_like_a_cohort(predictor: Any) -> None:
    """Levels of the slides lie 2 apart, which says nothing of a new slide's spots."""
    cohort = toy_cohort()
    features, expression, *_ = tissue(60)
    alone = clone(predictor).fit(
        cohort.features, cohort.expression, cell_types=cohort.cell_types, groups=cohort.groups
    )
    nothing = features[:0], expression[:0]
    as_cohort = clone(predictor).fit(*nothing, cohort=cohort)
    np.testing.assert_allclose(alone.predict(features), as_cohort.predict(features), atol=1e-5)
    assert mean_pearson_per_gene(expression, alone.predict(features)) > 0.5
    one = clone(predictor).fit(features, expression, groups=np.zeros(60))
    np.testing.assert_array_equal(
        one.predict(features), clone(predictor).fit(features, expression).predict(features)
    )


def test_slides_and_a_cohort_are_learned_from_together() -> None:
    cohort = toy_cohort()
    more = tissue(60, seed=20)[:2]
    both = Ridge().fit(*more, groups=np.repeat(["x", "y"], 30), cohort=cohort)
    assert both.n_measured_ == 0
    assert not np.allclose(
        both.coefficients_, Ridge().fit(*(part[:0] for part in more), cohort=cohort).coefficients_
    )
