"""SpotSampling-v0 keeps its rules."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from episodes import MODES, make, play, same
from gymnasium.error import ResetNeeded

from scr2st_env import CellReference, InputError, RewardWeights, Slide, SpotSamplingEnv


class TestBudget:
    @pytest.mark.parametrize(
        ("budget", "count"), [(1, 1), (7, 7), (0.1, 6), (0.001, 1), (1.0, 64), (np.int64(3), 3)]
    )
    def test_is_a_count_or_a_share_of_all_spots(
        self, slide: Slide, reference: CellReference, budget: Any, count: int
    ) -> None:
        env = make([slide], reference, budget=budget)
        env.reset()
        assert env.unwrapped.budget_spots == count

    def test_counts_excluded_spots_in_the_share_and_leaves_initial_ones_free(
        self, slide: Slide, reference: CellReference
    ) -> None:
        env = make(
            [slide], reference, budget=0.25, excluded={"toy": range(20)}, initial={"toy": [30, 31]}
        )
        steps = play(env)
        assert len(steps) - 1 == 16
        assert steps[-1][0]["mask"].sum() == 18

    @pytest.mark.parametrize("budget", [0, -1, 0.0, -0.5, 1.5, 65, True, "10", None, float("nan")])
    def test_out_of_range_is_refused(
        self, slide: Slide, reference: CellReference, budget: Any
    ) -> None:
        with pytest.raises(InputError, match="budget"):
            make([slide], reference, budget=budget)

    def test_above_what_can_be_bought_is_refused(
        self, slide: Slide, reference: CellReference
    ) -> None:
        with pytest.raises(InputError, match=r"slide 'toy': budget 60 asks for 60 .* only 54"):
            make([slide], reference, budget=60, excluded={"toy": range(10)})


class TestBuying:
    def test_ends_when_the_budget_is_spent(self, slide: Slide, reference: CellReference) -> None:
        steps = play(make([slide], reference, budget=5))
        assert [step[2] for step in steps[1:]] == [False] * 4 + [True]
        assert not any(step[3] for step in steps[1:])
        assert steps[-1][0]["remaining"] == 0

    def test_ends_when_nothing_is_left_to_buy(self, slide: Slide, reference: CellReference) -> None:
        env = make([slide], reference, budget=10)
        steps = play(env, options={"excluded": range(60)})
        assert len(steps) - 1 == 4

    def test_a_wasted_pick_spends_budget_and_earns_nothing(
        self, slides: list[Slide], reference: CellReference
    ) -> None:
        env = make(slides[:2], reference, budget=6, excluded={"two": [3]}, initial={"two": [4]})
        env.reset(options={"slide": "two"})
        _, reward, _, _, info = env.step(5)
        assert reward != 0
        assert info["wasted"] is False
        for spot in (5, 3, 4, 60):  # bought already, excluded, initial, padding
            observation, reward, _, _, info = env.step(spot)
            assert reward == 0
            assert info["wasted"] is True
            assert set(info["reward_terms"].values()) == {0.0}
        assert observation["remaining"] == pytest.approx(1 / 6)
        assert env.unwrapped.purchases == [5]

    @pytest.mark.parametrize("action", [-1, 64, 1.5, "3", None])
    def test_an_action_outside_the_space_raises(
        self, slide: Slide, reference: CellReference, action: Any
    ) -> None:
        env = make([slide], reference).unwrapped
        env.reset()
        with pytest.raises(InputError, match="action"):
            env.step(action)

    def test_needs_a_reset_before_the_first_step_and_after_the_last(
        self, slide: Slide, reference: CellReference
    ) -> None:
        env = make([slide], reference, budget=1).unwrapped
        for needs_episode in (lambda: env.step(0), env.action_masks, lambda: env.slide):
            with pytest.raises(ResetNeeded, match="reset"):
                needs_episode()
        env.reset()
        env.step(0)
        with pytest.raises(ResetNeeded, match="over"):
            env.step(1)

    def test_types_of_what_step_returns(self, slide: Slide, reference: CellReference) -> None:
        env = make([slide], reference)
        env.reset()
        _, reward, terminated, truncated, info = env.step(np.int64(3))
        assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
        assert all(type(part) is float for part in info["reward_terms"].values())
        assert info["action_mask"].dtype == bool

    def test_unmeasurable_spots_are_never_available(self, reference: CellReference) -> None:
        slide = toy_slide()
        measurable = np.arange(64) != 7
        hidden = slide.hidden
        slide = Slide.make(
            "toy",
            slide.public.coordinates,
            counts=hidden.counts,
            genes=hidden.genes.tolist(),
            measurable=measurable,
        )
        env = make([slide], reference, reward={"states": 0, "types": 0})
        observation, info = env.reset()
        assert not observation["available"][7]
        assert not info["action_mask"][7]
        assert not env.unwrapped.purchasable[7]


class TestRounds:
    def test_feedback_and_reward_wait_for_the_last_spot_of_a_round(
        self, slide: Slide, reference: CellReference
    ) -> None:
        env = make([slide], reference, budget=7, round_size=3, feedback=True)
        env.reset()
        rewards, returned, filled = [], [], []
        for spot in (0, 9, 18, 27, 36, 45, 54):
            observation, reward, *_ = env.step(spot)
            assert observation["available"][spot] == 0
            assert observation["mask"][spot] == 1
            rewards.append(reward != 0)
            returned.append(int(observation["returned"].sum()))
            filled.append(float(observation["round"][0]))
        assert rewards == [False, False, True, False, False, True, True]
        assert returned == [0, 0, 3, 3, 3, 6, 7]
        assert filled == pytest.approx([1 / 3, 2 / 3, 0, 1 / 3, 2 / 3, 0, 0])

    def test_wasted_picks_count_towards_the_round(
        self, slide: Slide, reference: CellReference
    ) -> None:
        env = make([slide], reference, budget=6, round_size=3, feedback=True)
        env.reset()
        env.step(0)
        env.step(0)
        observation, reward, *_ = env.step(0)
        assert observation["returned"].sum() == 1
        assert reward > 0

    def test_what_was_measured_is_what_the_slide_holds(
        self, slide: Slide, reference: CellReference
    ) -> None:
        env = make([slide], reference, budget=6, round_size=2, feedback=True, initial={"toy": [9]})
        observation, _ = env.reset()
        for spot in (3, 5, 7):
            observation, *_ = env.step(spot)
        expected = np.zeros((64, 4), np.float32)
        expected[[9, 3, 5]] = slide.hidden.embedding[[9, 3, 5]]  # 7 is pending
        np.testing.assert_array_equal(observation["measured"], expected)
        assert np.flatnonzero(observation["returned"]).tolist() == [3, 5, 9]


class TestDeterminism:
    @pytest.mark.parametrize("mode", MODES)
    def test_equal_environments_play_equal_episodes(
        self, slides: list[Slide], reference: CellReference, mode: str
    ) -> None:
        runs = [
            play(make(slides, reference, observation=mode, feedback=True, round_size=2), seed=7)
            for _ in range(2)
        ]
        for one, other in zip(*runs, strict=True):
            assert same(one, other)

    def test_steps_share_no_memory_and_the_slide_is_not_written_to(
        self, slide: Slide, reference: CellReference
    ) -> None:
        before = slide.public.fingerprint
        steps = play(make([slide], reference, feedback=True))
        arrays = [array for step in steps for array in step[0].values()]
        arrays += [step[-1]["action_mask"] for step in steps]
        for index, array in enumerate(arrays):
            array[...] = 1
            assert not any(np.shares_memory(array, other) for other in arrays[index + 1 :])
        assert slide.public.fingerprint == before

    def test_copies_share_the_slides(self, slides: list[Slide], reference: CellReference) -> None:
        env = make(slides, reference)
        copied = copy.deepcopy(env.spec)
        assert copied.kwargs["slides"][0] is slides[0]
        assert gym.make(copied).unwrapped.slides[0] is slides[0]


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"round_size": 0}, "round_size"),
            ({"round_size": 1.5}, "round_size"),
            ({"observation": "tiny"}, "observation must be one of"),
            ({"render_mode": "human"}, "render_mode"),
            ({"reward": {"beauty": 1}}, "unknown reward weight 'beauty'"),
            ({"reward": {"states": -1}}, "'states' must be a number >= 0"),
            ({"reward": {"states": 0, "types": 0, "density": 0}}, "every reward weight is 0"),
            ({"reward": "published"}, "unknown reward preset"),
            ({"reward": 3}, "reward must be"),
            ({"terms": ["density"]}, "no reward term"),
        ],
    )
    def test_wrong_ones_are_named(
        self, slide: Slide, reference: CellReference, options: dict[str, Any], complaint: str
    ) -> None:
        with pytest.raises(InputError, match=complaint):
            SpotSamplingEnv([slide], reference, **options)

    def test_terms_say_what_a_slide_lacks(self, slide: Slide) -> None:
        bare = Slide.make("bare", slide.public.coordinates, counts=np.ones((64, 1)), genes=["g"])
        with pytest.raises(InputError, match=r"slide 'bare' has no embedding.*'states'"):
            SpotSamplingEnv([bare], toy_reference())
        with pytest.raises(InputError, match="slide 'bare' has no cell types"):
            SpotSamplingEnv([bare], toy_reference(), reward={"states": 0})
        with pytest.raises(InputError, match="feedback=True"):
            SpotSamplingEnv(
                [bare], toy_reference(), reward={"states": 0, "types": 0}, feedback=True
            )
        with pytest.raises(InputError, match="needs a reference"):
            SpotSamplingEnv([slide])
        assert SpotSamplingEnv([slide], reward=RewardWeights(states=0, types=0))

    def test_info_mask_can_be_left_out(self, slide: Slide, reference: CellReference) -> None:
        env = make([slide], reference, info_mask=False)
        assert "action_mask" not in env.reset()[1]
        assert "action_mask" not in env.step(0)[-1]
        assert env.unwrapped.action_masks().sum() == 63
