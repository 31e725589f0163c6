"""Training at several budgets: episodes have them, and sub-environments play as if alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sameness import assert_same
from stable_baselines3.common.callbacks import BaseCallback

from agents import SpotAgent, SpotSamplingVecEnv, run_episode, train_spot_agent
from agents.policy.context import PRIORS
from agents.saved import KEY
from agents.several_budgets import SideBySideVecEnv, budgets_of
from scr2st_env import InputError
from scr2st_env.envs.spot_sampling import SpotSamplingEnv

SLIDES = [toy_slide("one", 5, 1), toy_slide("two", 6, 2)]
BUDGETS = (0.1, 0.3, 5)
COUNTS = {"one": (2, 8, 5), "two": (4, 11, 5)}  # of 25 and 36 spots


def vec_env(n_envs: int, budget: float, **options: Any) -> SpotSamplingVecEnv:
    return SpotSamplingVecEnv(
        n_envs,
        slides=SLIDES,
        reference=toy_reference(),
        budget=budget,
        observation="compact",
        **options,
    )


def train(budget: Any = BUDGETS, **options: Any) -> SpotAgent:
    settings: dict[str, Any] = {"total_steps": 96, "n_envs": 4, "n_steps": 8, "width": 16}
    settings |= {"progress": False, "seed": 3, "n_threads": 1}
    return train_spot_agent(SLIDES, toy_reference(), budget=budget, **(settings | options))


def weights(agent: SpotAgent) -> list[float]:
    return torch.cat([part.flatten() for part in agent.network.state_dict().values()]).tolist()


def renamed(observation: dict[str, Any], number: int, n_picks: int) -> dict[str, Any]:
    """What a sub-environment of a part shows, padded by hand."""
    seen = observation | {"slide": observation["slide"] + 2 * number}
    if "picks" in seen:
        missing = n_picks - len(seen["picks"])
        seen["picks"] = np.concatenate([seen["picks"], np.full(missing, -1, np.int32)])
        blank = np.zeros((missing, seen["measured"].shape[1]), np.float32)
        seen["measured"] = np.concatenate([seen["measured"], blank])
    return seen


@pytest.mark.parametrize("more", [{}, {"feedback": True, "round_size": 2}])
def test_side_by_side_each_part_steps_as_it_does_alone(more: dict[str, Any]) -> None:
    shares = (2, 1, 1)
    parts = [vec_env(n, budget, **more) for n, budget in zip(shares, BUDGETS, strict=True)]
    whole = SideBySideVecEnv(parts)
    alone = [vec_env(n, budget, **more) for n, budget in zip(shares, BUDGETS, strict=True)]
    assert whole.num_envs == 4
    assert whole.seed(7) == [7, 8, 9, 10]
    for part, start in zip(alone, (7, 9, 10), strict=True):
        part.seed(start)

    def split(observations: dict[str, Any]) -> list[dict[str, Any]]:
        return [{key: seen[row] for key, seen in observations.items()} for row in range(4)]

    def expected(observations: list[Any]) -> list[dict[str, Any]]:
        return [
            renamed({key: seen[row] for key, seen in of_part.items()}, number, 11)
            for number, of_part in enumerate(observations)
            for row in range(shares[number])
        ]

    seen: Any = whole.reset()
    for one, other in zip(split(seen), expected([part.reset() for part in alone]), strict=True):
        assert_same(one, other)
    rng = np.random.default_rng(0)
    for _ in range(25):
        masks = np.stack(whole.env_method("action_masks"))
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        seen, rewards, ended, infos = whole.step(actions)
        steps = [part.step(own) for part, own in zip(alone, np.split(actions, [2, 3]), strict=True)]
        for one, other in zip(split(seen), expected([step[0] for step in steps]), strict=True):
            assert_same(one, other)
        np.testing.assert_array_equal(rewards, np.concatenate([step[1] for step in steps]))
        np.testing.assert_array_equal(ended, np.concatenate([step[2] for step in steps]))
        numbers = np.repeat(range(3), shares)
        theirs = [info for step in steps for info in step[3]]
        for info, other, number in zip(infos, theirs, numbers, strict=True):
            if "terminal_observation" in other:
                other["terminal_observation"] = renamed(other["terminal_observation"], number, 11)
            assert_same(info, other)
        for row in range(4):
            own = {key: values[row] for key, values in seen.items()}
            assert whole.observation_space.contains(own | {"slide": int(own["slide"])})


class Spent(BaseCallback):
    """Keeps the number of the budget, the slide, and what was bought in every episode."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, str, int]] = set()

    def _on_step(self) -> bool:
        for row in np.flatnonzero(self.locals["dones"]):
            info = self.locals["infos"][row]
            last = info["terminal_observation"]
            number = int(last["slide"]) // len(SLIDES)
            self.seen.add((number, info["slide"], int(last["mask"].sum())))
        return True


