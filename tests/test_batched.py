"""The batched environment is the single one, many times over, step by step."""

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from sameness import assert_same

import scr2st_env
from scr2st_env import SpotSamplingEnv, SpotSamplingVectorEnv, Term
from scr2st_env.envs.batched.ledger import BatchedLedger
from scr2st_env.gaussian_process import Kernel
from scr2st_env.rewards import InformationGain, PredictionGain

KERNEL = Kernel(length=2.0, feature_weight=0.5, noise=0.7)
SLIDES = [toy_slide("one", 5, 1), toy_slide("two", 4, 2), toy_slide("three", 6, 3)]
REFERENCE = toy_reference()
EXCLUDED = {"one": [0, 1, 2], "two": [5]}
INITIAL = {"one": [7, 8], "three": [0]}
MODES = list(AutoresetMode)


class FirstColumn(Term):
    """A term of the user's own, without a batched form."""

    name = "first_column"

    def bind(self, setting: Any) -> Any:
        return FirstColumnPotential(setting.slide.public.coordinates[:, 0] == 0)


class FirstColumnPotential:
    def __init__(self, is_first: Any) -> None:
        self.is_first = is_first

    def reset(self, initial: Any) -> None:
        self.value = float(self.is_first[initial].sum())

    def add(self, spots: Any) -> None:
        self.value += float(self.is_first[spots].sum())


arguments = st.fixed_dictionaries(
    {
        "slides": st.sampled_from(
            [SLIDES, SLIDES[:1], [SLIDES[1], SLIDES[2].live()], [SLIDES[0].live()]]
        ),
        "budget": st.sampled_from([1, 4, 7, 0.2]),
        "round_size": st.integers(1, 5),
        "observation": st.sampled_from(["full", "compact", "picks"]),
        "feedback": st.booleans(),
        "info_mask": st.booleans(),
        "excluded": st.sampled_from([None, EXCLUDED]),
        "initial": st.sampled_from([None, INITIAL]),
        "reward": st.sampled_from(
            [None, {"hard_states": 2.0, "soft_states": 0.5}, "released", {"types": 0.0}]
        ),
        "more": st.sampled_from(
            [(), (FirstColumn(0.5), PredictionGain(kernel=KERNEL, n_genes=4)), (InformationGain(),)]
        ),
    }
)


def _made(chosen: dict[str, Any]) -> dict[str, Any]:
    """Arguments of an environment, from what Hypothesis chose."""
    chosen = dict(chosen)
    names = {slide.name for slide in chosen["slides"]}
    for key in ("excluded", "initial"):
        if chosen[key] is not None:
            chosen[key] = {name: spots for name, spots in chosen[key].items() if name in names}
    chosen["terms"] = () if chosen["reward"] == "released" else chosen.pop("more")
    chosen.pop("more", None)
    return chosen | {"reference": REFERENCE}


def _actions(rng: np.random.Generator, envs: SpotSamplingVectorEnv, share_masked: float) -> Any:
    masks = envs.action_masks()
    actions = rng.integers(masks.shape[1], size=len(masks))
    for row in np.flatnonzero(rng.random(len(masks)) < share_masked):
        if masks[row].any():
            actions[row] = rng.choice(np.flatnonzero(masks[row]))
    return actions


@settings(max_examples=60, deadline=None)
@given(arguments, st.sampled_from(MODES), st.integers(1, 4), st.integers(0, 10), st.data())
def test_plays_what_separate_environments_play(
    chosen: dict[str, Any], mode: AutoresetMode, num_envs: int, seed: int, data: st.DataObject
) -> None:
    made = _made(chosen)
    batched = SpotSamplingVectorEnv(num_envs, autoreset_mode=mode, **made)
    separate = SyncVectorEnv(
        [lambda: SpotSamplingEnv(**made) for _ in range(num_envs)], autoreset_mode=mode
    )
    assert batched.observation_space == separate.observation_space
    assert batched.action_space == separate.action_space
    options = data.draw(
        st.sampled_from([None, {"slide": made["slides"][-1].name}, {"excluded": [3]}])
    )
    assert_same(
        batched.reset(seed=seed, options=options), separate.reset(seed=seed, options=options)
    )
    rng = np.random.default_rng(seed)
    share_masked = data.draw(st.sampled_from([1.0, 0.8]))
    for _ in range(14):
        actions = _actions(rng, batched, share_masked)
        one, other = batched.step(actions), separate.step(actions)
        assert_same(one, other)
        observations, _, ended, _, _ = one
        assert batched.observation_space.contains(observations)
        if mode is AutoresetMode.DISABLED and ended.any():
            assert_same(
                batched.reset(options={"reset_mask": ended.copy()}),
                separate.reset(options={"reset_mask": ended.copy()}),
            )


