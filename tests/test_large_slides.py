"""Slides whose N x N covariance nobody can afford: the low-rank form against the dense one."""

from typing import Any

import numpy as np
import pytest
from conftest import toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents import DesignAgent, MutualInformationAgent, PosteriorSamplingAgent, run_episode
from agents.baselines.design import DesignGain
from agents.baselines.low_rank import LowRankDesignGain, LowRankInformation, gram
from agents.baselines.mutual_information import Information
from benchmarks.agent_speed import big_slide
from benchmarks.large_slides import loss_of_rank, measured_round
from scr2st_env import InputError, Kernel, Slide
from scr2st_env.envs.spot_sampling import SpotSamplingEnv
from scr2st_env.inducing_points import inducing_factor

KERNELS = [Kernel(length=1.5), Kernel(length=2, feature_weight=0.5, noise=0.3)]
LOW_RANK = [DesignAgent, MutualInformationAgent]


def shaken(side: int, seed: int) -> Slide:
    """A slide without ties."""
    slide, rng = toy_slide("one", side, seed), np.random.default_rng(seed)
    place = slide.public.coordinates + rng.uniform(-30, 30, (side * side, 2))
    return Slide.make("one", place, features=slide.public.features, pitch=100.0)


def make_env(slide: Slide, **options: Any) -> SpotSamplingEnv:
    reward = {"states": 0.0, "types": 0.0, "density": 1.0}
    defaults = {"budget": 8, "reward": reward, "observation": "compact"}
    return SpotSamplingEnv([slide], **(defaults | options))


def conditioned(prior: NDArray, picks: list[int], noise: float) -> NDArray:
    system = prior[np.ix_(picks, picks)] + noise * np.eye(len(picks))
    return prior - prior[:, picks] @ np.linalg.solve(system, prior[picks])


