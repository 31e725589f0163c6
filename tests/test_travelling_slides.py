"""Slides opened from files travel to workers as the name of their file; others travel whole."""

import copy
import functools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv
from pages import page, python_blocks
from section_files import LARGE, assert_same_bits, atlas, read_directly, section, write

from scr2st_env import CellReference, InputError, Slide


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(section(LARGE, 100), tmp_path / "C2.h5ad")


def test_a_slide_from_a_file_travels_as_its_name(path: Path) -> None:
    slide = Slide.from_anndata(path)
    packed = pickle.dumps(slide)
    assert len(packed) < 1000
    assert pickle.loads(packed) is slide  # noqa: S301 - our own bytes
    assert copy.deepcopy(slide) is slide
    assert copy.copy(slide) is slide


def test_a_slide_made_in_memory_travels_whole(path: Path) -> None:
    for slide in (
        read_directly(path),
        Slide.from_anndata(path).with_features(np.ones((LARGE, 2)), "x"),
    ):
        arrived = pickle.loads(pickle.dumps(slide))  # noqa: S301 - our own bytes
        assert arrived is not slide
        assert arrived.origin is None
        assert_same_bits(arrived, slide)


def test_what_agents_see_has_no_way_to_the_file(path: Path) -> None:
    slide = Slide.from_anndata(path)
    assert str(path).encode() not in pickle.dumps(slide.public)
    assert str(path).encode() not in pickle.dumps(slide.live())


def test_a_slide_whose_file_changed_does_not_arrive(path: Path) -> None:
    packed = pickle.dumps(Slide.from_anndata(path))
    os.utime(path)  # the same content, however new, is welcome
    assert pickle.loads(packed).n_spots == LARGE  # noqa: S301 - our own bytes
    write(section(LARGE, 100, seed=1), path)
    with pytest.raises(InputError, match=r"C2.h5ad changed since the Slide .* was pickled"):
        pickle.loads(packed)  # noqa: S301 - our own bytes
    path.unlink()
    with pytest.raises(InputError, match=r"C2.h5ad does not exist"):
        pickle.loads(packed)  # noqa: S301 - our own bytes


def factories(path: Path, reference: Path) -> list[Callable[[], gymnasium.Env]]:
    options = {"budget": 4, "observation": "compact", "n_states": 5}
    by_name = {"slides": [str(path)], "reference": str(reference)} | options
    by_object = options | {
        "slides": [Slide.from_anndata(path)],
        "reference": CellReference.from_anndata(reference, n_states=5),
    }
    return [
        functools.partial(gymnasium.make, "scr2st_env:SpotSampling-v0", **arguments)
        for arguments in (by_name, by_object)
    ]


def test_a_factory_is_small_whatever_the_size_of_its_slide(path: Path, tmp_path: Path) -> None:
    for make in factories(path, write(atlas(), tmp_path / "atlas.h5ad")):
        packed = pickle.dumps(make)
        assert len(packed) < 2000
        env = pickle.loads(packed)()  # noqa: S301 - our own bytes
        assert len(pickle.dumps(env.spec)) < 4000
        assert env.unwrapped.slides[0] is Slide.from_anndata(path)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_open_the_slide_of_their_parent(path: Path, tmp_path: Path, context: str) -> None:
    by_name, by_object = factories(path, write(atlas(), tmp_path / "atlas.h5ad"))
    alone = by_name()
    first, _ = alone.reset(seed=0)
    second, reward, *_ = alone.step(7)
    workers = AsyncVectorEnv([by_name, by_object], context=context)
    try:
        observation, _ = workers.reset(seed=0)
        np.testing.assert_array_equal(observation["mask"], np.stack([first["mask"]] * 2))
        observation, rewards, *_ = workers.step(np.array([7, 7]))
        np.testing.assert_array_equal(observation["mask"], np.stack([second["mask"]] * 2))
        np.testing.assert_allclose(rewards, reward, atol=1e-12)
    finally:
        workers.close()


def test_the_page_s_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = python_blocks(page("docs/slides.md"))
    assert "[make] * 8" in example
    write(section(), tmp_path / "c2.h5ad")
    write(atlas(120), tmp_path / "atlas.h5ad")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(example.replace("[make] * 8", "[make] * 2"), names)  # noqa: S102
    try:
        observation, _ = names["workers"].reset(seed=0)
        assert observation["mask"].shape == (2, 40)
    finally:
        names["workers"].close()