def test_episodes_of_training_have_each_of_the_budgets() -> None:
    spent = Spent()
    train(total_steps=480, callback=spent, n_steps=60)
    assert spent.seen == {
        (number, name, counts[number]) for name, counts in COUNTS.items() for number in range(3)
    }


def test_there_is_an_environment_for_each_budget_at_least() -> None:
    spent = Spent()
    train(total_steps=180, callback=spent, n_envs=1, n_steps=60)
    assert {number for number, *_ in spent.seen} == {0, 1, 2}


def test_scores_are_means_over_the_budgets() -> None:
    judged = toy_slide("judged", 6, 9)
    record = (agent := train(evaluation_slides=[judged])).record
    assert record is not None
    rewards = [
        run_episode(agent, SpotSamplingEnv([judged], toy_reference(), budget=budget)).reward
        for budget in BUDGETS
    ]
    assert record.score_after == pytest.approx(np.mean(rewards))


@pytest.mark.parametrize("feedback", [False, True])
def test_the_record_holds_the_budgets_and_survives_the_disk(tmp_path: Path, feedback: bool) -> None:
    agent = train(feedback=feedback)
    assert agent.record is not None
    assert agent.record.budget == BUDGETS
    agent.save(tmp_path / "a.safetensors")
    loaded = SpotAgent.load(tmp_path / "a.safetensors")
    assert loaded.record == agent.record
    assert [type(budget) for budget in budgets_of(loaded.record.budget)] == [float, float, int]
    assert weights(loaded) == weights(agent)


def test_one_budget_in_a_list_is_that_budget() -> None:
    one, listed = train(0.1), train([0.1])
    assert weights(one) == weights(listed)
    assert one.record == listed.record
    assert one.record is not None
    assert one.record.budget == 0.1


def test_prediction_is_judged_at_every_budget() -> None:
    prediction = {"states": 0, "types": 0, "density": 0, "prediction": 1}
    agents = [train(budget, reward=prediction, total_steps=8) for budget in (0.1, 0.3, (0.1, 0.3))]
    before = [agent.record.score_before for agent in agents if agent.record]
    assert before[2] == pytest.approx((before[0] + before[1]) / 2)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ((), "names none"),
        ([0.1, 0.1], "names one twice"),
        (["0.1"], "must be a count or a fraction, or several, got '0.1'"),
        (True, "got True"),
        ([0.1, 0.0], r"budget must be a count >= 1 or a fraction in \(0, 1\], got 0.0"),
    ],
)
def test_what_is_no_budget_is_refused(budget: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(budget)


def test_counts_and_fractions_are_told_apart() -> None:
    assert budgets_of([1, 1.0]) == (1, 1.0)
    assert [type(budget) for budget in budgets_of([int(np.int64(3)), 1.0])] == [int, float]


def test_an_agent_saved_before_there_were_plans_decides_as_it_did(tmp_path: Path) -> None:
    path = tmp_path / "agent.safetensors"
    agent = train(0.2)
    agent.network.prior.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]))
    agent.save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[KEY])
    tensors = load_file(path)
    tensors["prior"] = tensors["prior"][:4].clone()
    save_file(tensors, path, metadata={KEY: json.dumps(header)})
    loaded = SpotAgent.load(path)
    assert loaded.network.prior.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert len(PRIORS) == 5
    env = SpotSamplingEnv(SLIDES, toy_reference(), budget=0.2)
    for slide in ("one", "two"):
        picks = [run_episode(player, env, slide=slide).picks for player in (agent, loaded)]
        assert picks[0] == picks[1]
