"""Training: it learns what design cannot know, repeats itself, and never returns less."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from stable_baselines3.common.callbacks import BaseCallback

from agents import (
    DesignAgent,
    RandomAgent,
    RewardOracle,
    SpotAgent,
    SpotSamplingVecEnv,
    evaluate,
    run_episode,
    train_spot_agent,
)
from agents.checkpoints import BestCheckpoint
from agents.isolation import isolated_randomness
from agents.policy.feedback import N_FEEDBACK
from agents.returns import CentredRewards, reward_statistics
from agents.start import untrained_agent
from agents.starting_point import scores_of
from scr2st_env import CellReference, InputError, Slide
from scr2st_env.envs.spot_sampling import SpotSamplingEnv
from scr2st_env.rewards import SpatialDensity

TYPES = {"states": 0.0, "types": 1.0, "density": 0.0}
SHORT: dict[str, Any] = {
    "budget": 0.15,
    "total_steps": 64,
    "n_envs": 2,
    "n_steps": 16,
    "width": 16,
    "progress": False,
}


def weights(agent: SpotAgent) -> list[float]:
    return torch.cat([part.flatten() for part in agent.network.state_dict().values()]).tolist()


def train_briefly(**options: Any) -> SpotAgent:
    slides = [toy_slide("one", 5, 1), toy_slide("two", 6, 2)]
    return train_spot_agent(slides, toy_reference(), **(SHORT | options))


def rare_type_slide(name: str, side: int, seed: int) -> Slide:
    """One spot in eight, scattered, is of the second type, and its first feature shows it."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    rare = rng.permutation(side * side) < side * side // 8
    types = np.where(rare[:, None], [0.02, 0.49, 0.49], [0.98, 0.01, 0.01])
    return Slide.make(
        name,
        100.0 * grid,
        features=np.column_stack([rare, rng.normal(size=(side * side, 2))]),
        counts=rng.poisson(5.0, (side * side, 4)),
        genes=["a", "b", "c", "d"],
        embedding=rng.normal(size=(side * side, 4)),
        types=types,
        type_names=["a", "b", "c"],
        encoder="toy",
    )


def test_it_learns_to_look_for_rare_tissue_and_finds_it_on_larger_slides() -> None:
    """On the unseen slides random scores about .45, the untrained design .58, the oracle 1.00."""
    trained = train_spot_agent(
        [rare_type_slide(f"t{seed}", 8, seed) for seed in range(3)],
        toy_reference(),
        budget=0.1,
        reward=TYPES,
        total_steps=2048,
        n_envs=4,
        progress=False,
        seed=0,
    )
    unseen = SpotSamplingEnv(
        [rare_type_slide(f"u{seed}", 12, 50 + seed) for seed in range(3)],
        toy_reference(),
        budget=0.1,
        reward=TYPES,
        observation="compact",
    )
    others = [RandomAgent(), DesignAgent(), RewardOracle(toy_reference(), TYPES)]
    table = evaluate([*others, trained], unseen, seeds=range(3))
    score = table.groupby("agent").reward.mean()
    assert score["random"] < 0.6
    assert score["design"] < 0.7
    assert score["spot"] > 0.85
    assert score["reward-oracle"] >= score["spot"] - 0.01


def test_training_repeats_itself_under_a_seed_and_only_then() -> None:
    torch.manual_seed(123)
    first = train_briefly(seed=4)
    torch.manual_seed(321)
    again, other = train_briefly(seed=4), train_briefly(seed=5)
    assert weights(first) == weights(again)
    assert weights(first) != weights(other)
    assert first.record == again.record


def test_training_leaves_the_callers_random_numbers_and_threads_alone() -> None:
    def draw() -> tuple[Any, ...]:
        return torch.rand(1).item(), float(np.random.rand()), torch.get_num_threads()  # noqa: NPY002

    with isolated_randomness(7):
        expected = draw()
    with isolated_randomness(7):
        train_briefly(n_threads=1)
        assert draw() == expected


