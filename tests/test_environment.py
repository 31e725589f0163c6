"""SpotSampling-v0 keeps its rules, and the contracts of Gymnasium and Stable-Baselines3."""

import copy
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anndata
import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from scr2st_env import CellReference, InputError, RewardWeights, Slide, SpotSamplingEnv, synthetic

MODES = ["full", "compact", "picks"]


def make(
    slides: Sequence[Any], reference: CellReference | None, **options: Any
) -> gym.Env[Any, Any]:
    return gym.make("SpotSampling-v0", slides=slides, reference=reference, **options)


def play(
    env: Any, actions: Iterator[int] | None = None, seed: int = 0, options: Any = None
) -> list[Any]:
    """Play one episode: the given actions, or random available ones; return all transitions."""
    rng = np.random.default_rng(seed)
    steps = [env.reset(seed=seed, options=options)]
    terminated = False
    while not terminated:
        spot = (
            next(actions) if actions else rng.choice(np.flatnonzero(env.unwrapped.action_masks()))
        )
        steps.append(env.step(int(spot)))
        terminated = steps[-1][2]
    return steps


@pytest.mark.parametrize("n_slides", [1, 3])
@pytest.mark.parametrize("round_size", [1, 4])
@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_both_checkers_pass_without_a_warning(
    slides: list[Slide],
    reference: CellReference,
    mode: str,
    feedback: bool,
    round_size: int,
    n_slides: int,
) -> None:
    env = make(
        slides[:n_slides],
        reference,
        observation=mode,
        feedback=feedback,
        round_size=round_size,
        render_mode="rgb_array",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        check_env_for_sb3(env.unwrapped)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("budget", [1, 5, 0.1, 1.0])
def test_checkers_pass_at_any_budget(
    slide: Slide, reference: CellReference, mode: str, budget: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make([slide], reference, budget=budget, observation=mode).unwrapped)


def test_a_slide_without_an_image_has_no_features(reference: CellReference) -> None:
    env = make([toy_slide(n_features=0)], reference)
    assert "features" not in env.observation_space.spaces
    check_env(env.unwrapped, skip_render_check=True)


def test_importing_registers_the_environment_and_stays_light() -> None:
    code = (
        "import sys, scr2st_env, gymnasium; gymnasium.spec('SpotSampling-v0');"
        "heavy = {'torch', 'anndata', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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

    def test_compact_feedback_says_the_same_as_full_feedback(
        self, slides: list[Slide], reference: CellReference
    ) -> None:
        options = {"budget": 8, "round_size": 3, "feedback": True, "initial": {"one": [9, 4]}}
        full = make(slides, reference, **options)
        compact = make(slides, reference, observation="compact", **options)
        spots = iter([0, 1, 2, 2, 60, 61, 62, 63])
        start = {"slide": "one"}
        pairs = zip(
            play(full, spots, options=start),
            play(compact, iter([0, 1, 2, 2, 60, 61, 62, 63]), options=start),
            strict=True,
        )
        for (seen, *rest), (short, *short_rest) in pairs:
            assert rest[:-1] == short_rest[:-1]
            picks = short["picks"][short["picks"] >= 0]
            assert sorted(picks) == np.flatnonzero(seen["mask"]).tolist()
            np.testing.assert_array_equal(short["measured"][: len(picks)], seen["measured"][picks])
            assert not short["measured"][len(picks) :].any()
            for key in ("mask", "available", "remaining", "round"):
                np.testing.assert_array_equal(short[key], seen[key])


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
            assert gym.utils.env_checker.data_equivalence(one, other, exact=True)

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


class TestLiveSlides:
    def test_show_what_a_retrospective_slide_shows_and_pay_nothing(
        self, slide: Slide, reference: CellReference
    ) -> None:
        live = make([slide.live()], reference, budget=9, round_size=2)
        past = make([slide], reference, budget=9, round_size=2)
        for one, other in zip(play(live, seed=2), play(past, seed=2), strict=True):
            assert gym.utils.env_checker.data_equivalence(one[0], other[0], exact=True)
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


def weights_of(model: Any) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel().copy() for p in model.policy.parameters()])


