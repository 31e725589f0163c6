"""The baselines, and what every predictor promises."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from predictor import (
    Cohort,
    GaussianProcess,
    MeanPredictor,
    NearestNeighbours,
    PartialLeastSquares,
    Ridge,
)
from predictor.base import centred_by_group, gene_spread
from predictor.gaussian_process import Projection
from predictor.leave_one_out import kernel_residuals, ridge_residuals
from predictor.metrics import mean_pearson_per_gene
from predictor.partial_least_squares import pls, pls_coefficients
from predictor.ridge import cohort_share
from scr2st_env import InputError, Kernel

PREDICTORS = [MeanPredictor, Ridge, PartialLeastSquares, NearestNeighbours, GaussianProcess]
N_FEATURES, N_GENES = 12, 8


def tissue(n_spots: int = 120, seed: int = 0, noise: float = 0.4) -> tuple[Any, ...]:
    """Spots of one slide: features (z-scored), expression, coordinates, types, all related."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 12, size=(n_spots, 2))
    hidden = np.column_stack([np.sin(places[:, 0] / 2), np.cos(places[:, 1] / 2)])
    shared = np.random.default_rng(7)
    features = hidden @ shared.normal(size=(2, N_FEATURES)) + 0.5 * rng.normal(
        size=(n_spots, N_FEATURES)
    )
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    expression = 3 + hidden @ shared.normal(size=(2, N_GENES))
    expression = expression + noise * rng.normal(size=expression.shape)
    types = np.exp(2 * np.column_stack([hidden, -hidden.sum(axis=1)]))
    return features, expression, places, types / types.sum(axis=1, keepdims=True)


def toy_cohort(n_slides: int = 3) -> Cohort:
    parts = [tissue(60, seed=10 + index) for index in range(n_slides)]
    groups = np.repeat(np.arange(n_slides), 60)
    levels = 2.0 * groups[:, None]
    return Cohort(
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]) + levels,
        np.concatenate([part[3] for part in parts]),
        groups,
    )


