"""Which slides SpotSampling-v0 plays: several, with spots shut or known, live, embedded."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_slide
from episodes import MODES, make, play, same
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from scr2st_env import CellReference, InputError, Slide, synthetic


class TestSeveralSlides:
    def test_one_is_drawn_at_every_reset_by_the_seeded_generator(
        self, slides: list[Slide], reference: CellReference
    ) -> None:
        def names(seed: int) -> list[str]:
            env = make(slides, reference)
            first = env.reset(seed=seed)[1]["slide"]
            return [first] + [env.reset()[1]["slide"] for _ in range(30)]

        assert names(3) == names(3)
        assert names(3) != names(4)
        assert set(names(3)) == {"one", "two", "three"}

    def test_a_slide_can_be_named(self, slides: list[Slide], reference: CellReference) -> None:
        env = make(slides, reference, observation="compact")
        observation, info = env.reset(options={"slide": "two"})
        assert info["slide"] == env.unwrapped.slide.name == "two"
        assert observation["slide"] == 1
        with pytest.raises(InputError, match="no slide is named 'four'; the slides are"):
            env.reset(options={"slide": "four"})
        with pytest.raises(InputError, match="unknown reset option 'seed'"):
            env.reset(options={"seed": 4})

    def test_smaller_slides_are_padded_and_padding_is_never_available(
        self, slides: list[Slide], reference: CellReference
    ) -> None:
        env = make(slides, reference)
        observation, info = env.reset(options={"slide": "two"})
        assert env.action_space.n == 64
        assert observation["features"].shape == (64, 6)
        assert not observation["features"][36:].any()
        assert not observation["available"][36:].any()
        assert not info["action_mask"][36:].any()
        assert env.unwrapped.purchasable.shape == (36,)

    def test_two_slides_never_mix(self, slides: list[Slide], reference: CellReference) -> None:
        """An episode pays the same whatever was played before, on whichever slide."""
        together, alone = make(slides, reference), make(slides[1:2], reference)
        play(together, options={"slide": "one"})
        steps = play(together, seed=5, options={"slide": "two"})
        play(together, options={"slide": "three"})
        again = play(together, seed=5, options={"slide": "two"})
        single = play(alone, seed=5)
        rewards = [[step[1] for step in run[1:]] for run in (steps, again, single)]
        assert rewards[0] == rewards[1] == rewards[2]

    def test_slides_must_agree(self, slide: Slide, reference: CellReference) -> None:
        with pytest.raises(InputError, match="slide 'wide' has 9 features but slide 'toy' has 6"):
            make([slide, toy_slide("wide", n_features=9)], reference)
        with pytest.raises(InputError, match="two slides are named 'toy'"):
            make([slide, toy_slide(seed=3)], reference)
        with pytest.raises(InputError, match="slides is empty"):
            make([], reference)
        with pytest.raises(InputError, match=r"slides=\[...\]"):
            make(slide, reference)


class TestExcludedAndInitial:
    def test_indices_and_masks_mean_the_same(self, slide: Slide, reference: CellReference) -> None:
        mask = np.arange(64) < 5
        for excluded in (range(5), mask, np.arange(5)):
            env = make([slide], reference, excluded={"toy": excluded})
            env.reset()
            assert not env.unwrapped.purchasable[:5].any()
            assert env.unwrapped.purchasable[5:].all()

    @pytest.mark.parametrize(
        ("argument", "spots", "complaint"),
        [
            ("excluded", {"nobody": [1]}, "names slide 'nobody'"),
            ("initial", {"toy": [64]}, r"spot 64, not in 0\.\.63"),
            ("excluded", {"toy": [-1]}, "spot -1"),
            ("excluded", {"toy": [0.5]}, "list of spot indices"),
            ("excluded", {"toy": [True, False]}, "mask of shape"),
            ("excluded", [1, 2], "must map slide names"),
        ],
    )
    def test_wrong_spots_are_named(
        self, slide: Slide, reference: CellReference, argument: str, spots: Any, complaint: str
    ) -> None:
        with pytest.raises(InputError, match=complaint):
            make([slide], reference, **{argument: spots})

    def test_an_initial_spot_cannot_be_excluded(
        self, slide: Slide, reference: CellReference
    ) -> None:
        with pytest.raises(InputError, match="initial spot 3 is excluded"):
            make([slide], reference, excluded={"toy": [3]}, initial={"toy": [2, 3]})

    def test_options_only_narrow(self, slide: Slide, reference: CellReference) -> None:
        env = make([slide], reference, budget=4, excluded={"toy": [0]})
        env.reset(options={"excluded": [1, 2]})
        assert np.flatnonzero(~env.unwrapped.purchasable).tolist() == [0, 1, 2]
        env.reset()
        assert np.flatnonzero(~env.unwrapped.purchasable).tolist() == [0]
        with pytest.raises(InputError, match="leave nothing to buy"):
            env.reset(options={"excluded": range(64)})


class TestLiveSlides:
    def test_show_what_a_retrospective_slide_shows_and_pay_nothing(
        self, slide: Slide, reference: CellReference
    ) -> None:
        live = make([slide.live()], reference, budget=9, round_size=2)
        past = make([slide], reference, budget=9, round_size=2)
        for one, other in zip(play(live, seed=2), play(past, seed=2), strict=True):
            assert same(one[0], other[0])
            assert one[-1]["reward_terms"] == {}
            assert one[1] == 0.0 or isinstance(one[1], dict)

    def test_feedback_never_comes_back_by_itself(
        self, slide: Slide, reference: CellReference
    ) -> None:
        for mode in MODES:
            env = make([slide.live()], reference, budget=5, feedback=True, observation=mode)
            observation = play(env)[-1][0]
            assert not observation["measured"].any()
            assert not observation.get("returned", np.zeros(1)).any()
            check_env(env.unwrapped, skip_render_check=True)

    def test_feedback_needs_a_width(self, slide: Slide) -> None:
        with pytest.raises(InputError, match="reference="):
            make([slide.live()], None, feedback=True)

    def test_need_no_reference(self, slide: Slide) -> None:
        assert play(make([slide.live()], None))[-1][2]


class TestEmbeddedTissue:
    def test_only_training_sections_are_played_unless_others_are_named(self) -> None:
        env = gym.make("SpotSampling-v0").unwrapped
        assert tuple(slide.name for slide in env.slides) == synthetic.TRAINING
        assert not set(synthetic.TRAINING) & set(synthetic.TEST)
        with pytest.raises(InputError, match="no slide is named 'p6s1'"):
            env.reset(options={"slide": "p6s1"})
        held_out = make(synthetic.load_slides(synthetic.TEST), synthetic.load_reference())
        assert held_out.reset(options={"slide": "p6s1"})[1]["slide"] == "p6s1"

    def test_needs_no_argument_and_its_spec_survives_json(self) -> None:
        env = gym.make("SpotSampling-v0", reward={"hard_states": 1.0})
        again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        for one, other in zip(play(env, seed=4), play(again, seed=4), strict=True):
            assert same(one, other)

    @pytest.mark.parametrize("mode", MODES)
    def test_passes_both_checkers(self, mode: str) -> None:
        env = gym.make("SpotSampling-v0", observation=mode, budget=5).unwrapped
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env, skip_render_check=True)
            warnings.filterwarnings("ignore", message=".*unconventional shape.*")
            check_env_for_sb3(env)
