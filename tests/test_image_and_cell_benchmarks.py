"""What a trained encoder is worth, and how well spots are typed: the commands that measure it."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from pages import page, table
from scipy import sparse
from test_patches import write_patches

from benchmarks import encoders
from benchmarks.encoders import score
from benchmarks.her2st import load_sections
from benchmarks.spot_types import GIVEN, SAME, agreement, correlation
from scr2st_env.encoders import get_encoder, train_encoder
from scr2st_env.encoders.pathology import PATHOLOGY_MODELS


def test_features_of_a_section_carry_the_full_name_of_their_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCR2ST_DATA", str(tmp_path))
    monkeypatch.setenv("SCR2ST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "her2st" / "patches").mkdir(parents=True)
    patches = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    path = str(tmp_path / "mine.safetensors")
    trained = train_encoder(patches, path, epochs=0, side=32, widths=(4, 6), device="cpu")
    labels = {"one": 30, "two": 200}
    write_patches(tmp_path / "her2st" / "patches" / "C2.npz", labels)
    AnnData(sparse.csr_matrix(np.ones((2, 3))), obs=pd.DataFrame(index=list(labels))).write_h5ad(
        tmp_path / "her2st" / "C2.h5ad"
    )
    section = load_sections(["C2"], encoder=path)["C2"]
    assert section.uns["X_patch_encoder"] == trained.name
    assert section.obsm["X_patch"].shape == (2, 6)
    assert "X_patch" not in load_sections(["C2"])["C2"].obsm


def test_features_that_tell_expression_score_high_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    loads = rng.normal(size=(4, 30))
    hidden = {name: rng.normal(size=(150, 4)) for name in "abc"}
    genes = [f"g{index}" for index in range(30)]
    expression = {
        name: (3 + values @ loads + rng.normal(size=(150, 30)), genes[:])
        for name, values in hidden.items()
    }
    noise = {name: rng.normal(size=(150, 4)) for name in "abc"}
    assert score(hidden, expression, ["a", "b"], "c") > 0.7
    assert abs(score(noise, expression, ["a", "b"], "c")) < 0.15


def test_genes_are_matched_by_name_and_constant_ones_score_nothing() -> None:
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(60, 2)) for name in "ab"}
    first = (features["a"] @ np.array([[1.0, 0], [0, 1]]) + 5, ["x", "y"])
    second = (features["b"] @ np.array([[0, 1.0], [1, 0]]) + 5, ["y", "x"])
    assert score(features, {"a": first, "b": second}, ["a"], "b") > 0.99
    flat = (np.column_stack([second[0][:, 0], np.full(60, 2.0)]), ["y", "x"])
    assert score(features, {"a": first, "b": flat}, ["a"], "b") == pytest.approx(0.5, abs=0.01)


def test_agreement_is_the_correlation_of_each_type_over_measured_spots() -> None:
    rng = np.random.default_rng(0)
    names = tuple(sorted(each for alike in SAME.values() for each in alike))
    shares = rng.dirichlet(np.ones(len(names)), 40)
    given = {
        kind: shares[:, [names.index(each) for each in alike]].sum(axis=1)
        for kind, alike in SAME.items()
    }
    given["T-cells"] = -given["T-cells"]
    counts = np.ones((40, 3))
    counts[0] = 0
    given["PVL"][0] = 1e6  # an unmeasured spot says nothing
    labels = [f"s{index}" for index in range(40)]
    section = AnnData(sparse.csr_matrix(counts), obs=pd.DataFrame(index=labels))
    section.obsm[GIVEN] = pd.DataFrame(given, index=labels)
    scores = agreement(SimpleNamespace(type_names=names, transform=lambda _: shares), section)
    expected = dict.fromkeys(SAME, 1.0) | {"T-cells": -1.0}
    assert scores == pytest.approx(expected, abs=1e-6)
    assert correlation(np.ones(3), np.arange(3.0)) == 0.0


def test_the_page_names_every_pathology_model_with_its_repository_and_width() -> None:
    text = page("docs/encoders.md")
    rows = {
        name: row for row in table(text, "name") for name in re.findall(r"`([^`]+)`", row["name"])
    }
    assert int(rows[["", "histology-v1", " (default)"][1]]["D"]) == get_encoder("histology-v1").dim
    for name, model in PATHOLOGY_MODELS.items():
        assert model.repository.split("/")[0] in rows[name]["what"]
        assert str(model.dim) in rows[name]["D"]
        if model.library != "transformers" or name == "phikon":
            assert rows[name]["input"] == str(model.side)


def test_the_page_on_embedders_lists_every_type_that_is_compared() -> None:
    names = {row["type"].strip("*") for row in table(page("docs/embedders.md"), "type")}
    assert names == {*SAME, "mean over types"}


def test_the_command_scores_every_encoder_and_the_two_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)

    def sections(names: tuple[str, ...]) -> dict[str, AnnData]:
        return {name: AnnData(sparse.csr_matrix(rng.poisson(3.0, (8, 12)))) for name in names}

    monkeypatch.setattr(encoders, "data_folder", lambda: tmp_path)
    monkeypatch.setattr(encoders, "load_sections", sections)
    monkeypatch.setattr(
        encoders, "patches_of", lambda *_: rng.integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
    )
    monkeypatch.setenv("COLUMNS", "160")
    encoders.main(epochs=1, seeds=1, jobs=1)
    shown = capsys.readouterr().out
    for label in ("histology-v1 ", "random, seed 0", "trained, seed 0", "histology-v1 and trained"):
        assert label in shown
    assert "419" in shown  # 163 and 256 features