def wasted_while_learning(model: Any, n_steps: int) -> list[bool]:
    wasted: list[bool] = []

    def collect(seen: dict[str, Any], _: dict[str, Any]) -> bool:
        wasted.extend(info["wasted"] for info in seen["infos"])
        return True

    model.learn(n_steps, collect)
    return wasted


class TestStockAlgorithms:
    @pytest.mark.parametrize("mode", MODES)
    def test_maskable_ppo_trains_and_wastes_nothing(
        self, slides: list[Slide], reference: CellReference, mode: str
    ) -> None:
        from sb3_contrib import MaskablePPO

        env = SpotSamplingEnv(slides, reference, budget=8, observation=mode, feedback=True)
        model = MaskablePPO("MultiInputPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
        before = weights_of(model)
        wasted = wasted_while_learning(model, 64)
        assert wasted == [False] * 64
        assert not np.array_equal(weights_of(model), before)

    def test_ppo_trains_and_wastes_for_want_of_a_mask(
        self, slide: Slide, reference: CellReference
    ) -> None:
        from stable_baselines3 import PPO

        env = SpotSamplingEnv([slide], reference, budget=8, round_size=3)
        model = PPO("MultiInputPolicy", env, n_steps=128, batch_size=64, n_epochs=1, seed=0)
        before = weights_of(model)
        wasted = wasted_while_learning(model, 256)
        assert len(wasted) == 256
        assert any(wasted)
        assert not np.array_equal(weights_of(model), before)


class TestFiles:
    def written(self, slide: Slide, folder: Path) -> str:
        adata = anndata.AnnData(slide.hidden.counts)
        adata.var_names = slide.hidden.genes
        adata.obsm["spatial"] = slide.public.coordinates
        adata.obsm["X_patch"] = slide.public.features
        adata.obsm["X_cell"] = slide.hidden.embedding
        adata.obsm["X_type"] = slide.hidden.types
        adata.uns["X_type_names"] = list(slide.hidden.type_names)
        adata.write_h5ad(folder / f"{slide.name}.h5ad")
        return str(folder / f"{slide.name}.h5ad")

    def written_reference(self, reference: CellReference, folder: Path) -> str:
        cells = anndata.AnnData(np.ones((120, 2), np.float32))
        cells.obsm["X_cell"] = reference.embedding
        cells.obs["cell_type"] = [reference.type_names[code] for code in reference.cell_types]
        cells.write_h5ad(folder / "atlas.h5ad")
        return str(folder / "atlas.h5ad")

    def test_a_spec_on_files_survives_json(
        self, slides: list[Slide], reference: CellReference, tmp_path: Path
    ) -> None:
        env = make(
            [self.written(slide, tmp_path) for slide in slides],
            self.written_reference(reference, tmp_path),
            n_states=10,
            reward={"density": 2.0},
            excluded={"two": [1, 2]},
        )
        again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        for one, other in zip(play(env, seed=4), play(again, seed=4), strict=True):
            assert gym.utils.env_checker.data_equivalence(one, other, exact=True)

    def test_environments_on_the_same_files_share_them_until_a_file_changes(
        self, slide: Slide, reference: CellReference, tmp_path: Path, monkeypatch: Any
    ) -> None:
        path, atlas = self.written(slide, tmp_path), self.written_reference(reference, tmp_path)
        first = make([path], atlas, n_states=10).unwrapped
        again = make([Path(path)], Path(atlas), n_states=10, budget=5).unwrapped
        assert again.slides[0] is first.slides[0]
        references = [env._settings[0].reference for env in (first, again)]
        assert references[0] is references[1]
        assert make([path], atlas, n_states=9).unwrapped._settings[0].reference.n_states == 9
        bare = make([path], atlas, n_states=10, features=None).unwrapped.slides[0]
        assert bare.public.n_features == 0
        renamed = tmp_path / "renamed.h5ad"
        renamed.symlink_to(path)
        assert make([str(renamed)], reference).unwrapped.slides[0].name == "renamed"
        monkeypatch.chdir(tmp_path)
        assert make(["toy.h5ad"], reference).unwrapped.slides[0].n_spots == 64

        self.written(toy_slide(seed=3), tmp_path)
        changed = make([path], atlas, n_states=10).unwrapped.slides[0]
        assert changed.public.fingerprint != slide.public.fingerprint
        assert (
            changed.public.fingerprint
            == toy_slide(seed=3)
            .with_features(toy_slide(seed=3).public.features, "")
            .public.fingerprint
        )
        Path(path).unlink()
        with pytest.raises(InputError, match="does not exist"):
            make([path], atlas, n_states=10)

    def test_a_missing_key_is_named_with_its_file(
        self, slide: Slide, reference: CellReference, tmp_path: Path
    ) -> None:
        path = self.written(slide, tmp_path)
        with pytest.raises(InputError, match=r"toy.h5ad.*obsm\['X_uni'\]"):
            make([path], reference, features="X_uni")
        env = make([path], reference, features=None)
        assert "features" not in env.observation_space.spaces


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
            assert gym.utils.env_checker.data_equivalence(one, other, exact=True)

    @pytest.mark.parametrize("mode", MODES)
    def test_passes_both_checkers(self, mode: str) -> None:
        env = gym.make("SpotSampling-v0", observation=mode, budget=5).unwrapped
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env, skip_render_check=True)
            warnings.filterwarnings("ignore", message=".*unconventional shape.*")
            check_env_for_sb3(env)


