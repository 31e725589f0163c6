"""The planned covering: no single move betters it, and agents that follow it cover more."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import KMeansAgent, SpotAgent, run_episode
from agents.policy.context import PRIORS
from agents.policy.inputs import FeatureProjection, InputSettings, SlideInputs, describe
from agents.policy.plan import CoveringPlans, planned_covering
from agents.start import untrained_agent
from scr2st_env import Slide
from scr2st_env.envs.spot_sampling import SpotSamplingEnv


def scattered(seed: int, n_spots: int = 40) -> tuple[np.ndarray[Any, Any], ...]:
    """Which spots reach each other, the tissue at each, and where they are."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0, 6, (n_spots, 2))
    away = np.linalg.norm(place[:, None] - place[None], axis=-1)
    return (away < 1.2).astype(np.float32), rng.uniform(0.2, 1, n_spots), place


def covered(within: np.ndarray[Any, Any], tissue: np.ndarray[Any, Any], chosen: list[int]) -> float:
    return float(tissue[within[chosen].any(axis=0)].sum() / tissue.sum())


def greedily(
    within: np.ndarray[Any, Any], tissue: np.ndarray[Any, Any], candidates: list[int], n: int
) -> list[int]:
    chosen: list[int] = []
    for _ in range(n):
        left = [spot for spot in candidates if spot not in chosen]
        chosen.append(max(left, key=lambda spot: covered(within, tissue, [*chosen, spot])))
    return chosen


@given(seed=st.integers(0, 10_000), n_spots=st.integers(1, 12), every=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_no_spot_of_a_plan_covers_more_by_moving(seed: int, n_spots: int, every: int) -> None:
    within, tissue, place = scattered(seed)
    candidates = np.arange(0, 40, every)
    plan = planned_covering(within, tissue, place, candidates, n_spots).tolist()
    assert len(set(plan)) == n_spots
    assert set(plan) <= set(candidates.tolist())
    share = covered(within, tissue, plan)
    assert share >= covered(within, tissue, greedily(within, tissue, [*candidates], n_spots)) - 1e-6
    for spot in plan:
        others = [other for other in plan if other != spot]
        for moved in candidates.tolist():
            assert covered(within, tissue, [*others, moved]) <= share + 1e-6


def test_a_plan_buys_all_where_there_is_no_choice() -> None:
    within, tissue, place = scattered(3)
    assert planned_covering(within, tissue, place, np.array([9, 4]), 5).tolist() == [4, 9]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_spots_has_no_say(seed: int) -> None:
    within, tissue, place = scattered(seed)
    order = np.random.default_rng(seed).permutation(40)
    plan = planned_covering(within, tissue, place, np.arange(40), 7)
    again = planned_covering(within[order][:, order], tissue[order], place[order], np.arange(40), 7)
    assert sorted(order[again].tolist()) == plan.tolist()


def inputs_of(slide: Slide, n_measured: int) -> SlideInputs:
    projection = FeatureProjection.fit([slide.public], 4)
    return describe(slide.public, n_measured, InputSettings(), projection)


def test_closeness_is_to_the_planned_spot_of_a_cell_that_a_purchase_shuts() -> None:
    slide = inputs_of(toy_slide("one", 9, 1), 5)
    plans = CoveringPlans()
    mask, available = torch.zeros(1, 81), torch.ones(1, 81)
    before = plans.closeness(slide, mask, available)[0]
    planned = np.flatnonzero(before == 0)
    assert len(planned) == 5
    place = slide.place.numpy()
    away = np.linalg.norm(place[:, None] - place[planned], axis=-1)
    np.testing.assert_allclose(before, -(away.min(axis=1) ** 2) / (81 / 5), rtol=1e-5)
    bought = int(np.flatnonzero(away[:, 2] == 1)[0])
    mask[0, bought], available[0, bought] = 1, 0
    after = plans.closeness(slide, mask, available)[0]
    is_alone = np.sort(away, axis=1)[:, 1] > away.min(axis=1)
    is_shut = is_alone & (away.argmin(axis=1) == 2)
    np.testing.assert_allclose((before - after)[is_shut], 1.0, rtol=1e-5)
    np.testing.assert_array_equal((before - after)[is_alone & ~is_shut], 0.0)


def test_a_plan_is_of_what_was_for_sale_and_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*arguments: Any) -> Any:
        made.append(len(arguments[3]))
        return planned_covering(*arguments)

    monkeypatch.setattr("agents.policy.plan.planned_covering", counted)
    slide, plans = inputs_of(toy_slide("one", 6, 1), 4), CoveringPlans()
    mask, available = torch.zeros(3, 36), torch.ones(3, 36)
    mask[1, 7], available[1, 7] = 1, 0  # bought
    available[2, :12] = 0  # excluded
    found = plans.closeness(slide, mask, available)
    assert made == [36, 24]
    assert (found[2] == 0).nonzero().min() >= 12
    plans.closeness(slide, mask, available)
    assert made == [36, 24]


def follower(slide: Slide) -> SpotAgent:
    agent = untrained_agent([slide.public])
    agent.network.prior.copy_(torch.eye(len(PRIORS))[PRIORS.index("plan")])
    return agent


@pytest.mark.parametrize("budget", [0.05, 0.1, 0.3])
def test_who_follows_the_plan_covers_more_than_greedy_and_k_means(budget: float) -> None:
    """On 18 x 18 spots, a fifth of them not for sale."""
    slide = toy_slide("one", 18, 1).with_features(np.zeros((324, 0)), "")
    env = SpotSamplingEnv(
        [slide],
        toy_reference(),
        budget=budget,
        excluded={"one": range(0, 324, 5)},
        reward={"states": 0, "types": 0, "density": 1},
    )
    plan = follower(slide)
    greedy = follower(slide)
    greedy.network.prior.copy_(torch.eye(len(PRIORS))[PRIORS.index("cover")])
    earned = {
        name: np.mean([run_episode(agent, env, seed=seed).reward for seed in range(3)])
        for name, agent in (("plan", plan), ("greedy", greedy), ("k-means", KMeansAgent()))
    }
    assert earned["plan"] >= earned["greedy"]
    assert earned["plan"] > earned["k-means"] + 0.01
    picks = run_episode(plan, env).picks
    assert len(set(picks)) == round(budget * 324)
    assert not {spot for spot in picks if spot % 5 == 0}
