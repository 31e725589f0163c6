"""Environments on files: one copy per process, and specs that survive JSON."""

import gc
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_slide
from episodes import MODES, make, play, same
from gymnasium.envs.registration import EnvSpec

from scr2st_env import CellReference, InputError, RewardWeights, Slide


def as_anndata(slide: Slide) -> anndata.AnnData:
    adata = anndata.AnnData(slide.hidden.counts)
    adata.var_names = slide.hidden.genes
    adata.obsm["spatial"] = slide.public.coordinates
    adata.obsm["X_patch"] = slide.public.features
    adata.obsm["X_cell"] = slide.hidden.embedding
    adata.obsm["X_type"] = slide.hidden.types
    adata.uns["X_type_names"] = list(slide.hidden.type_names)
    adata.uns["spatial"] = {slide.name: {}}
    return adata


def written(slide: Slide, folder: Path) -> str:
    path = folder / f"{slide.name}.h5ad"
    as_anndata(slide).write_h5ad(path)
    return str(path)


def written_reference(reference: CellReference, folder: Path) -> str:
    cells = anndata.AnnData(np.ones((120, 2), np.float32))
    cells.obsm["X_cell"] = reference.embedding
    cells.obs["cell_type"] = [reference.type_names[code] for code in reference.cell_types]
    cells.write_h5ad(folder / "atlas.h5ad")
    return str(folder / "atlas.h5ad")


@dataclass(frozen=True)
class Files:
    slides: list[str]
    reference: str


@pytest.fixture
def files(slides: list[Slide], reference: CellReference, tmp_path: Path) -> Files:
    return Files(
        [written(slide, tmp_path) for slide in slides], written_reference(reference, tmp_path)
    )


def assert_same_episodes(one: gym.Env[Any, Any], other: gym.Env[Any, Any]) -> None:
    for seed in (4, 5):
        for transition, twin in zip(play(one, seed=seed), play(other, seed=seed), strict=True):
            assert same(transition, twin)


class TestSpec:
    """``env.spec`` says in JSON how to make the same environment again."""

    @pytest.mark.parametrize("mode", MODES)
    def test_of_the_embedded_tissue(self, mode: str) -> None:
        env = gym.make("SpotSampling-v0", observation=mode, reward={"hard_states": 1.0}, budget=9)
        assert_same_episodes(env, gym.make(EnvSpec.from_json(env.spec.to_json())))

    @pytest.mark.parametrize("path", [str, Path])
    @pytest.mark.parametrize("reward", [{"density": 2.0}, RewardWeights(types=0), "released"])
    def test_of_files(self, files: Files, path: Callable[[str], Any], reward: Any) -> None:
        env = make(
            [path(slide) for slide in files.slides],
            path(files.reference),
            n_states=10,
            reward=reward,
            feedback=True,
            round_size=2,
            excluded={"two": [1, 2]},
            initial={"one": [3]},
        )
        assert_same_episodes(env, gym.make(EnvSpec.from_json(env.spec.to_json())))

    @pytest.mark.parametrize("spots", [[1, 2], (1, 2), range(1, 3), np.array([1, 2])])
    def test_with_spots_in_any_form(self, files: Files, spots: Any) -> None:
        env = make(files.slides, files.reference, n_states=10, excluded={"two": spots})
        assert_same_episodes(env, gym.make(EnvSpec.from_json(env.spec.to_json())))

    def test_of_wrappers_too(self, files: Files) -> None:
        env = gym.wrappers.TimeLimit(make(files.slides, files.reference, n_states=10), 3)
        again = gym.make(EnvSpec.from_json(env.spec.to_json()))
        again.reset()
        assert [again.step(spot)[3] for spot in range(3)] == [False, False, True]


class TestForms:
    @pytest.mark.parametrize("mode", MODES)
    def test_paths_anndata_and_slides_make_one_environment(
        self, slides: list[Slide], files: Files, mode: str
    ) -> None:
        forms: Mapping[str, tuple[list[Any], Any]] = {
            "str": (list(files.slides), files.reference),
            "Path": ([Path(slide) for slide in files.slides], Path(files.reference)),
            "AnnData": (
                [as_anndata(slide) for slide in slides],
                anndata.read_h5ad(files.reference),
            ),
            "objects": (
                [Slide.from_anndata(slide) for slide in files.slides],
                CellReference.from_anndata(files.reference, n_states=10),
            ),
        }
        first, *others = [
            make(*sources, observation=mode, n_states=10, feedback=True)
            for sources in forms.values()
        ]
        for other in others:
            assert other.observation_space == first.observation_space
            assert_same_episodes(first, other)

    def test_a_file_outlives_its_environment_so_that_its_tables_are_made_once(
        self, files: Files
    ) -> None:
        env = make(files.slides, files.reference, n_states=10).unwrapped
        held = [weakref.ref(env.slides[0]), weakref.ref(env.rules.settings[0].reference)]
        del env
        gc.collect()
        assert all(each() is not None for each in held)

    def test_environments_on_the_same_files_share_them_until_a_file_changes(
        self, slide: Slide, reference: CellReference, tmp_path: Path, monkeypatch: Any
    ) -> None:
        path, atlas = written(slide, tmp_path), written_reference(reference, tmp_path)
        first = make([path], atlas, n_states=10).unwrapped
        again = make([Path(path)], Path(atlas), n_states=10, budget=5).unwrapped
        assert again.slides[0] is first.slides[0]
        references = [env.rules.settings[0].reference for env in (first, again)]
        assert references[0] is references[1]
        assert make([path], atlas, n_states=9).unwrapped.rules.settings[0].reference.n_states == 9
        bare = make([path], atlas, n_states=10, features=None).unwrapped.slides[0]
        assert bare.public.n_features == 0
        renamed = tmp_path / "renamed.h5ad"
        renamed.symlink_to(path)
        assert make([str(renamed)], reference).unwrapped.slides[0].name == "renamed"
        monkeypatch.chdir(tmp_path)
        assert make(["toy.h5ad"], reference).unwrapped.slides[0].n_spots == 64

        written(toy_slide(seed=3), tmp_path)
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
        path = written(slide, tmp_path)
        with pytest.raises(InputError, match=r"toy.h5ad.*obsm\['X_uni'\]"):
            make([path], reference, features="X_uni")
        env = make([path], reference, features=None)
        assert "features" not in env.observation_space.spaces
