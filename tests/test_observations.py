"""The three observation modes show the same episode."""

import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from episodes import MODES, make, play
from hypothesis import given, settings
from hypothesis import strategies as st

from scr2st_env import CellReference, SpotSamplingEnv


def test_a_slide_without_an_image_has_no_features(reference: CellReference) -> None:
    env = make([toy_slide(n_features=0)], reference)
    assert "features" not in env.observation_space.spaces


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_spaces_are_what_is_written(reference: CellReference, mode: str, feedback: bool) -> None:
    slides = [toy_slide("one", 4, 1), toy_slide("two", 3, 2)]
    env = make(slides, reference, observation=mode, feedback=feedback, budget=1.0)
    for seed in range(4):
        for step in play(env, seed=seed):
            assert set(step[0]) == set(env.observation_space.spaces)
            assert env.observation_space.contains(step[0])


SLIDES = [toy_slide("one", 5, 1), toy_slide("two", 4, 2)]
REFERENCE = toy_reference()


@settings(deadline=None, max_examples=60)
@given(
    index=st.integers(0, 1),
    actions=st.lists(st.integers(0, 24), min_size=10, max_size=10),
    budget=st.integers(1, 10),
    round_size=st.integers(1, 5),
    initial=st.sets(st.integers(0, 15), max_size=3),
    excluded=st.sets(st.integers(0, 15), max_size=3),
)
def test_the_modes_say_the_same(
    index: int,
    actions: list[int],
    budget: int,
    round_size: int,
    initial: set[int],
    excluded: set[int],
) -> None:
    slide, shut = SLIDES[index], excluded - initial
    full, compact, picks = (
        play(
            SpotSamplingEnv(
                SLIDES,
                REFERENCE,
                observation=mode,
                feedback=True,
                budget=budget,
                round_size=round_size,
                initial={slide.name: sorted(initial)},
                excluded={slide.name: sorted(shut)},
            ),
            iter(actions),
            options={"slide": slide.name},
        )
        for mode in MODES
    )
    for (seen, *rest), (short, *short_rest), (shortest, *shortest_rest) in zip(
        full, compact, picks, strict=True
    ):
        assert rest[:-1] == short_rest[:-1] == shortest_rest[:-1]
        assert short["slide"] == shortest["slide"] == index
        np.testing.assert_array_equal(short["picks"], shortest["picks"])
        np.testing.assert_array_equal(short["measured"], shortest["measured"])
        for key in ("remaining", "round"):
            assert seen[key] == short[key] == shortest[key]
        for key in ("mask", "available"):
            np.testing.assert_array_equal(short[key], seen[key])

        bought = short["picks"][short["picks"] >= 0]
        assert sorted(bought) == np.flatnonzero(seen["mask"]).tolist()
        can_be_bought = np.arange(25) < slide.n_spots
        can_be_bought[[*shut, *bought]] = False
        np.testing.assert_array_equal(seen["available"], can_be_bought)
        np.testing.assert_array_equal(short["measured"][: len(bought)], seen["measured"][bought])
        assert not short["measured"][len(bought) :].any()
        back = np.flatnonzero(seen["returned"])
        np.testing.assert_array_equal(seen["measured"][back], slide.hidden.embedding[back])
        assert not np.delete(seen["measured"], back, axis=0).any()
