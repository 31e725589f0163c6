"""The adapter for Stable-Baselines3 steps as DummyVecEnv of single environments does."""

from typing import Any

import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from sameness import assert_same
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from agents import SpotSamplingVecEnv
from scr2st_env import InputError, SpotSamplingEnv

SLIDES = [toy_slide("one", 5, 1), toy_slide("two", 4, 2)]
REFERENCE = toy_reference()


def _both(**arguments: Any) -> tuple[SpotSamplingVecEnv, DummyVecEnv]:
    arguments = {"slides": SLIDES, "reference": REFERENCE, "info_mask": False} | arguments
    return SpotSamplingVecEnv(3, **arguments), DummyVecEnv(
        [lambda: SpotSamplingEnv(**arguments) for _ in range(3)]
    )


@pytest.mark.parametrize("observation", ["full", "compact", "picks"])
@pytest.mark.parametrize(
    "more",
    [
        {"budget": 4},
        {"budget": 5, "round_size": 3, "feedback": True},
        {"budget": 3, "reward": {"prediction": 1.0}, "info_mask": True},
        {"budget": 3, "slides": [SLIDES[0].live(), SLIDES[1]]},
    ],
)
def test_steps_as_separate_environments_do(observation: str, more: dict[str, Any]) -> None:
    ours, theirs = _both(observation=observation, **more)
    for envs in (ours, theirs):
        envs.seed(5)
    assert_same(ours.reset(), dict(theirs.reset()))
    assert_same(dict(enumerate(ours.reset_infos)), dict(enumerate(theirs.reset_infos)))
    rng = np.random.default_rng(0)
    for _ in range(12):
        masks = np.stack(ours.env_method("action_masks"))
        np.testing.assert_array_equal(masks, np.stack(theirs.env_method("action_masks")))
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        one, other = ours.step(actions), theirs.step(actions)
        assert_same(one[0], dict(other[0]))
        np.testing.assert_array_equal(one[1], other[1])
        assert one[1].dtype == other[1].dtype
        np.testing.assert_array_equal(one[2], other[2])
        assert_same(dict(enumerate(one[3])), dict(enumerate(other[3])))
        assert_same(dict(enumerate(ours.reset_infos)), dict(enumerate(theirs.reset_infos)))
    for _ in range(4):  # a seed is for one reset
        assert_same(ours.reset(), dict(theirs.reset()))


def test_a_masked_algorithm_trains_on_it_and_wastes_nothing() -> None:
    envs, _ = _both(observation="compact", budget=4)
    model = MaskablePPO("MultiInputPolicy", VecMonitor(envs), n_steps=8, batch_size=24, n_epochs=1)
    model.learn(48)
    observation = envs.reset()
    for _ in range(4):
        actions, _ = model.predict(
            observation, action_masks=np.stack(envs.env_method("action_masks"))
        )
        observation, _, dones, infos = envs.step(actions)
        assert not any(info["wasted"] for info in infos)
    assert dones.all()
    assert model.ep_info_buffer is not None
    assert len(model.ep_info_buffer) > 0


def test_stock_ppo_trains_on_it() -> None:
    envs, _ = _both(observation="compact", budget=4)
    assert PPO("MultiInputPolicy", envs, n_steps=8, batch_size=24, n_epochs=1).learn(24)


def test_options_are_for_all() -> None:
    envs, _ = _both(observation="compact", budget=2)
    envs.set_options({"slide": "two"})
    assert envs.reset()["slide"].tolist() == [1, 1, 1]
    envs.set_options([{"slide": "two", "excluded": np.array([0, 1])} for _ in range(3)])
    assert not envs.reset()["available"][:, :2].any()
    envs.set_options([{"slide": "two"}, {}, {}])
    with pytest.raises(InputError, match="one dict for all"):
        envs.reset()


@pytest.mark.parametrize("settled", ["autoreset_mode", "copy"])
def test_what_stable_baselines3_settles_is_not_for_the_caller(settled: str) -> None:
    with pytest.raises(TypeError, match=f"multiple values for keyword argument '{settled}'"):
        _both(budget=2, **{settled: None})


def test_pictures_and_what_is_refused() -> None:
    envs, _ = _both(budget=2, render_mode="rgb_array")
    envs.reset()
    assert [picture.dtype for picture in envs.get_images()] == [np.uint8] * 3
    assert envs.env_is_wrapped(SpotSamplingEnv) == [False] * 3
    with pytest.raises(AttributeError, match="action_masks"):
        envs.env_method("seed")
    with pytest.raises(AttributeError, match="make the environment with it"):
        envs.set_attr("budget", 3)
    envs.close()
