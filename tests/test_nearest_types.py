"""Spot types by nearest cells, and the command that chooses how spots are typed and embedded."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from test_embedders import TYPES, atlas, section
from test_scgpt import profiles, write_checkpoint

from scr2st import cli
from scr2st_env import InputError
from scr2st_env.embedders import NearestTypes, PCAEmbedder, TypeComposition
from scr2st_env.embedders.nearest_types import load_types


@pytest.fixture(scope="module")
def embedder() -> PCAEmbedder:
    return PCAEmbedder(5).fit(atlas(), [section(seed=2), section(seed=3)])


@pytest.fixture(scope="module")
def typing(embedder: PCAEmbedder) -> NearestTypes:
    return NearestTypes(embedder, 20).fit(atlas())


def test_shares_follow_the_true_mixture(typing: NearestTypes) -> None:
    slide = section(n_spots=200, seed=5)
    shares = typing.transform(slide)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    for column in range(len(TYPES)):
        assert np.corrcoef(shares[:, column], slide.obsm["truth"][:, column])[0, 1] > 0.7


def test_each_share_is_the_count_of_neighbours_over_the_cells_of_the_type(
    embedder: PCAEmbedder, typing: NearestTypes
) -> None:
    cells, slide = embedder.transform(atlas(), "cells"), section(n_spots=8, seed=5)
    labels = atlas().obs["cell_type"].to_numpy()
    shares = typing.transform(slide)
    for spot, share in zip(embedder.transform(slide), shares, strict=True):
        nearest = np.argsort(np.linalg.norm(cells - spot, axis=1))[:20]
        counts = [(labels[nearest] == name).sum() / (labels == name).sum() for name in TYPES]
        np.testing.assert_allclose(share, counts / np.sum(counts), atol=1e-6)


def test_a_type_of_which_few_cells_were_caught_is_not_drowned(embedder: PCAEmbedder) -> None:
    cells = atlas()
    rare = cells[(cells.obs["cell_type"] != "tumour") | (np.arange(240) < 60)].copy()
    pure = cells[cells.obs["cell_type"] == "tumour"][-20:].copy()
    shares = NearestTypes(embedder, 50).fit(rare).transform(pure)
    assert shares[:, TYPES.index("tumour")].mean() > 0.6


def test_what_was_saved_types_the_same(
    embedder: PCAEmbedder, typing: NearestTypes, tmp_path: Path
) -> None:
    typing.save(tmp_path / "types.safetensors")
    loaded = load_types(tmp_path / "types.safetensors", embedder)
    np.testing.assert_array_equal(loaded.transform(section()), typing.transform(section()))
    TypeComposition(20).fit(atlas()).save(tmp_path / "nnls.safetensors")
    assert isinstance(load_types(tmp_path / "nnls.safetensors", embedder), TypeComposition)


def test_wrong_use_is_refused(embedder: PCAEmbedder) -> None:
    with pytest.raises(InputError, match="n_neighbors must be at least 1"):
        NearestTypes(embedder, 0)
    with pytest.raises(InputError, match="is not fitted"):
        NearestTypes(embedder).transform(section())
    one = atlas()[atlas().obs["cell_type"] == "tumour"]
    with pytest.raises(InputError, match="at least two cell types"):
        NearestTypes(embedder).fit(one)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, seed in (("s1", 1), ("s2", 2)):
        profiles(20, seed).write_h5ad(tmp_path / f"{name}.h5ad")
    profiles(40).write_h5ad(tmp_path / "atlas.h5ad")
    write_checkpoint(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_embedding_with_scgpt_and_nearest_cells_then_again_for_a_later_slide(folder: Path) -> None:
    scgpt = ["--embedder", "scgpt:model", "--types", "nearest", "--components", "4"]
    assert cli.main(["embed", "s1.h5ad", "--reference", "atlas.h5ad", *scgpt, "-o", "e"]) == 0
    assert cli.main(["embed", "s2.h5ad", "--embedder", "e", "-o", "e"]) == 0
    first, later, cells = (
        anndata.read_h5ad(folder / "e" / f"{n}.h5ad") for n in ("s1", "s2", "atlas")
    )
    assert first.obsm["X_cell"].shape == (20, 4)
    assert first.uns["X_cell_space"] == later.uns["X_cell_space"] == cells.uns["X_cell_space"]
    assert list(later.uns["X_type_names"]) == ["a", "b"]
    np.testing.assert_allclose(later.obsm["X_type"].sum(axis=1), 1, atol=1e-6)
    assert cli.main(["info", "e/embedder.safetensors"]) == 0
    moved = folder / "elsewhere"
    (folder / "model").rename(moved)
    assert cli.main(["embed", "s2.h5ad", "--embedder", "e", "-o", "f"]) == cli.WRONG_INPUT


@pytest.mark.usefixtures("folder")
def test_a_name_needs_a_reference_and_a_folder_needs_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["embed", "s1.h5ad", "--embedder", "scgpt:model"]) == cli.WRONG_INPUT
    assert "name the single-cell atlas with --reference" in " ".join(
        capsys.readouterr().err.split()
    )
    wrong = ["embed", "s1.h5ad", "--embedder", "somewhere", "--reference", "atlas.h5ad"]
    assert cli.main(wrong) == cli.WRONG_INPUT
    assert "is fitted already" in " ".join(capsys.readouterr().err.split())