def test_it_never_returns_something_worse_than_its_start() -> None:
    slides = [toy_slide("one", 5, 1), toy_slide("two", 6, 2)]
    spoilt = train_briefly(learning_rate=1.0, total_steps=96)
    env = SpotSamplingEnv(slides, toy_reference(), budget=0.15)
    with isolated_randomness(0):
        start = untrained_agent([slide.public for slide in slides], width=16)
    rewards = [
        np.mean([run_episode(agent, env, slide=slide.name).reward for slide in slides])
        for agent in (start, spoilt)
    ]
    assert rewards[1] >= rewards[0] - 1e-12
    assert spoilt.record is not None
    assert spoilt.record.score_before == pytest.approx(rewards[0])
    assert spoilt.record.score_after == pytest.approx(rewards[1])


def test_the_best_of_several_networks_is_kept() -> None:
    slides = [toy_slide("one", 5, 1)]
    agent = untrained_agent([slides[0].public], width=8)
    best = BestCheckpoint(
        agent, partial(scores_of, env=SpotSamplingEnv(slides, toy_reference())), every=1
    )
    seen = {}
    for seed in range(5):
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in agent.network.parameters():
                parameter.normal_()
        best.score()
        seen[best.scores[-1]] = weights(agent)
    assert len(seen) > 1
    assert best.restore() == max(seen)
    assert weights(agent) == seen[max(seen)]


def test_checkpoints_are_judged_on_the_slides_that_were_named() -> None:
    judged = toy_slide("judged", 4, 9)
    agent = train_briefly(evaluation_slides=[judged])
    assert agent.record is not None
    env = SpotSamplingEnv([judged], toy_reference(), budget=0.15)
    assert agent.record.score_after == pytest.approx(run_episode(agent, env).reward)


def test_excluded_and_initial_spots_may_be_of_either_part() -> None:
    judged = toy_slide("judged", 4, 9)
    excluded, initial = {"one": [0, 1], "judged": range(4)}, {"judged": [5], "two": [6]}
    agent = train_briefly(evaluation_slides=[judged], excluded=excluded, initial=initial)
    env = SpotSamplingEnv(
        [judged],
        toy_reference(),
        budget=0.15,
        excluded={"judged": range(4)},
        initial={"judged": [5]},
    )
    assert agent.record is not None
    assert agent.record.score_after == pytest.approx(run_episode(agent, env).reward)
    for argument in ("excluded", "initial"):
        with pytest.raises(InputError, match=f"{argument} names slide 'three'.*one.*two.*judged"):
            train_briefly(evaluation_slides=[judged], **{argument: {"three": [1]}})


def test_everything_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def from_anndata(source: Any, **_: Any) -> Slide:
        read.append(source.name)
        return toy_slide(source.name, 5, len(read))

    def reference_from_anndata(source: Any, **_: Any) -> CellReference:
        read.append(source.name)
        return toy_reference()

    monkeypatch.setattr(Slide, "from_anndata", from_anndata)
    monkeypatch.setattr(CellReference, "from_anndata", reference_from_anndata)
    one, two, judged, atlas = (SimpleNamespace(name=n) for n in ("one", "two", "judged", "atlas"))
    agent = train_spot_agent([one, two], atlas, evaluation_slides=[judged], **SHORT)
    assert sorted(read) == ["atlas", "judged", "one", "two"]
    assert agent.record is not None
    assert agent.record.slides == ("one", "two")


