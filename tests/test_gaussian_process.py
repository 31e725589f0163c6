"""The shared Gaussian process against dense formulas, brute force and scikit-learn."""

import numpy as np
import pytest
from conftest import toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from scr2st_env import InputError, Kernel
from scr2st_env.gaussian_process import Posterior, low_rank, posterior_mean, principal_components

LENGTH, NOISE = 2.0, 0.7
KERNEL = Kernel(length=LENGTH, noise=NOISE)


def places(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0, 8, (n, 2))


def conditioned(covariance: NDArray, picks: list[int], noise: float) -> NDArray:
    """Rasmussen & Williams, equation 2.26: one dense solve."""
    if not picks:
        return covariance
    system = covariance[np.ix_(picks, picks)] + noise * np.eye(len(picks))
    return covariance - covariance[:, picks] @ np.linalg.solve(system, covariance[picks])


picked = st.lists(st.integers(0, 19), min_size=0, max_size=25)  # repeats: a spot measured twice


@settings(deadline=None)
@given(picks=picked, noise=st.floats(0.05, 5), seed=st.integers(0, 100))
def test_spot_by_spot_equals_one_dense_solve(picks: list[int], noise: float, seed: int) -> None:
    covariance = KERNEL.between(places(20, seed), places(20, seed))
    values = np.random.default_rng(seed).normal(size=(len(picks), 3))
    posterior = Posterior(covariance, noise, mean=np.zeros((20, 3)))
    for pick, value in zip(picks, values, strict=True):
        posterior.observe(pick, value)
    expected = conditioned(covariance, picks, noise)
    np.testing.assert_allclose(posterior.covariance, expected, atol=1e-9)
    np.testing.assert_allclose(posterior.variance, expected.diagonal(), atol=1e-9)
    if picks:
        mean = posterior_mean(covariance[np.ix_(picks, picks)], covariance[:, picks], values, noise)
        np.testing.assert_allclose(posterior.mean, mean, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(picks=picked, seed=st.integers(0, 100))
def test_the_order_of_the_spots_does_not_matter(picks: list[int], seed: int) -> None:
    covariance = KERNEL.between(places(20), places(20))
    one, other = Posterior(covariance, NOISE), Posterior(covariance, NOISE)
    for pick in picks:
        one.observe(pick)
    for pick in np.random.default_rng(seed).permutation(np.array(picks, int)):
        other.observe(int(pick))
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(picks=picked)
def test_variance_only_falls_and_stays_positive(picks: list[int]) -> None:
    posterior = Posterior(KERNEL.between(places(20), places(20)), NOISE)
    for pick in picks:
        before = posterior.variance.copy()
        posterior.observe(pick)
        assert (posterior.variance <= before + 1e-12).all()
        assert (posterior.variance > -1e-12).all()


@settings(max_examples=30, deadline=None)
@given(picks=picked, noise=st.floats(0.05, 5))
def test_the_design_gain_is_the_fall_of_the_mean_variance(picks: list[int], noise: float) -> None:
    covariance = KERNEL.between(places(20), places(20))
    posterior = Posterior(covariance, noise)
    for pick in picks:
        posterior.observe(pick)
    gain = posterior.design_gain()
    before = conditioned(covariance, picks, noise).trace()
    for candidate in range(20):
        after = conditioned(covariance, [*picks, candidate], noise).trace()
        assert gain[candidate] == pytest.approx((before - after) / 20, abs=1e-10)


def test_a_lone_group_is_designed_into_its_middle() -> None:
    line = np.stack([np.arange(9.0), np.zeros(9)], axis=1)
    gain = Posterior(KERNEL.between(line, line), NOISE).design_gain()
    assert gain.argmax() == 4
    np.testing.assert_allclose(gain, gain[::-1])


def test_the_mean_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    train, test, values = places(30, 1), places(12, 2), rng.normal(size=(30, 4))
    theirs = GaussianProcessRegressor(RBF(LENGTH), alpha=NOISE, optimizer=None).fit(train, values)
    ours = posterior_mean(
        KERNEL.between(train, train), KERNEL.between(test, train), values, KERNEL.noise
    )
    np.testing.assert_allclose(ours, theirs.predict(test), atol=1e-10)


def test_the_posterior_covariance_is_scikit_learn_s() -> None:
    place, picks = places(20), [3, 8, 14]
    theirs = GaussianProcessRegressor(RBF(LENGTH), alpha=NOISE, optimizer=None)
    theirs.fit(place[picks], np.zeros(3))
    posterior = Posterior(KERNEL.between(place, place), NOISE)
    for pick in picks:
        posterior.observe(pick)
    _, expected = theirs.predict(place, return_cov=True)
    np.testing.assert_allclose(posterior.covariance, expected, atol=1e-9)


def test_every_spot_may_have_its_own_noise() -> None:
    train, test = places(10, 1), places(5, 2)
    values = np.random.default_rng(0).normal(size=(10, 2))
    noise = np.full(10, NOISE)
    noise[4] = 1e9  # as good as not measured
    kept = np.delete(np.arange(10), 4)
    without = posterior_mean(
        KERNEL.between(train[kept], train[kept]),
        KERNEL.between(test, train[kept]),
        values[kept],
        NOISE,
    )
    with_it = posterior_mean(
        KERNEL.between(train, train), KERNEL.between(test, train), values, noise
    )
    np.testing.assert_allclose(with_it, without, atol=1e-7)


def test_inputs_are_not_changed() -> None:
    covariance = KERNEL.between(places(10), places(10))
    mean, values = np.zeros((10, 2)), np.ones((4, 2))
    kept = covariance.copy()
    posterior = Posterior(covariance, NOISE, mean)
    twin = posterior.copy()
    posterior.observe(3, [1.0, 2.0])
    posterior_mean(covariance[:4, :4], covariance[:, :4], values, NOISE)
    np.testing.assert_array_equal(covariance, kept)
    np.testing.assert_array_equal(twin.covariance, kept)
    assert not mean.any()
    assert not twin.mean.any()


@given(rank=st.integers(1, 25), seed=st.integers(0, 50))
def test_the_low_rank_form_is_the_best_of_its_rank(rank: int, seed: int) -> None:
    covariance = KERNEL.between(places(20, seed), places(20, seed))
    factor = low_rank(covariance, rank)
    assert factor.shape == (20, min(rank, 20))
    left, values, right = np.linalg.svd(covariance)
    kept = values * (np.arange(20) < rank)
    np.testing.assert_allclose(factor @ factor.T, (left * kept) @ right, atol=1e-7)


def test_the_kernel_is_its_formula() -> None:
    slide = toy_slide(side=5, pitch=100.0)
    kernel = Kernel(length=1.5, feature_weight=0.3, feature_length=0.8, n_components=4)
    grid = slide.public.coordinates / 100.0
    look = principal_components(slide.public.standardised_features, 4)
    matrix = kernel.for_slide(slide.public)
    for i, j in ((0, 0), (0, 1), (3, 17), (24, 2)):
        near = np.exp(-((grid[i] - grid[j]) ** 2).sum() / (2 * 1.5**2))
        alike = np.exp(-((look[i] - look[j]) ** 2).sum() / (2 * 0.8**2))
        assert matrix[i, j] == pytest.approx(0.7 * near + 0.3 * alike, abs=1e-6)


def test_the_kernel_does_not_depend_on_the_unit_of_the_coordinates() -> None:
    kernel = Kernel(feature_weight=0.5)
    first = kernel.for_slide(toy_slide(pitch=100.0).public)
    np.testing.assert_allclose(kernel.for_slide(toy_slide(pitch=0.2).public), first, atol=1e-5)


def test_a_slide_without_an_image_is_compared_by_place_alone() -> None:
    public = toy_slide(n_features=0).public
    np.testing.assert_array_equal(
        Kernel(feature_weight=0.5).for_slide(public), Kernel(feature_weight=0).for_slide(public)
    )


@settings(max_examples=30)
@given(weight=st.floats(0, 1), length=st.floats(0.2, 10), seed=st.integers(0, 20))
def test_a_kernel_is_symmetric_positive_and_has_unit_variance(
    weight: float, length: float, seed: int
) -> None:
    matrix = Kernel(length=length, feature_weight=weight).for_slide(toy_slide(seed=seed).public)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(matrix.diagonal(), 1)
    assert np.linalg.eigvalsh(matrix).min() > -1e-8


@given(seed=st.integers(0, 50), n_components=st.integers(1, 9))
def test_principal_components_have_a_typical_distance_of_one(seed: int, n_components: int) -> None:
    features = np.random.default_rng(seed).normal(size=(12, 6)) * 7 + 3
    scores = principal_components(features, n_components)
    assert scores.shape == (12, min(n_components, 6))
    squares = ((scores[:, None] - scores) ** 2).sum(axis=2)
    assert np.sqrt(squares.mean()) == pytest.approx(1)
    if n_components >= 6:  # nothing left out: distances are those of the features
        original = ((features[:, None] - features) ** 2).sum(axis=2)
        np.testing.assert_allclose(squares, original / original.mean(), atol=1e-9)


def test_identical_features_have_no_components_to_scale() -> None:
    assert not principal_components(np.full((5, 3), 2.0), 2).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 0.0}, "must be positive"),
        ({"noise": -1.0}, "must be positive"),
        ({"feature_length": float("nan")}, "must be positive"),
        ({"feature_weight": 1.5}, r"feature_weight must be in \[0, 1\]"),
        ({"feature_weight": float("nan")}, r"feature_weight must be in \[0, 1\]"),
        ({"n_components": 0}, "n_components must be at least 1"),
    ],
)
def test_a_kernel_out_of_range_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Kernel(**changes)
