"""The picture shows the tissue, what was bought, and in which order."""

import importlib.util
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_slide

from scr2st_env import CellReference, Slide, SpotSamplingEnv
from scr2st_env.slide import SlideImage


def pictured(slide: Slide) -> Slide:
    """The slide with an image: red on its left half, blue on its right one."""
    pixels = np.zeros((90, 90, 3), np.uint8)
    pixels[:, :40, 0] = 255
    pixels[:, 40:, 2] = 255
    return Slide.make(
        slide.name, slide.public.coordinates, image=SlideImage(pixels, scale=0.1), pitch=100
    )


def environment(
    slide: Slide, reference: CellReference | None = None, **options: Any
) -> SpotSamplingEnv:
    return SpotSamplingEnv([slide], reference, render_mode="rgb_array", **options)


def test_has_one_size_and_type(slide: Slide, reference: CellReference) -> None:
    for each in (slide, toy_slide(side=3), toy_slide(n_features=0), pictured(slide).live()):
        env = environment(each, reference, budget=2)
        env.reset()
        picture = env.render()
        assert picture.shape == (664, 640, 3)
        assert picture.dtype == np.uint8


def test_shows_each_purchase_where_it_lies_and_nothing_else(slide: Slide) -> None:
    env = environment(slide.live(), budget=20)
    env.reset()
    before = env.render()
    env.step(0)  # the upper left corner
    after = env.render()
    changed = np.argwhere((before[:640] != after[:640]).any(axis=2))
    assert len(changed) > 100
    assert (changed < 320).all()
    env.step(63)  # the lower right one
    changed = np.argwhere((after[:640] != env.render()[:640]).any(axis=2))
    assert (changed > 320).all()


def test_says_in_words_how_far_the_episode_is(slide: Slide) -> None:
    env = environment(slide.live(), budget=20)
    env.reset()
    env.step(0)
    before = env.render()
    env.step(0)  # wasted: no spot changes, the line of text does
    after = env.render()
    assert np.array_equal(before[:640], after[:640])
    assert not np.array_equal(before[640:], after[640:])


def test_order_shows_as_brightness(slide: Slide) -> None:
    env = environment(slide.live(), budget=3)
    env.reset()
    colours = []
    for spot in (18, 36, 45):
        before = env.render()
        env.step(spot)
        after = env.render()
        fresh = after[:640][(before[:640] != after[:640]).any(axis=2)]
        colours.append(np.median(fresh, axis=0).sum())
    assert colours == sorted(colours)
    assert colours[0] < colours[2] / 2


def test_spots_that_cannot_be_bought_are_dimmed(slide: Slide) -> None:
    open_slide, closed = (
        environment(slide.live()),
        environment(slide.live(), excluded={"toy": range(32)}),
    )
    pictures = []
    for env in (open_slide, closed):
        env.reset()
        pictures.append(env.render()[:640].astype(int))
    inked = [(picture < 250).any(axis=2).mean() for picture in pictures]
    assert inked[1] < 0.7 * inked[0]
    colourfulness = [np.ptp(picture[60:300], axis=2).sum() for picture in pictures]
    assert colourfulness[1] == 0 < colourfulness[0]
    assert np.array_equal(pictures[0][340:], pictures[1][340:])


def test_lays_the_tissue_under_its_spots(slide: Slide) -> None:
    env = environment(pictured(slide))
    env.reset()
    picture = env.render()[:640].astype(int)
    is_red, is_blue = picture[..., 0] > 200, picture[..., 2] > 200
    left = (is_red & ~is_blue)[100:540, 100:300].mean()
    right = (is_blue & ~is_red)[100:540, 400:560].mean()
    assert left > 0.6
    assert right > 0.6


def test_each_frame_is_its_own_memory(slide: Slide) -> None:
    env = environment(slide.live())
    env.reset()
    first = env.render()
    kept = first.copy()
    env.step(5)
    env.render()
    assert np.array_equal(first, kept)


def test_is_fast() -> None:
    env = environment(toy_slide(side=25).live(), budget=100)
    env.reset()
    env.render()
    seconds = []
    for spot in range(40):
        env.step(spot)
        start = time.perf_counter()
        env.render()
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 0.02  # half a millisecond on an idle core


def test_without_a_render_mode_warns(slide: Slide) -> None:
    env = SpotSamplingEnv([slide.live()])
    env.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_frames_can_be_collected_by_wrappers(slide: Slide) -> None:
    env = gym.wrappers.RenderCollection(
        gym.make("SpotSampling-v0", slides=[slide.live()], budget=4, render_mode="rgb_array")
    )
    env.reset()
    for spot in range(4):
        env.step(spot)
    assert len(env.render()) == 5


@pytest.mark.skipif(importlib.util.find_spec("moviepy") is None, reason="moviepy writes the video")
def test_a_video_can_be_recorded(slide: Slide, tmp_path: Path) -> None:
    env = gym.make("SpotSampling-v0", slides=[slide.live()], budget=4, render_mode="rgb_array")
    env = gym.wrappers.RecordVideo(env, str(tmp_path))
    env.reset()
    for spot in range(4):
        env.step(spot)
    env.close()
    assert list(tmp_path.glob("*.mp4"))