@pytest.mark.parametrize("kernel", KERNELS)
@given(seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_with_all_spots_inducing_the_factor_is_that_of_the_covariance(
    kernel: Kernel, seed: int
) -> None:
    public = toy_slide("one", 6, seed).public
    factor = inducing_factor(kernel, public, 99, np.float64)
    assert factor.shape == (36, 36)
    np.testing.assert_allclose(factor @ factor.T, kernel.for_slide(public), atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rank", [1, 5, 20])
def test_a_low_rank_prior_leaves_out_and_never_adds(kernel: Kernel, rank: int) -> None:
    public = shaken(7, 3).public
    prior, factor = kernel.for_slide(public), inducing_factor(kernel, public, rank, np.float64)
    left_out = prior - factor @ factor.T
    assert np.linalg.eigvalsh(left_out).min() > -1e-6
    exact = np.flatnonzero(np.diagonal(left_out) < 1e-6)
    assert len(exact) >= rank  # at the inducing spots nothing is left out
    np.testing.assert_allclose(left_out[exact], 0, atol=1e-3)
    if rank > 1:
        fewer = inducing_factor(kernel, public, rank - 1, np.float64)
        assert (factor**2).sum() > (fewer**2).sum()


def test_spots_that_the_kernel_cannot_tell_apart_are_no_obstacle() -> None:
    slide = Slide.make("s", np.arange(20.0).reshape(10, 2), features=np.ones((10, 2)))
    factor = inducing_factor(Kernel(feature_weight=1.0), slide.public, 10)
    np.testing.assert_allclose(factor @ factor.T, 1, atol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
@given(seed=st.integers(0, 1000), rank=st.integers(1, 49))
@settings(max_examples=10, deadline=None)
def test_the_low_rank_gain_is_the_dense_one_of_its_own_prior(
    kernel: Kernel, seed: int, rank: int
) -> None:
    factor = inducing_factor(kernel, toy_slide("one", 7, seed).public, rank, np.float64)
    kept = LowRankDesignGain(factor, kernel.noise)
    dense = DesignGain(factor @ factor.T, kernel.noise)
    picks = np.random.default_rng(seed).permutation(49)[:30].tolist()
    for spot in picks:
        kept.observe(spot)
        dense.observe(spot)
    np.testing.assert_allclose(kept.gain, dense.gain, rtol=1e-6, atol=1e-12)
    left = conditioned(factor @ factor.T, picks, kernel.noise)
    np.testing.assert_allclose(kept.variance, left.diagonal(), atol=1e-9)
    np.testing.assert_allclose(kept.squares, (left**2).sum(axis=1), atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@given(seed=st.integers(0, 1000), rank=st.integers(1, 49))
@settings(max_examples=10, deadline=None)
def test_the_low_rank_ratios_are_the_dense_ones_of_their_own_prior(
    kernel: Kernel, seed: int, rank: int
) -> None:
    factor = inducing_factor(kernel, toy_slide("one", 7, seed).public, rank, np.float64)
    kept = LowRankInformation(factor, kernel.noise)
    dense = Information(factor @ factor.T, kernel.noise)
    picks = np.random.default_rng(seed).permutation(49)
    for spot in picks[:30].tolist():
        kept.observe(spot)
        dense.observe(spot)
    np.testing.assert_allclose(kept.ratio[picks[30:]], dense.ratio[picks[30:]], rtol=1e-6)


@pytest.mark.parametrize("agent", LOW_RANK)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(3))
def test_at_full_rank_the_purchases_are_those_of_the_dense_form(
    agent: Any, kernel: Kernel, seed: int
) -> None:
    env = make_env(shaken(9, seed), budget=20, excluded={"one": range(0, 81, 5)})
    dense = run_episode(agent(kernel), env).picks
    assert run_episode(agent(kernel, rank=81, dense_up_to=0), env).picks == dense


def test_in_single_precision_little_is_lost() -> None:
    public = shaken(12, 1).public
    double = inducing_factor(Kernel(), public, 60, np.float64)
    single = inducing_factor(Kernel(), public, 60)
    assert single.dtype == np.float32
    kept, exact = (LowRankDesignGain(factor, 1.5) for factor in (single, double))
    for spot in range(0, 144, 3):
        kept.observe(spot)
        exact.observe(spot)
    np.testing.assert_allclose(kept.gain, exact.gain, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(gram(single), double.T @ double, atol=1e-4)


def test_half_as_many_purchases_as_the_rank_reach_what_the_dense_design_does() -> None:
    public = toy_slide("one", 16, 1).public
    for kernel in KERNELS:
        loss = loss_of_rank(kernel, public, 32)
        assert loss.purchases == [3, 8, 16, 32]
        assert 0.95 < loss.low_rank[2] < 1.02
        assert loss.low_rank[2] > loss.low_rank[3] > loss.chance[3] - 0.2
        assert max(loss.chance) < 0.97


@pytest.mark.parametrize("agent", LOW_RANK)
def test_a_budget_that_the_rank_cannot_serve_is_refused_in_one_line(agent: Any) -> None:
    with pytest.raises(InputError, match=r"rank >= 16 .* got 10; .*'farthest'") as told:
        run_episode(agent(rank=10, dense_up_to=63), make_env(toy_slide("one", 8)))
    assert "\n" not in str(told.value)
    run_episode(agent(rank=10, dense_up_to=64), make_env(toy_slide("one", 8)))
    with pytest.raises(InputError, match="rank must be at least 1"):
        agent(rank=0)


def test_posterior_sampling_needs_no_covariance_of_all_spots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the dense covariance was asked for")

    monkeypatch.setattr(Kernel, "for_slide", refuse)
    env = make_env(toy_slide("one", 8), budget=12, feedback=True)
    agent = PosteriorSamplingAgent(rank=10, dense_up_to=63)
    assert len(set(run_episode(agent, env).picks)) == 12
    for low_rank in LOW_RANK:
        run_episode(low_rank(rank=24, dense_up_to=63), env)
    with pytest.raises(AssertionError):
        run_episode(PosteriorSamplingAgent(dense_up_to=64), env)


@pytest.mark.parametrize("name", ["design", "posterior-sampling"])
def test_a_round_is_measured_in_a_process_of_its_own(name: str) -> None:
    took = measured_round(name, big_slide, 300)
    assert 0 < took.picks < 20
    assert 0.05 < took.gigabytes < 2