def test_importing_the_package_is_light() -> None:
    code = "import sys, predictor; assert not {'torch', 'faiss', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys; from predictor import Ridge; assert not {'torch', 'faiss'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_output_is_float32_and_the_input_is_left_alone(predictor: Any) -> None:
    features, expression, places, types = tissue(40)
    before = [array.copy() for array in (features, expression, places, types)]
    fitted = predictor().fit(features, expression, coordinates=places, cell_types=types)
    predicted = fitted.predict(features[:5], coordinates=places[:5])
    assert predicted.dtype == np.float32
    assert predicted.shape == (5, N_GENES)
    assert fitted.predict(features[:0], coordinates=places[:0]).shape == (0, N_GENES)
    for array, copy in zip((features, expression, places, types), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("n_measured", [2, 3, 5, 9])
def test_a_handful_of_spots_is_enough(predictor: Any, n_measured: int) -> None:
    features, expression, places, types = tissue(40)
    fitted = predictor().fit(
        features[:n_measured],
        expression[:n_measured],
        coordinates=places[:n_measured],
        cell_types=types[:n_measured],
    )
    predicted = fitted.predict(features, coordinates=places)
    assert np.isfinite(predicted).all()
    assert np.abs(predicted - expression).max() < 10


@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("n_measured", [0, 1, 3, 20])
def test_a_cohort_serves_from_the_first_spot_on(predictor: Any, n_measured: int) -> None:
    features, expression, places, _ = tissue(60)
    fitted = predictor().fit(
        features[:n_measured],
        expression[:n_measured],
        coordinates=places[:n_measured],
        cohort=toy_cohort(),
    )
    predicted = fitted.predict(features, coordinates=places)
    assert np.isfinite(predicted).all()
    if predictor is not MeanPredictor:
        assert mean_pearson_per_gene(expression, predicted) > 0.5


@pytest.mark.parametrize("predictor", PREDICTORS[1:])
def test_a_cohort_of_the_same_biology_helps_on_few_spots(predictor: Any) -> None:
    features, expression, _, _ = tissue(120, seed=3)
    bought = np.arange(8)
    with_cohort = predictor().fit(features[bought], expression[bought], cohort=toy_cohort())
    alone = predictor().fit(features[bought], expression[bought])
    rest = np.arange(8, 120)
    better = mean_pearson_per_gene(expression[rest], with_cohort.predict(features[rest]))
    assert better > mean_pearson_per_gene(expression[rest], alone.predict(features[rest])) + 0.02


@pytest.mark.parametrize("predictor", [Ridge, PartialLeastSquares, GaussianProcess])
def test_a_cohort_that_contradicts_the_measured_spots_is_set_aside(predictor: Any) -> None:
    features, expression, *_ = tissue(120)
    cohort = toy_cohort()
    wrong = Cohort(-cohort.features, cohort.expression, None, cohort.groups)
    fitted = predictor().fit(features[:40], expression[:40], cohort=wrong)
    alone = predictor().fit(features[:40], expression[:40])
    score = mean_pearson_per_gene(expression[40:], fitted.predict(features[40:]))
    assert score > mean_pearson_per_gene(expression[40:], alone.predict(features[40:])) - 0.03


@pytest.mark.parametrize("predictor", PREDICTORS[1:])
def test_learning_beats_the_mean_where_there_is_something_to_learn(predictor: Any) -> None:
    features, expression, places, _ = tissue(120)
    fitted = predictor().fit(features[:40], expression[:40], coordinates=places[:40])
    predicted = fitted.predict(features[40:], coordinates=places[40:])
    assert mean_pearson_per_gene(expression[40:], predicted) > 0.6
    error = ((predicted - expression[40:]) ** 2).mean()
    assert error < 0.6 * ((expression[40:] - expression[:40].mean(axis=0)) ** 2).mean()


def test_the_order_of_the_measured_spots_does_not_matter() -> None:
    features, expression, places, _ = tissue(40)
    order = np.random.default_rng(0).permutation(40)
    for predictor in PREDICTORS:
        one = predictor().fit(features, expression, coordinates=places)
        other = predictor().fit(features[order], expression[order], coordinates=places[order])
        np.testing.assert_allclose(
            one.predict(features, coordinates=places),
            other.predict(features, coordinates=places),
            atol=1e-4,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, Y: (X[:1], Y[:1]), "at least 2 measured spots"),
        (lambda X, Y: (X[0], Y), "two dimensions"),
        (lambda X, Y: (X, Y[:-1]), "rows"),
        (lambda X, Y: (np.where(X[3, 3] == X, np.nan, X), Y), "first: row 3"),
        (lambda X, Y: (X, np.where(Y[2, 2] == Y, np.inf, Y)), "first: row 2"),
        (lambda X, Y: (X[:, :0], Y), "coordinates in pitches"),
    ],
)
def test_wrong_input_is_refused_in_one_line(change: Any, message: str) -> None:
    features, expression, *_ = tissue(10)
    with pytest.raises(InputError, match=message) as caught:
        Ridge().fit(*change(features, expression))
    assert "\n" not in str(caught.value)


def test_a_query_of_another_shape_is_refused() -> None:
    features, expression, places, _ = tissue(10)
    fitted = Ridge().fit(features, expression)
    with pytest.raises(InputError, match="11 features, but Ridge is expecting 12"):
        fitted.predict(features[:, :11])
    with pytest.raises(InputError, match="rows"):
        fitted.predict(features, coordinates=places[:4])
    with pytest.raises(InputError, match=r"\(n, 2\)"):
        fitted.predict(features, coordinates=features)


def test_a_cohort_is_checked() -> None:
    features, expression, *_ = tissue(10)
    with pytest.raises(InputError, match="rows"):
        Cohort(features, expression[:4])
    with pytest.raises(InputError, match="groups"):
        Cohort(features, expression, None, [1, 2])
    with pytest.raises(InputError, match="no spots"):
        Cohort(features[:0], expression[:0])
    with pytest.raises(InputError, match="same encoder"):
        Ridge().fit(features, expression, cohort=Cohort(features[:, :4], expression))


