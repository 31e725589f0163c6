"""SpotSampling-v0 keeps the contracts of Gymnasium and Stable-Baselines3, without a warning."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from episodes import MODES, make, play, same
from gymnasium import wrappers
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from scr2st_env import CellReference, Slide, SpotSamplingEnv, synthetic

REWARDS: dict[str, Any] = {
    "default": None,
    "every term": dict.fromkeys(["hard_states", "soft_states", "information", "prediction"], 0.5),
    "released": "released",
}


@pytest.fixture(autouse=True)
def every_warning_is_a_failure() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def check(env: gym.Env[Any, Any], *, skip_render_check: bool = False) -> None:
    check_env(env, skip_render_check=skip_render_check)
    with warnings.catch_warnings():  # the one hint that is not heeded: 2-D observations
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        check_env_for_sb3(env)


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("n_features", [0, 6], ids=["imageless", "imaged"])
@pytest.mark.parametrize("n_slides", [1, 2], ids=["one-slide", "two-slides"])
@pytest.mark.parametrize("round_size", [1, 4])
@pytest.mark.parametrize("feedback", [False, True], ids=["blind", "feedback"])
@pytest.mark.parametrize("mode", MODES)
def test_both_checkers_pass(
    reference: CellReference,
    mode: str,
    feedback: bool,
    round_size: int,
    n_slides: int,
    n_features: int,
    reward: str,
) -> None:
    slides = [toy_slide("one", 4, 1, n_features), toy_slide("two", 3, 2, n_features)][:n_slides]
    options: dict[str, Any] = {
        "observation": mode,
        "feedback": feedback,
        "round_size": round_size,
        "reward": REWARDS[reward],
        "budget": 5,
    }
    check(SpotSamplingEnv(slides, reference, **options), skip_render_check=True)
    check(make(slides, reference, **options).unwrapped, skip_render_check=True)
    wrapped = make(slides, reference, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        check(wrapped, skip_render_check=True)
    play(make(slides, reference, **options))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("budget", [1, 5, 0.1, 1.0])
def test_both_checkers_pass_at_any_budget(
    slide: Slide, reference: CellReference, mode: str, budget: Any
) -> None:
    check(make([slide], reference, budget=budget, observation=mode).unwrapped)


@pytest.mark.parametrize("mode", MODES)
def test_both_checkers_pass_and_render_on_the_embedded_tissue(mode: str) -> None:
    env = gym.make(
        "SpotSampling-v0",
        slides=synthetic.load_slides(synthetic.TRAINING[:2]),
        reference=synthetic.load_reference(),
        observation=mode,
        budget=5,
        render_mode="rgb_array",
    )
    check(env.unwrapped)


def test_the_checks_would_see_observations_that_share_memory(
    slide: Slide, reference: CellReference
) -> None:
    class Sharing(SpotSamplingEnv):
        def step(self, action: Any) -> Any:
            observation, *rest = super().step(action)
            self._ledger.mask.flags.writeable = True
            return observation | {"mask": self._ledger.mask}, *rest

    with pytest.raises(AssertionError, match="share an object"):
        check(Sharing([slide], reference), skip_render_check=True)


def test_importing_registers_the_environment_and_stays_light() -> None:
    run_python(
        "import sys, scr2st_env, gymnasium; gymnasium.spec('SpotSampling-v0');"
        "heavy = {'torch', 'anndata', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules);"
        "assert not heavy, heavy"
    )


@pytest.mark.parametrize(
    "making",
    ["gym.make('scr2st_env:SpotSampling-v0')", "gym.make_vec('scr2st_env:SpotSampling-v0')"],
)
def test_the_module_in_the_name_does_the_import(making: str) -> None:
    run_python(
        f"import sys, gymnasium as gym; assert 'scr2st_env' not in sys.modules; env = {making};"
        "observation, info = env.reset(seed=0); assert 'available' in observation; env.close()"
    )


def test_without_the_module_in_the_name_an_import_is_enough() -> None:
    run_python("import gymnasium as gym, scr2st_env; gym.make('SpotSampling-v0').reset(seed=0)")


def run_python(code: str) -> None:
    """Run code in a fresh interpreter in which every warning is an error."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class TestWrappers:
    """Gymnasium's own wrappers, on an episode of five spots in all observation modes."""

    @pytest.fixture(params=MODES)
    def made(self, request: pytest.FixtureRequest) -> Callable[..., gym.Env[Any, Any]]:
        def make_env(**options: Any) -> gym.Env[Any, Any]:
            slides = [toy_slide("one", 5, 1), toy_slide("two", 4, 2)]
            options = {"budget": 5, "round_size": 2, "feedback": True} | options
            return make(slides, toy_reference(), observation=request.param, **options)

        return make_env

    def test_the_return_and_the_length_of_an_episode_are_recorded(self, made: Any) -> None:
        steps = play(wrappers.RecordEpisodeStatistics(made()))
        recorded = steps[-1][-1]["episode"]
        assert recorded["l"] == 5
        assert recorded["r"] == pytest.approx(sum(step[1] for step in steps[1:]))

    def test_observations_flatten_and_unflatten(self, made: Any) -> None:
        env = wrappers.FlattenObservation(made())
        for flat, plain in zip(play(env), play(made()), strict=True):
            assert env.observation_space.contains(flat[0])
            again = gym.spaces.unflatten(made().observation_space, flat[0])
            for key, value in plain[0].items():
                np.testing.assert_allclose(again[key], value, rtol=1e-6)

    def test_a_time_limit_truncates(self, made: Any) -> None:
        env = wrappers.TimeLimit(made(), 3)
        env.reset(seed=0)
        ends = [env.step(spot)[2:4] for spot in range(3)]
        assert ends == [(False, False), (False, False), (False, True)]

    def test_an_automatic_reset_begins_a_new_episode(self, made: Any) -> None:
        env = wrappers.Autoreset(made())
        env.reset(seed=0)
        for spot in range(5):
            _, _, terminated, _, _ = env.step(spot)
        assert terminated
        observation, reward, terminated, _, _ = env.step(0)
        assert (reward, terminated) == (0, False)
        assert observation["remaining"] == 1

    def test_rewards_can_be_transformed(self, made: Any) -> None:
        doubled = wrappers.TransformReward(made(), lambda reward: 2 * reward)
        for twice, once in zip(play(doubled)[1:], play(made())[1:], strict=True):
            assert twice[1] == 2 * once[1]
            assert same(twice[0], once[0])

    @pytest.mark.parametrize(
        "wrapper",
        [
            lambda env: wrappers.AddRenderObservation(env, render_only=False),
            lambda env: wrappers.ClipReward(env, 0, 0.1),
            lambda env: wrappers.DelayObservation(env, 2),
            lambda env: wrappers.FilterObservation(env, ["remaining", "round"]),
            lambda env: wrappers.FrameStackObservation(env, 2),
            lambda env: wrappers.NormalizeReward(env, 1.0),
            lambda env: wrappers.StickyAction(env, 0.5),
            lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, 9)),
        ],
        ids=["render", "clip", "delay", "filter", "stack", "normalize", "sticky", "time"],
    )
    def test_others_show_what_their_space_promises(self, made: Any, wrapper: Any) -> None:
        env = wrapper(made(render_mode="rgb_array"))
        for step in play(env):
            assert env.observation_space.contains(step[0])

    def test_arrays_become_tensors(self, made: Any) -> None:
        env = wrappers.NumpyToTorch(made())
        observation, info = env.reset(seed=0)
        while info["action_mask"].any() and observation["remaining"] > 0:
            action = info["action_mask"].int().argmax()
            observation, _, _, _, info = env.step(action)
        assert all(isinstance(value, torch.Tensor) for value in observation.values())

    def test_a_video_of_every_episode_is_recorded(self, made: Any, tmp_path: Path) -> None:
        env = wrappers.RecordVideo(
            made(render_mode="rgb_array"), str(tmp_path / "videos"), episode_trigger=lambda _: True
        )
        play(env, seed=0)
        play(env, seed=1)
        env.close()
        videos = sorted((tmp_path / "videos").glob("*.mp4"))
        assert [video.name for video in videos] == [
            "rl-video-episode-0.mp4",
            "rl-video-episode-1.mp4",
        ]
        assert all(n_frames(video) == 6 for video in videos)


def n_frames(video: Path) -> int:
    import imageio_ffmpeg

    return int(imageio_ffmpeg.count_frames_and_secs(str(video))[0])
