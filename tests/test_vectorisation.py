"""Many environments at once: every way of vectorising plays what single environments play."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from episodes import MODES
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from scr2st_env import SpotSamplingEnv, SpotSamplingVectorEnv

VECTORISATIONS = ["sync", "async", "vector_entry_point"]
SLIDES = [toy_slide("one", 6, 1), toy_slide("two", 4, 2)]
REFERENCE = toy_reference()


@pytest.fixture(autouse=True)
def every_warning_is_a_failure() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*use of fork.*", category=DeprecationWarning)
        yield


def make_vec(
    vectorisation: str, autoreset: AutoresetMode = AutoresetMode.NEXT_STEP, **options: Any
) -> gym.vector.VectorEnv[Any, Any, Any]:
    batched = vectorisation == "vector_entry_point"
    how: dict[str, Any] = (
        {"autoreset_mode": autoreset}
        if batched
        else {"vector_kwargs": {"autoreset_mode": autoreset}}
    )
    return gym.make_vec(
        "SpotSampling-v0",
        vectorization_mode=vectorisation,
        slides=SLIDES,
        reference=REFERENCE,
        **{"num_envs": 3, "budget": 5} | how | options,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("vectorisation", VECTORISATIONS)
def test_a_vector_plays_what_single_environments_play(vectorisation: str, mode: str) -> None:
    options: dict[str, Any] = {"observation": mode, "feedback": True, "round_size": 2, "budget": 5}
    singles = [SpotSamplingEnv(SLIDES, REFERENCE, **options) for _ in range(3)]
    envs = make_vec(vectorisation, **options)
    started, _ = envs.reset(seed=10)
    for number, env in enumerate(singles):
        assert_row(started, number, env.reset(seed=10 + number)[0])
    for action in (3, 9, 9, 12, 15):
        observation, rewards, ends, truncated, infos = envs.step(np.full(3, action))
        assert not truncated.any()
        for number, env in enumerate(singles):
            seen, reward, is_over, _, info = env.step(action)
            assert reward == pytest.approx(rewards[number], abs=1e-9)
            assert is_over == ends[number]
            assert info["wasted"] == infos["wasted"][number]
            assert_row(observation, number, seen)
    assert ends.all()
    envs.close()


def assert_row(batch: dict[str, Any], number: int, observation: dict[str, Any]) -> None:
    assert set(batch) == set(observation)
    for key, value in observation.items():
        np.testing.assert_array_equal(batch[key][number], value)
        assert batch[key].dtype == np.asarray(value).dtype


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_start_in_every_way(context: str) -> None:
    envs = make_vec("async", vector_kwargs={"context": context}, num_envs=2)
    singly = make_vec("sync", num_envs=2)
    for one, other in zip(
        envs.reset(seed=3)[0].items(), singly.reset(seed=3)[0].items(), strict=True
    ):
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])
    actions = np.array([7, 9])
    np.testing.assert_array_equal(envs.step(actions)[1], singly.step(actions)[1])
    envs.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("autoreset", list(AutoresetMode))
@pytest.mark.parametrize("vectorisation", VECTORISATIONS)
def test_constructor_limits_survive_automatic_resets(
    vectorisation: str, autoreset: AutoresetMode, mode: str
) -> None:
    """Spots 0 and 1 are excluded and spot 2 is measured from the start, in every episode."""
    envs = make_vec(
        vectorisation,
        autoreset,
        observation=mode,
        excluded={slide.name: [0, 1] for slide in SLIDES},
        initial={slide.name: [2] for slide in SLIDES},
    )
    rng = np.random.default_rng(0)
    observation, info = envs.reset(seed=1)
    can_buy = info["action_mask"].copy()
    n_episodes, is_over = np.zeros(3, int), np.zeros(3, bool)
    while n_episodes.min() < 4:
        assert not can_buy[:, :3].any()
        if mode == "picks":
            assert (observation["picks"][:, 0] == 2).all()
            assert not np.isin(observation["picks"], [0, 1]).any()
        else:
            assert not observation["available"][:, :3].any()
            assert (observation["mask"][:, :3] == [0, 0, 1]).all()
            np.testing.assert_array_equal(observation["available"], can_buy)
        actions = np.array([rng.choice(np.flatnonzero(row)) for row in can_buy])
        observation, _, is_over, _, info = envs.step(actions)
        n_episodes += is_over
        can_buy = info["action_mask"].copy()
        if autoreset == AutoresetMode.DISABLED and is_over.any():
            observation, info = envs.reset(options={"reset_mask": is_over})
            can_buy[is_over] = info["action_mask"][is_over]
    envs.close()


@pytest.mark.parametrize("vectorisation", VECTORISATIONS)
def test_the_last_observation_of_an_episode_is_handed_over(vectorisation: str) -> None:
    envs = make_vec(vectorisation, AutoresetMode.SAME_STEP, observation="compact", num_envs=2)
    envs.reset(seed=0)
    for spot in range(5):
        observation, _, ends, _, infos = envs.step(np.array([spot, 10 + spot]))
    assert ends.all()
    assert (observation["remaining"] == 1).all()
    for number, bought in enumerate((range(5), range(10, 15))):
        last = infos["final_obs"][number]
        assert last["remaining"] == 0
        assert np.flatnonzero(last["mask"]).tolist() == list(bought)
    envs.close()


@pytest.mark.parametrize("autoreset", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("vectorisation", VECTORISATIONS)
def test_the_returns_and_lengths_of_episodes_are_recorded(
    vectorisation: str, autoreset: AutoresetMode
) -> None:
    envs = wrappers.RecordEpisodeStatistics(make_vec(vectorisation, autoreset))
    envs.reset(seed=0)
    paid = np.zeros(3)
    for spot in range(5):
        _, rewards, ends, _, infos = envs.step(np.full(3, spot))
        paid += rewards
    assert ends.all()
    np.testing.assert_allclose(infos["episode"]["r"], paid)
    assert infos["episode"]["l"].tolist() == [5, 5, 5]
    envs.close()


@pytest.mark.parametrize("vectorisation", VECTORISATIONS)
def test_vector_wrappers_find_what_they_need(vectorisation: str) -> None:
    plain = make_vec(vectorisation, observation="compact")
    envs = wrappers.FlattenObservation(
        wrappers.TransformReward(
            make_vec(vectorisation, observation="compact"), lambda rewards: 2 * rewards
        )
    )
    flat, _ = envs.reset(seed=0)
    plain.reset(seed=0)
    assert envs.observation_space.contains(flat)
    np.testing.assert_allclose(
        envs.step(np.full(3, 4))[1], 2 * plain.step(np.full(3, 4))[1], rtol=1e-12
    )
    envs.close()
    plain.close()


def test_without_a_mode_the_environment_is_batched() -> None:
    assert isinstance(gym.make_vec("SpotSampling-v0"), SpotSamplingVectorEnv)


@pytest.mark.parametrize(
    "how",
    [
        {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": "SameStep"}},
        {"vectorization_mode": "vector_entry_point", "autoreset_mode": "SameStep"},
    ],
    ids=["sync", "batched"],
)
def test_a_spec_survives_json(how: dict[str, Any]) -> None:
    envs = gym.make_vec("SpotSampling-v0", num_envs=2, budget=3, observation="picks", **how)
    again = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert type(again) is type(envs)
    assert again.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    starts = [each.reset(seed=4)[0] for each in (envs, again)]
    assert data_equivalence(*starts, exact=True)
    for spot in range(7):
        steps = [each.step(np.array([spot, 2 * spot])) for each in (envs, again)]
        assert data_equivalence(steps[0][:4], steps[1][:4], exact=True)


def test_a_video_of_a_batch_is_recorded(tmp_path: Path) -> None:
    envs = wrappers.RecordVideo(
        make_vec("vector_entry_point", render_mode="rgb_array"),
        str(tmp_path / "videos"),
        episode_trigger=lambda _: True,
    )
    envs.reset(seed=0)
    for spot in range(6):
        envs.step(np.full(3, spot))
    envs.close()
    assert list((tmp_path / "videos").glob("*.mp4"))