class TestBatchedForm:
    """The vectorised potentials and books, each against its single twin."""

    def test_gymnasium_makes_it_by_default(self) -> None:
        envs = gym.make_vec("SpotSampling-v0", num_envs=2, budget=3)
        assert isinstance(envs.unwrapped, SpotSamplingVectorEnv)
        assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        assert envs.spec is not None
        envs.close()

    def test_the_books_of_a_row_are_those_of_one_episode(self) -> None:
        env = SpotSamplingEnv(SLIDES[:1], REFERENCE, budget=6, round_size=4, initial={"one": [7]})
        rules = env.rules
        books = BatchedLedger(
            3, n_rows=rules.layout.n_rows, n_picks=rules.layout.n_picks, round_size=4
        )
        setting = rules.settings[0]
        books.open(slice(None), setting, 0)
        single = rules.open_ledger(setting, 0)
        for spot in (3, 3, 9, 7, 11):
            books.buy(np.array([1]), np.array([spot]))
            single.buy(spot)
            if single.in_round == single.round_size:
                single.close_round()
                books.close_rounds(np.array([1]))
        row = books.row(1, setting)
        assert row.purchases == single.purchases == [3, 9, 11]
        for name in ("spent", "in_round", "n_measured", "n_available", "is_over"):
            assert getattr(row, name) == getattr(single, name), name
        for name in ("mask", "available", "picks", "measured"):
            np.testing.assert_array_equal(getattr(row, name), getattr(single, name))

    def test_its_spec_survives_json(self) -> None:
        envs = gym.make_vec(
            "SpotSampling-v0", 2, budget=3, autoreset_mode=AutoresetMode.SAME_STEP, initial=None
        )
        again = gym.make_vec(gym.envs.registration.EnvSpec.from_json(envs.spec.to_json()))
        assert_same(envs.reset(seed=1), again.reset(seed=1))
        assert again.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP

    def test_it_does_not_pretend_to_truncate(self) -> None:
        with pytest.raises(scr2st_env.InputError, match="budget= ends an episode"):
            gym.make_vec("SpotSampling-v0", 2, max_episode_steps=3)

    def test_without_copies_a_step_overwrites_what_was_seen(self) -> None:
        seen = {}
        for copy in (True, False):
            envs = SpotSamplingVectorEnv(
                2, slides=SLIDES[:1], reference=REFERENCE, budget=3, copy=copy
            )
            observations, _ = envs.reset(seed=0)
            envs.step(np.array([4, 5]))
            seen[copy] = observations["mask"].sum()
        assert seen == {True: 0, False: 2}

    def test_a_narrowed_episode_is_followed_by_an_ordinary_one(self) -> None:
        envs = SpotSamplingVectorEnv(
            2, slides=SLIDES[:2], reference=REFERENCE, budget=1, autoreset_mode="SameStep"
        )
        envs.reset(seed=0, options={"slide": "one", "excluded": [0, 1, 2]})
        assert not envs.action_masks()[:, :3].any()
        for _ in range(4):
            envs.step(envs.action_masks().argmax(axis=1))
            assert envs.action_masks()[:, :3].all()

    def test_a_narrowed_episode_is_paid_and_pictured_by_itself(self) -> None:
        """What follows from what can be bought (the privileged scale, crosses) is not kept."""
        made = {"slides": SLIDES[:1], "reference": REFERENCE, "budget": 2, "round_size": 2}
        made |= {"reward": {"prediction": 1.0}, "render_mode": "rgb_array"}
        envs = SpotSamplingVectorEnv(1, autoreset_mode="Disabled", **made)
        env = SpotSamplingEnv(**made)
        for options in ({"excluded": list(range(9, 25))}, None, {"excluded": [7, 8]}):
            envs.reset(options=options)
            env.reset(options=options)
            for spot in (4, 5):
                paid, alone = envs.step(np.array([spot]))[1], env.step(spot)[1]
                assert paid[0] == pytest.approx(alone, abs=1e-9)
            np.testing.assert_array_equal(envs.render()[0], env.render())

    def test_narrowed_episodes_leave_nothing_behind(self) -> None:
        envs = SpotSamplingVectorEnv(2, slides=SLIDES[:1], reference=REFERENCE, budget=2)
        n_kept = []
        for spot in range(10):
            envs.reset(options={"excluded": [spot]})
            n_kept.append(len(pickle.dumps(envs)))
        assert max(n_kept[2:]) < 1.1 * n_kept[1]

    def test_the_last_observation_outlives_the_step_that_overwrites_the_others(self) -> None:
        last = {}
        for copy in (True, False):
            envs = SpotSamplingVectorEnv(
                2,
                slides=SLIDES[:1],
                reference=REFERENCE,
                budget=2,
                feedback=True,
                autoreset_mode="SameStep",
                copy=copy,
            )
            envs.reset(seed=0)
            envs.step(np.array([4, 5]))
            infos = envs.step(np.array([6, 7]))[-1]
            envs.step(np.array([8, 9]))
            last[copy] = dict(enumerate(infos["final_obs"]))
        assert_same(last[True], last[False])

    def test_pictures_are_those_of_the_single_one(self) -> None:
        made = {"slides": SLIDES[:2], "reference": REFERENCE, "budget": 4}
        envs = SpotSamplingVectorEnv(2, render_mode="rgb_array", **made)
        env = SpotSamplingEnv(render_mode="rgb_array", **made)
        for each in (envs, env):
            each.reset(seed=0, options={"slide": "one"})
        envs.step(np.array([4, 5]))
        env.step(5)
        np.testing.assert_array_equal(envs.render()[1], env.render())
        for options in ({"slide": "two"}, {"slide": "one"}):
            envs.reset(options=options)
            env.reset(options=options)
            np.testing.assert_array_equal(envs.render()[1], env.render())

    def test_it_survives_pickling_in_the_middle_of_an_episode(self) -> None:
        envs = SpotSamplingVectorEnv(2, slides=SLIDES, reference=REFERENCE, budget=4)
        envs.reset(seed=3)
        envs.step(np.array([4, 5]))
        again = pickle.loads(pickle.dumps(envs))  # noqa: S301 - our own bytes
        for _ in range(5):
            actions = envs.action_masks().argmax(axis=1)
            assert_same(envs.step(actions), again.step(actions))


