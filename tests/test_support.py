"""What stands behind a prediction: measured spots, spots of a cohort, and reference cells."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_predictors import N_FEATURES, N_GENES, tissue, toy_cohort

from predictor import Cohort, ReferenceCells, SCR2Net
from scr2st_env import InputError

GENES = [f"g{index}" for index in range(N_GENES)]
SPOTS = [f"spot{index}" for index in range(30)]
TYPES = ["stroma", "tumour", "immune"]
QUICK = {"width": 16, "epochs": 3, "device": "cpu"}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def named(n_measured: int = 30, **options: Any) -> tuple[SCR2Net, tuple[Any, ...]]:
    features, expression, places, types = tissue(80)
    model = SCR2Net(**QUICK | options).fit(
        pd.DataFrame(features[:n_measured], SPOTS[:n_measured]),
        pd.DataFrame(expression[:n_measured], columns=GENES),
        coordinates=places[:n_measured],
        cell_types=pd.DataFrame(types[:n_measured], columns=TYPES),
    )
    return model, (features, expression, places, types)


def cells_like(expression: Any, labels: Any, genes: list[str] = GENES) -> ReferenceCells:
    return ReferenceCells(expression, labels, genes, [f"cell{row}" for row in range(len(labels))])


def test_a_row_of_the_table_is_one_neighbour_of_one_query() -> None:
    model, (features, *_, types) = named(n_neighbors=7)
    found = model.retrieve(features[40:45])
    table = found.table()
    assert table.columns.tolist() == [
        "query", "rank", "source", "index", "name", "type", "similarity", "weight", "kept",
    ]  # fmt: skip
    assert len(table) == 5 * 7
    assert (table["source"] == "measured").all()
    assert (table["name"] == np.array(SPOTS)[table["index"]]).all()
    expected = np.array(TYPES)[types[:30].argmax(axis=1)]
    assert (table["type"] == expected[table["index"]]).all()
    for _, rows in table.groupby("query"):
        assert rows["similarity"].is_monotonic_decreasing
        assert rows["weight"].sum() == pytest.approx(1, abs=1e-5)
        assert (rows["weight"][~rows["kept"]] == 0).all()
        assert rows["type"][rows["kept"]].nunique() <= 2


def test_similarity_is_the_cosine_that_the_weights_follow() -> None:
    model, (features, *_) = named(n_neighbors=7, n_types=None)
    found = model.retrieve(features)
    expected = np.exp(found.similarity / model.retrieval_temperature)
    np.testing.assert_allclose(
        found.weights, expected / expected.sum(axis=1, keepdims=True), atol=1e-4
    )
    assert np.abs(found.similarity).max() <= 1 + 1e-5


def test_with_few_measured_spots_the_cohort_supports_and_is_named() -> None:
    features, expression, *_ = tissue(10)
    cohort = toy_cohort()
    slides = np.array(["a", "b", "c"])[np.asarray(cohort.groups)]
    cohort = Cohort(cohort.features, cohort.expression, None, slides)
    model = SCR2Net(**QUICK).fit(features[:2], expression[:2], cohort=cohort)
    found = model.retrieve(features)
    for index, name, slide in zip(
        found.indices.ravel(), found.names.ravel(), found.slides.ravel(), strict=True
    ):
        own = index < model.n_measured_
        assert slide == ("" if own else slides[index - 2])
        assert name == str(index if own else index - 2)
    assert set(found.table()["source"]) <= {"measured", "a", "b", "c"}


def test_types_without_names_are_numbers_and_absent_types_are_blank() -> None:
    features, expression, _, types = tissue(30)
    model = SCR2Net(**QUICK).fit(features, expression, cell_types=types)
    assert set(model.retrieve(features).types.ravel()) <= {"0", "1", "2"}
    labels = np.array(TYPES)[types.argmax(axis=1)]
    model = SCR2Net(**QUICK).fit(features, expression, cell_types=labels)
    assert set(model.retrieve(features).types.ravel()) <= set(TYPES)
    assert set(SCR2Net(**QUICK).fit(features, expression).retrieve(features).types.ravel()) == {""}


def test_cells_made_of_a_kind_of_spot_are_found_for_spots_of_that_kind() -> None:
    """Cells are noisy copies of spots on another platform: with a gain and a level of its own."""
    model, (features, expression, places, types) = named()
    kind = types.argmax(axis=1)
    rng = np.random.default_rng(0)
    cells = cells_like(
        0.5 * expression + 4 + 0.1 * rng.normal(size=expression.shape), np.array(TYPES)[kind]
    )
    rest = slice(30, None)
    found = model.retrieve(features[rest], coordinates=places[rest], cells=cells, n_cells=5).cells
    assert found is not None
    assert found.indices.shape == (50, 5)
    right = (found.types == np.array(TYPES)[kind[rest], None]).mean()
    by_chance = (np.bincount(kind, minlength=3) / len(kind)).max()
    assert right > by_chance + 0.15


@given(st.integers(0, 100), st.integers(1, 12))
def test_nearest_cells_are_those_of_a_full_sort_of_cosines(seed: int, n_cells: int) -> None:
    rng = np.random.default_rng(seed)
    profiles, spread = rng.normal(size=(4, 5)), rng.uniform(0.5, 2, 5)
    cells = rng.normal(size=(9, 5))
    found = ReferenceCells(cells, np.full(9, "x")).nearest(profiles, spread, (), n_cells)
    scaled = (cells.astype(np.float32) - cells.astype(np.float32).mean(axis=0)) / spread
    for row, spot in enumerate(profiles):
        cosine = [spot @ cell / np.linalg.norm(spot) / np.linalg.norm(cell) for cell in scaled]
        order = np.argsort(-np.array(cosine))[: min(n_cells, 9)]
        np.testing.assert_array_equal(found.indices[row], order)
        np.testing.assert_allclose(found.similarity[row], np.array(cosine)[order], atol=1e-5)


def test_cells_are_matched_by_the_names_of_genes_they_share() -> None:
    model, (features, expression, places, _) = named()
    cells = cells_like(expression, np.full(80, "x"))
    turned = cells_like(
        np.column_stack([np.zeros(80), expression[:, ::-1]]), np.full(80, "x"), ["no", *GENES[::-1]]
    )
    at = {"coordinates": places[:3]}
    one = model.retrieve(features[:3], **at, cells=cells).cells
    other = model.retrieve(features[:3], **at, cells=turned).cells
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.names, other.names)


def test_cells_are_read_from_an_atlas(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(3, size=(12, 5)).astype(np.float32)
    adata = anndata.AnnData(counts)
    adata.var_names = ["g1", "g0", "x", "y", "z"]
    adata.obs["cell_type"] = ["tumour", "stroma"] * 6
    adata.write_h5ad(tmp_path / "atlas.h5ad")
    cells = ReferenceCells.from_anndata(tmp_path / "atlas.h5ad", ["g0", "g1", "missing"])
    assert cells.genes == ("g0", "g1")
    totals = counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        cells.expression, np.log1p(1e4 * counts[:, [1, 0]] / totals), rtol=1e-5
    )
    with pytest.raises(InputError, match="none of the 1 genes"):
        ReferenceCells.from_anndata(adata, ["missing"])


def test_unusable_cells_are_refused_in_one_line() -> None:
    model, (features, expression, *_) = named()
    wrong: list[tuple[Any, str]] = [
        (lambda: cells_like(expression[:0], []), "no cells"),
        (lambda: ReferenceCells(expression, ["x"]), "cell types of shape"),
        (lambda: cells_like(expression, np.full(80, "x"), ["g0"]), "1 gene names for 8"),
        (
            lambda: model.retrieve(
                features, cells=cells_like(expression, np.full(80, "x"), list("abcdefgh"))
            ),
            "share no gene",
        ),
        (
            lambda: model.retrieve(
                features, cells=ReferenceCells(expression[:, :3], np.full(80, "x"))
            ),
            "3 genes, the predictor 8",
        ),
        (
            lambda: model.retrieve(
                features, cells=cells_like(expression, np.full(80, "x")), n_cells=0
            ),
            "at least 1",
        ),
    ]
    for make, message in wrong:
        with pytest.raises(InputError, match=message) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_support_is_the_same_after_saving(tmp_path: Path) -> None:
    model, (features, *_) = named()
    model.save(tmp_path / "model.safetensors")
    back = SCR2Net.load(tmp_path / "model.safetensors")
    pd.testing.assert_frame_equal(model.retrieve(features).table(), back.retrieve(features).table())
    assert back.genes_ == tuple(GENES)
    assert back.type_names_ == tuple(TYPES)


def test_a_frame_of_features_is_still_known_after_saving(tmp_path: Path) -> None:
    features, expression, *_ = tissue(20)
    X = pd.DataFrame(features, columns=[f"f{index}" for index in range(N_FEATURES)])
    model = SCR2Net(**QUICK).fit(X, expression)
    model.save(tmp_path / "model.safetensors")
    back = SCR2Net.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    with pytest.raises(InputError, match="feature names should match") as caught:
        back.predict(X.rename(columns={"f0": "other"}))
    assert "\n" not in str(caught.value)
