"""The picture shows the tissue, the purchases in order, the round, coverage and what is left."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scr2st_env import Slide, SpotSamplingEnv
from scr2st_env.envs.rendering import SlidePicture
from scr2st_env.envs.rendering.colours import fogged, order_colours
from scr2st_env.envs.rendering.tissue import spot_colours
from scr2st_env.rewards.density import reach
from scr2st_env.slide import SlideImage

SIZE = (640, 864, 3)
TISSUE = np.s_[:, :640]
PANEL_BUDGET, PANEL_ROUND, PANEL_REACH, PANEL_LEGEND = (
    np.s_[60:200, 640:],
    np.s_[205:310, 640:],
    np.s_[310:390, 640:],
    np.s_[390:, 640:],
)
FREE = {"density": 1.0, "states": 0.0, "types": 0.0}


def environment(slide: Slide, **options: Any) -> SpotSamplingEnv:
    return SpotSamplingEnv([slide], reward=FREE, render_mode="rgb_array", **options)


def started(slide: Slide, **options: Any) -> SpotSamplingEnv:
    env = environment(slide, **options)
    env.reset()
    return env


def pictured(side: int = 8) -> Slide:
    """A lattice under an image, red on its left half and blue on its right one."""
    pixels = np.zeros((90, 90, 3), np.uint8)
    pixels[:, :40, 0] = 255
    pixels[:, 40:, 2] = 255
    coordinates = toy_slide(side=side).public.coordinates
    return Slide.make("toy", coordinates, image=SlideImage(pixels, scale=0.1), pitch=100)


def spots_of(slide: Slide) -> NDArray[np.int64]:
    """Pixel (x, y) of each spot of the 8 x 8 lattice, which is centred in the square."""
    scale = (640 - 2 * 26) / (8 * slide.public.pitch)
    return np.rint((slide.public.coordinates - 350) * scale + 320).astype(int)


def differ(one: NDArray[np.uint8], other: NDArray[np.uint8], part: Any = TISSUE) -> int:
    return int((one[part] != other[part]).any(axis=2).sum())


@pytest.mark.parametrize(
    "slide",
    [
        toy_slide(),
        toy_slide(side=3),
        toy_slide(n_features=0),
        pictured(),
        Slide.make("one spot", [[5, 5]]),
        Slide.make("on a line", [[0, 0], [0, 1], [0, 2]]),
        Slide.make("a name that is much too long for the panel", [[0, 0], [9, 1]]),
    ],
    ids=lambda slide: slide.name,
)
def test_has_one_size_and_type_on_every_slide(slide: Slide) -> None:
    env = started(slide, budget=1)
    for _ in range(2):
        picture = env.render()
        assert picture.shape == SIZE
        assert picture.dtype == np.uint8
        if not env.purchases:
            env.step(0)


def test_a_purchase_lights_up_its_surroundings_and_nothing_else(slide: Slide) -> None:
    env = started(slide.live(), budget=20)
    before = env.render()
    env.step(0)  # the upper left corner
    after = env.render()
    changed = np.argwhere((before[TISSUE] != after[TISSUE]).any(axis=2))
    assert len(changed) > 1000
    assert (changed < 320).all()
    assert differ(before, after, PANEL_LEGEND) == 0


def test_tissue_is_grey_until_it_is_within_reach(slide: Slide) -> None:
    env = started(slide.live(), budget=20)  # reach: one pitch
    env.step(27)
    picture = env.render()
    colours = spot_colours(slide.public)
    for spot, (x, y) in enumerate(spots_of(slide)):
        if spot != 27:
            is_near = spot in (26, 28, 19, 35)
            expected = colours[spot] if is_near else fogged(np.rint(colours[spot]))
            assert np.abs(picture[y, x] - expected).max() <= 1, spot


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_what_is_lit_is_what_the_density_term_counts(data: st.DataObject) -> None:
    slide = toy_slide()
    budget, round_size = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 4))
    actions = data.draw(st.lists(st.integers(0, 63), min_size=1, max_size=budget))
    env = started(slide, budget=budget, round_size=round_size)
    paid = sum(env.step(action)[1] for action in actions)
    n_back = len(actions) if len(actions) == budget else len(actions) // round_size * round_size
    xy = slide.public.coordinates
    distance = np.hypot(*(xy[:, None] - xy[actions[:n_back]]).transpose(2, 0, 1))
    is_in_reach = (distance <= 1.001 * reach(slide.public, budget)).any(axis=1)
    assert paid == pytest.approx(is_in_reach.mean())
    picture, colours = env.render(), spot_colours(slide.public)
    for spot, (x, y) in enumerate(spots_of(slide)):
        if spot not in env.purchases:
            is_lit = np.abs(picture[y, x] - colours[spot]).max() <= 1
            assert is_lit == is_in_reach[spot]


def test_pending_spots_are_rings_until_their_round_is_back(slide: Slide) -> None:
    env = started(slide.live(), budget=4, round_size=2)
    places = spots_of(slide)
    env.step(9)
    x, y = places[9]
    assert (env.render()[y, x] == 255).all()  # white within the ring
    surroundings = env.render()[spots_of(slide)[10][1], spots_of(slide)[10][0]]
    env.step(54)
    picture = env.render()
    assert np.array_equal(picture[y, x], np.rint(order_colours(0.0)))
    x, y = places[10]
    assert not np.array_equal(picture[y, x], surroundings)  # lit now


def test_order_shows_as_brightness(slide: Slide) -> None:
    env = started(slide.live(), budget=3)
    for spot in (18, 36, 45):
        env.step(spot)
    picture = env.render().astype(int)
    brightness = [picture[y, x].sum() for x, y in spots_of(slide)[[18, 36, 45]]]
    assert brightness == sorted(brightness)
    assert brightness[0] < brightness[2] / 2


def test_the_scale_of_colours_grows_lighter_all_the_way() -> None:
    lightness = order_colours(np.linspace(0, 1, 50)) @ (0.299, 0.587, 0.114)
    assert (np.diff(lightness) > 1).all()


def test_the_latest_purchase_has_a_ring(slide: Slide) -> None:
    env = started(slide.live(), budget=9)
    env.step(18)
    first = env.render()
    env.step(45)
    second = env.render()
    x, y = spots_of(slide)[18]
    near = np.s_[y - 35 : y + 36, x - 35 : x + 36]
    assert differ(first, second, near) > 200


def test_budget_and_waste_show_beside_the_tissue(slide: Slide) -> None:
    env = started(slide.live(), budget=20)
    env.step(0)
    before = env.render()
    env.step(0)  # wasted
    after = env.render()
    assert differ(before, after) == 0
    assert differ(before, after, PANEL_BUDGET) > 50
    assert differ(before, after, PANEL_REACH) == 0


def test_the_panel_shows_the_round_and_the_reach(slide: Slide) -> None:
    env = started(slide.live(), budget=6, round_size=3)
    frames = [env.render()]
    for spot in (0, 27, 62):
        env.step(spot)
        frames.append(env.render())
    assert all(differ(a, b, PANEL_ROUND) for a, b in pairwise(frames))
    assert differ(frames[0], frames[2], PANEL_REACH) == 0  # the round is not back
    assert differ(frames[2], frames[3], PANEL_REACH) > 50
    assert differ(frames[0], frames[3], PANEL_LEGEND) == 0


def test_the_budget_bar_is_as_full_as_the_budget_is_spent(slide: Slide) -> None:
    env = started(slide.live(), budget=10)
    bar = np.s_[125, 656:848]
    widths = []
    for spot in range(10):
        env.step(spot)
        saturation = np.ptp(env.render()[bar].astype(int), axis=1)
        widths.append(int((saturation > 75).sum()))
    assert np.allclose(widths, np.arange(1, 11) * 19.2, atol=3)


def test_spots_that_cannot_be_bought_are_crossed_out(slide: Slide) -> None:
    open_env = started(slide.live())
    closed_env = started(slide.live(), excluded={"toy": range(32)})
    one, other = open_env.render(), closed_env.render()
    assert differ(one, other, np.s_[:300, :640]) > 32 * 100
    assert differ(one, other, np.s_[330:, :640]) == 0
    assert differ(one, other, PANEL_LEGEND) > 0


def test_initial_spots_are_white_diamonds_and_light_up_their_surroundings(slide: Slide) -> None:
    env = started(slide.live(), initial={"toy": [27]})
    x, y = spots_of(slide)[27]
    plain, picture = started(slide.live()).render(), env.render()
    assert (picture[y - 4 : y + 5, x - 4 : x + 5] == 255).all()
    assert differ(plain, picture) > 3000


def test_lays_the_tissue_under_its_spots() -> None:
    env = started(pictured(), budget=64)
    for spot in range(64):
        env.step(spot)
    picture = env.render()[TISSUE].astype(int)
    is_red, is_blue = picture[..., 0] > 200, picture[..., 2] > 200
    assert (is_red & ~is_blue)[60:580, 60:330].mean() > 0.5
    assert (is_blue & ~is_red)[60:580, 380:580].mean() > 0.5


def test_an_image_beside_its_spots_leaves_paper() -> None:
    far = Slide.make(
        "far", [[1e5, 1e5], [1e5, 1e5 + 100]], image=SlideImage(np.zeros((9, 9, 3), np.uint8), 1)
    )
    assert (started(far, budget=1).render()[0, :640] == 250).all()


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_a_frame_follows_from_the_ledger_and_not_from_the_frames_before(
    data: st.DataObject,
) -> None:
    slide = toy_slide().live()
    options = {
        "budget": data.draw(st.integers(1, 20)),
        "round_size": data.draw(st.integers(1, 5)),
        "initial": {"toy": data.draw(st.lists(st.integers(0, 9), max_size=3))},
        "excluded": {"toy": data.draw(st.lists(st.integers(10, 20), max_size=5))},
    }
    actions = data.draw(st.lists(st.integers(0, 63), max_size=options["budget"]))
    watched, unwatched = started(slide, **options), started(slide, **options)
    for action in actions:
        watched.render()
        watched.step(action)
        unwatched.step(action)
    assert np.array_equal(watched.render(), unwatched.render())
    assert np.array_equal(watched.render(), watched.render())


@given(seed=st.integers(0, 2**16), n_bought=st.integers(0, 8))
@settings(max_examples=6, deadline=None)
def test_a_picture_does_not_depend_on_what_is_hidden(seed: int, n_bought: int) -> None:
    slide = toy_slide()
    rng = np.random.default_rng(seed)
    other = Slide.make(
        "toy",
        slide.public.coordinates,
        features=slide.public.features,
        counts=rng.poisson(3, (64, 5)) + 1,
        genes=list("abcde"),
        patient=slide.patient,
        encoder="toy",
    )
    envs = [started(each, budget=8, round_size=3) for each in (slide, other, slide.live())]
    for spot in range(n_bought):
        for env in envs:
            env.step(7 * spot)
    first, *rest = (env.render() for env in envs)
    assert all(np.array_equal(first, each) for each in rest)


def test_one_picture_serves_several_episodes_on_its_slide(slide: Slide) -> None:
    one, other = started(slide.live(), budget=9), started(slide.live(), budget=9)
    for env, spots in ((one, (3, 60)), (other, (60, 3, 33))):
        for spot in spots:
            env.step(spot)
    setting = one.rules.settings[0]
    picture = SlidePicture(
        setting.slide.public, setting.purchasable, setting.initial, setting.budget
    )
    for env in (one, other, one):
        assert np.array_equal(picture.draw(env._playing()), env.render())


def test_each_frame_is_its_own_memory(slide: Slide) -> None:
    env = started(slide.live())
    first = env.render()
    kept = first.copy()
    env.step(5)
    env.render()
    assert np.array_equal(first, kept)


def test_the_next_episode_begins_in_the_dark(slide: Slide) -> None:
    env = started(slide.live(), budget=3)
    dark = env.render()
    env.step(5)
    assert differ(dark, env.render()) > 0
    env.reset()
    assert np.array_equal(dark, env.render())


def test_real_tissue_is_pictured_from_its_file(real_data: Path) -> None:
    env = SpotSamplingEnv(
        [real_data / "her2st" / "B4.h5ad"],
        budget=0.1,
        features=None,
        embedding=None,
        types=None,
        reward=FREE,
        render_mode="rgb_array",
    )
    env.reset()
    before = env.render()
    assert before.shape == SIZE
    env.step(int(np.flatnonzero(env.action_masks())[100]))
    assert differ(before, env.render()) > 1000


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


def test_a_video_can_be_recorded(slide: Slide, tmp_path: Path) -> None:
    env = gym.make("SpotSampling-v0", slides=[slide.live()], budget=4, render_mode="rgb_array")
    env = gym.wrappers.RecordVideo(env, str(tmp_path))
    env.reset()
    for spot in range(4):
        env.step(spot)
    env.close()
    assert list(tmp_path.glob("*.mp4"))