class TestErrors:
    @pytest.fixture
    def envs(self) -> SpotSamplingVectorEnv:
        envs = SpotSamplingVectorEnv(
            2, slides=SLIDES[:1], reference=REFERENCE, budget=1, autoreset_mode="Disabled"
        )
        envs.reset(seed=0)
        return envs

    def test_an_ended_episode_is_reset_by_hand(self, envs: SpotSamplingVectorEnv) -> None:
        envs.step(np.array([4, 5]))
        with pytest.raises(ResetNeeded, match=r"sub-environment 0 is over.*reset_mask"):
            envs.step(np.array([4, 5]))

    def test_the_first_reset_is_of_all(self) -> None:
        envs = SpotSamplingVectorEnv(2, slides=SLIDES[:1], reference=REFERENCE)
        with pytest.raises(ResetNeeded, match="leave out reset_mask"):
            envs.reset(options={"reset_mask": np.array([True, False])})
        with pytest.raises(ResetNeeded, match="reset"):
            envs.step(np.array([0, 0]))

    @pytest.mark.parametrize(
        ("mask", "complaint"),
        [
            (np.array([True]), r"bool of shape \(2,\).*got bool of shape \(1,\)"),
            (np.array([0, 1]), "got int64"),
            (np.array([False, False]), "one sub-environment at least"),
        ],
    )
    def test_a_wrong_reset_mask(
        self, envs: SpotSamplingVectorEnv, mask: Any, complaint: str
    ) -> None:
        with pytest.raises(scr2st_env.InputError, match=complaint):
            envs.reset(options={"reset_mask": mask})

    @pytest.mark.parametrize(
        ("actions", "complaint"),
        [
            ([0], "indices of 2 spots"),
            ([0.0, 1.0], "float64"),
            ([0, 25], r"action 25 of sub-environment 1 is not in 0\.\.24"),
            ([-1, 3], "action -1 of sub-environment 0"),
        ],
    )
    def test_a_wrong_action(
        self, envs: SpotSamplingVectorEnv, actions: Any, complaint: str
    ) -> None:
        with pytest.raises(scr2st_env.InputError, match=complaint):
            envs.step(np.array(actions))

    @pytest.mark.parametrize("seed", [np.int64(3), 3.0, "ab"])
    def test_a_wrong_seed(self, envs: SpotSamplingVectorEnv, seed: Any) -> None:
        with pytest.raises(scr2st_env.InputError, match="Python int or a list of 2"):
            envs.reset(seed=seed)

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            (["slide"], "options must be a dict of .*'reset_mask'.*got list"),
            ({"mask": 1}, "unknown reset option 'mask'; options are .*'reset_mask'"),
        ],
    )
    def test_wrong_options(self, envs: SpotSamplingVectorEnv, options: Any, complaint: str) -> None:
        with pytest.raises(scr2st_env.InputError, match=complaint):
            envs.reset(options=options)

    def test_as_many_seeds_as_sub_environments(self, envs: SpotSamplingVectorEnv) -> None:
        with pytest.raises(scr2st_env.InputError, match="3 seeds for 2"):
            envs.reset(seed=[1, 2, 3])