@pytest.mark.parametrize(
    "predictor",
    [
        Ridge(n_components=0),
        PartialLeastSquares(n_components=0),
        NearestNeighbours(n_neighbors=0),
        GaussianProcess(kernel="rbf"),
        GaussianProcess(n_components=0),
    ],
)
def test_parameters_out_of_range_are_refused_by_fit(predictor: Any) -> None:
    features, expression, *_ = tissue(10)
    with pytest.raises(InputError):
        predictor.fit(features, expression)


def test_scikit_learns_tools_take_them() -> None:
    features, expression, *_ = tissue(60)
    assert clone(Ridge(n_components=3)).get_params() == {"n_components": 3}
    assert clone(GaussianProcess(Kernel(length=2.0))).kernel.length == 2.0
    assert cross_val_score(Ridge(), features, expression, cv=3).min() > 0.2
    assert make_pipeline(StandardScaler(), Ridge()).fit(features, expression).score(
        features, expression
    ) == pytest.approx(Ridge().fit(features, expression).score(features, expression), abs=1e-6)
    search = GridSearchCV(NearestNeighbours(), {"n_neighbors": [1, 10]}, cv=3)
    assert search.fit(features, expression).best_params_ == {"n_neighbors": 10}


def test_a_cohort_is_built_from_slides(slides: Any) -> None:
    genes = ["g3", "g1"]
    cohort = Cohort.from_slides(slides, genes)
    assert cohort.expression.shape == (64 + 36 + 49, 2)
    assert cohort.cell_types.shape == (64 + 36 + 49, 3)
    assert np.bincount(cohort.group_codes).sum() == 149
    np.testing.assert_array_equal(cohort.expression[:64], slides[0].expression(genes))


def test_groups_are_centred_each_by_itself() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3))
    codes = np.random.default_rng(1).integers(4, size=20)
    centred = centred_by_group(values, codes)
    for code in range(4):
        rows = values[codes == code]
        np.testing.assert_allclose(centred[codes == code], rows - rows.mean(axis=0))


def test_the_spread_of_a_constant_gene_is_not_tiny() -> None:
    values = np.random.default_rng(0).normal(size=(20, 10))
    values[:, 0] = 1.0
    assert gene_spread(values)[0] > 0.25


# --- mathematics against brute force ---------------------------------------------------------


def test_kernel_leave_one_out_is_refitting_without_the_spot() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12))
    prior, values = root @ root.T, rng.normal(size=(12, 3))
    for noise, residuals in zip(
        (0.3, 2.0), kernel_residuals(prior, values, (0.3, 2.0)), strict=True
    ):
        for spot in range(12):
            others = np.delete(np.arange(12), spot)
            system = prior[np.ix_(others, others)] + noise * np.eye(11)
            predicted = prior[spot, others] @ np.linalg.solve(system, values[others])
            np.testing.assert_allclose(residuals[spot], values[spot] - predicted, atol=1e-9)


def test_ridge_leave_one_out_is_refitting_without_the_spot() -> None:
    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(15, 4)), rng.normal(size=(15, 3))
    features, values = features - features.mean(axis=0), values - values.mean(axis=0)
    left, size, _ = np.linalg.svd(features, full_matrices=False)
    (residuals,) = ridge_residuals(left, size, values, [1.7])
    for spot in range(15):
        X, Y = np.delete(features, spot, 0), np.delete(values, spot, 0)
        x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
        beta = np.linalg.solve(
            (X - x_mean).T @ (X - x_mean) + 1.7 * np.eye(4), (X - x_mean).T @ (Y - y_mean)
        )
        expected = values[spot] - (y_mean + (features[spot] - x_mean) @ beta)
        np.testing.assert_allclose(residuals[spot], expected, atol=1e-9)