class TestWrappersAndVectors:
    def test_gymnasiums_own_wrappers_find_nothing_to_say(
        self, slides: list[Slide], reference: CellReference
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for mode in MODES:
                play(make(slides, reference, observation=mode, feedback=True, round_size=2))

    @pytest.mark.parametrize("autoreset", list(gym.vector.AutoresetMode))
    @pytest.mark.parametrize("vectorisation", ["sync", "async"])
    def test_constructor_limits_survive_automatic_resets(
        self,
        slides: list[Slide],
        reference: CellReference,
        vectorisation: str,
        autoreset: gym.vector.AutoresetMode,
    ) -> None:
        envs = gym.make_vec(
            "SpotSampling-v0",
            num_envs=2,
            vectorization_mode=vectorisation,
            vector_kwargs={"autoreset_mode": autoreset},
            slides=slides,
            reference=reference,
            budget=4,
            excluded={slide.name: [0, 1] for slide in slides},
            initial={slide.name: [2] for slide in slides},
        )
        rng = np.random.default_rng(0)
        observation, _ = envs.reset(seed=1)
        n_episodes = np.zeros(2, int)
        while n_episodes.min() < 4:
            assert not observation["available"][:, :3].any()
            assert (observation["mask"][:, :3] == [0, 0, 1]).all()
            actions = np.array(
                [rng.choice(np.flatnonzero(row)) for row in observation["available"]]
            )
            observation, _, ends, _, _ = envs.step(actions)
            n_episodes += ends
            if autoreset == gym.vector.AutoresetMode.DISABLED and ends.any():
                observation, _ = envs.reset(options={"reset_mask": ends})
        envs.close()

    def test_a_vector_plays_what_single_environments_play(
        self, slides: list[Slide], reference: CellReference
    ) -> None:
        singles = [SpotSamplingEnv(slides, reference, budget=5) for _ in range(3)]
        envs = gym.vector.SyncVectorEnv(
            [lambda: SpotSamplingEnv(slides, reference, budget=5) for _ in range(3)]
        )
        envs.reset(seed=10)
        for number, env in enumerate(singles):
            env.reset(seed=10 + number)
        for action in (3, 9, 9, 20, 35):
            observation, rewards, ends, _, _ = envs.step(np.full(3, action))
            for number, env in enumerate(singles):
                seen, reward, is_over, _, _ = env.step(action)
                assert reward == rewards[number]
                assert is_over == ends[number]
                assert all(np.array_equal(seen[key], observation[key][number]) for key in seen)