def test_returns_are_gains_over_the_start() -> None:
    slides = [toy_slide("one", 6, 1), toy_slide("two", 5, 2)]
    env = SpotSamplingEnv(slides, toy_reference(), budget=4)
    agent = untrained_agent([slide.public for slide in slides])
    statistics = reward_statistics(agent, env, seed=0)
    make = partial(SpotSamplingVecEnv, 3, slides=slides, reference=toy_reference(), budget=4)
    plain, wrapped = make(), CentredRewards(make(), statistics)
    plain.seed(0)
    wrapped.seed(0)
    plain.reset()
    wrapped.reset()
    for step in range(10):
        spots = wrapped.env_method("action_masks")
        action = np.array([np.flatnonzero(mask)[0] for mask in spots])
        _, paid, ended, infos = plain.step(action)
        _, centred, again, _ = wrapped.step(action)
        expected = [statistics.expected[info["slide"]][step % 4] for info in infos]
        np.testing.assert_allclose(centred, (paid - expected) / statistics.scale, rtol=1e-5)
        assert ended.tolist() == again.tolist() == [step % 4 == 3] * 3
    episodes = [
        run_episode(agent, env, slide="one", seed=seed, deterministic=False).reward
        for seed in range(4)
    ]
    assert statistics.expected["one"].sum() == pytest.approx(np.mean(episodes))


@pytest.mark.parametrize("round_size", [1, 3])
def test_rounds_image_free_slides_and_protocol_arguments_train(round_size: int) -> None:
    slides = [toy_slide("one", 5, 1).with_features(np.zeros((25, 0)), "")]
    agent = train_spot_agent(
        slides,
        toy_reference(),
        round_size=round_size,
        excluded={"one": range(0, 25, 4)},
        initial={"one": [1]},
        **SHORT,
    )
    assert agent.projection.n_components == 0
    assert agent.record is not None
    assert agent.record.round_size == round_size


def test_the_prediction_objective_needs_no_reference() -> None:
    objective = {"states": 0, "types": 0, "density": 0, "prediction": 1}
    agent = train_spot_agent([toy_slide("one", 5, 1)], reward=objective, **SHORT)
    assert agent.record is not None
    assert agent.record.reward["prediction"] == 1


def test_the_record_tells_of_added_terms() -> None:
    class Again(SpatialDensity):
        name = "again"

    class Idle(SpatialDensity):
        name = "idle"

    agent = train_briefly(reward=TYPES, terms=[Again(2.0), Idle(0.0)])
    assert agent.record is not None
    assert {name: weight for name, weight in agent.record.reward.items() if weight} == {
        "types": 1.0,
        "again": 2.0,
    }


def test_a_trained_agent_survives_the_disk_with_its_record(tmp_path: Path) -> None:
    agent = train_briefly()
    agent.save(tmp_path / "a.safetensors")
    loaded = SpotAgent.load(tmp_path / "a.safetensors")
    assert loaded.record == agent.record
    assert weights(loaded) == weights(agent)


def test_a_further_callback_is_called() -> None:
    class Counter(BaseCallback):
        def _on_step(self) -> bool:
            return True

    counter = Counter()
    train_briefly(callback=counter)
    assert counter.num_timesteps >= 64


def test_training_needs_steps_and_measured_slides() -> None:
    with pytest.raises(InputError, match="total_steps=0"):
        train_briefly(total_steps=0)
    with pytest.raises(InputError, match="'one' is live: train on"):
        train_spot_agent([toy_slide("one").live()], toy_reference(), **SHORT)
    with pytest.raises(InputError, match="'judged' is live: train on"):
        train_briefly(evaluation_slides=[toy_slide("judged").live()])


def test_the_released_formula_is_not_trained_for() -> None:
    with pytest.raises(InputError, match="'released' is for comparison only"):
        train_briefly(reward="released")
    with pytest.raises(InputError, match="'relaesed'"):
        train_briefly(reward="relaesed")


def test_an_agent_with_feedback_is_trained_for_either_objective() -> None:
    prediction = {"states": 0, "types": 0, "density": 0, "prediction": 1}
    for reward in (None, prediction):
        agent = train_briefly(feedback=True, reward=reward)
        assert agent.settings.feedback
        assert agent.atlas is not None
        feedback = len(weights(agent)) - len(weights(train_briefly(total_steps=1)))
        assert feedback == N_FEEDBACK * (16 + 1)
    with pytest.raises(InputError, match="pass reference="):
        train_spot_agent([toy_slide("one", 5, 1)], feedback=True, reward=prediction, **SHORT)