def test_coefficients_of_few_components_are_those_of_a_smaller_pls() -> None:
    features, expression, *_ = tissue(50)
    features = features * np.arange(1, N_FEATURES + 1)
    scale, mean = expression.std(axis=0), expression.mean(axis=0)
    inputs = (features - features.mean(axis=0)) / features.std(axis=0)
    found = list(pls_coefficients(features, expression, scale, 6))
    assert len(found) == 7
    assert not found[0].any()
    for count in range(1, 7):
        twin = PLSRegression(count, scale=False).fit(inputs, (expression - mean) / scale)
        predicted = (features - features.mean(axis=0)) @ found[count]
        np.testing.assert_allclose(predicted, twin.predict(inputs) * scale, atol=1e-9)


def test_pls_takes_the_number_of_components_of_least_held_out_error() -> None:
    features, expression, *_ = tissue(60, noise=1.5)
    scale, folds = np.ones(N_GENES), np.arange(60) % 5
    errors = []
    for count in range(1, 9):
        model = make_pipeline(StandardScaler(), PLSRegression(count, scale=False))
        held_out = cross_val_predict(model, features, expression, cv=PredefinedSplit(folds))
        errors.append(((held_out - expression) ** 2).sum())
    assert len(set(np.round(errors, 6))) == 8
    assert pls(features, expression, scale, folds, 8).n_components == 1 + int(np.argmin(errors))


@pytest.mark.filterwarnings("error")
def test_pls_survives_features_and_genes_without_variation() -> None:
    rng = np.random.default_rng(0)
    one, genes = rng.normal(size=(20, 1)), np.ones((1, 4))
    flat, folds, scale = np.ones((20, 3)), np.arange(20) % 5, np.ones(4)
    assert pls(flat, one @ genes, scale, folds, 5).n_components == 0
    assert pls(one, flat[:, :1] @ genes, scale, folds, 5).n_components == 0
    exact = pls(np.column_stack([one, rng.normal(size=(20, 3))]), one @ genes, scale, folds, 5)
    np.testing.assert_allclose(exact.coefficients[0], 1, atol=1e-6)


def test_the_share_of_a_cohort_is_the_least_squares_slope() -> None:
    rng = np.random.default_rng(0)
    prior = rng.normal(size=(30, 5))
    values = 0.6 * prior + 4 + 0.01 * rng.normal(size=(30, 5))
    assert cohort_share(prior, values, np.ones(5)) == pytest.approx(0.6, abs=0.01)
    assert cohort_share(prior, -values, np.ones(5)) == 0
    assert cohort_share(np.zeros((30, 5)), values, np.ones(5)) == 0


def test_a_projection_puts_random_spots_one_apart() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6)) * [5, 4, 3, 1, 1, 1]
    looks = Projection.fit(features, 6)(features)
    squared = ((looks[:, None] - looks[None]) ** 2).sum(axis=-1)
    assert squared.mean() == pytest.approx(1.0)


def test_a_given_kernel_is_used_as_it_is() -> None:
    features, expression, places, _ = tissue(30)
    kernel = Kernel(length=2.0, feature_weight=0.0, noise=1e-6)
    fitted = GaussianProcess(kernel).fit(features, expression, coordinates=places)
    assert fitted.kernel_ is kernel
    np.testing.assert_allclose(fitted.predict(features, coordinates=places), expression, atol=1e-2)


def test_a_process_fitted_with_coordinates_asks_for_them() -> None:
    features, expression, places, _ = tissue(30)
    fitted = GaussianProcess().fit(features, expression, coordinates=places)
    with pytest.raises(InputError, match="coordinates"):
        fitted.predict(features)


@pytest.mark.parametrize("useless", ["features", "coordinates"])
def test_the_automatic_kernel_finds_where_the_signal_is(useless: str) -> None:
    features, expression, places, _ = tissue(60)
    rng = np.random.default_rng(5)
    if useless == "features":
        features = rng.normal(size=features.shape)
    else:
        places = rng.uniform(0, 12, size=places.shape)
    weight = GaussianProcess().fit(features, expression, coordinates=places).kernel_.feature_weight
    assert weight <= 0.5 if useless == "features" else weight >= 0.75
