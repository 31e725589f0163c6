"""Slides and references from .h5ad files: round trips, and complaints that help."""

import hashlib
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scr2st_env import CellReference, InputError, Slide
from scr2st_env.embedders import TypeComposition

UM_PER_PX = 0.5
N_SPOTS, N_GENES = 9, 6


def section() -> AnnData:
    """Nine spots, 100 um apart, with everything that a retrospective slide can have."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(3), np.arange(3)), axis=-1).reshape(-1, 2)
    library = {
        "images": {"hires": rng.integers(0, 255, (50, 60, 3), dtype=np.uint8)},
        "scalefactors": {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": 110.0},
        "metadata": {"um_per_px_fullres": UM_PER_PX},
    }
    return AnnData(
        sparse.csr_matrix(rng.integers(1, 20, (N_SPOTS, N_GENES)).astype(np.int32)),
        obs=pd.DataFrame({"patient": ["P"] * N_SPOTS}, index=[f"s{i}" for i in range(N_SPOTS)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(N_GENES)]),
        obsm={
            "spatial": grid * 200.0,
            "X_patch": rng.normal(size=(N_SPOTS, 4)).astype(np.float32),
            "X_cell": rng.normal(size=(N_SPOTS, 3)).astype(np.float32),
            "X_type": rng.dirichlet(np.ones(2), N_SPOTS).astype(np.float32),
        },
        uns={
            "spatial": {"lib": library},
            "X_patch_encoder": "histology-v1",
            "X_type_names": ["a", "b"],
        },
    )


def write(adata: AnnData, path: Path) -> Path:
    adata.write_h5ad(path)
    return path


def with_counts(values: NDArray) -> AnnData:
    adata = section()
    adata.X = values
    return adata


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content(adata: AnnData) -> dict[str, bytes]:
    matrix = sparse.csr_matrix(adata.X)
    tables = {key: np.asarray(adata.obsm[key]).tobytes() for key in adata.obsm}
    return tables | {
        "X": matrix.data.tobytes() + matrix.indices.tobytes(),
        "obs": adata.obs.to_csv().encode(),
        "uns": repr(sorted(adata.uns)).encode(),
        "image": adata.uns["spatial"]["lib"]["images"]["hires"].tobytes(),
    }


def test_everything_of_a_file_arrives(tmp_path: Path) -> None:
    adata = section()
    slide = Slide.from_anndata(write(adata, tmp_path / "C2.h5ad"))
    public, hidden = slide.public, slide.hidden
    assert (slide.name, slide.patient, public.encoder) == ("C2", "P", "histology-v1")
    np.testing.assert_allclose(public.coordinates, adata.obsm["spatial"] * UM_PER_PX)
    assert public.pitch == pytest.approx(100)
    np.testing.assert_array_equal(public.features, adata.obsm["X_patch"])
    np.testing.assert_array_equal(public.spot_names, adata.obs_names)
    np.testing.assert_array_equal(hidden.counts.toarray(), adata.X.toarray())
    np.testing.assert_array_equal(hidden.genes, adata.var_names)
    np.testing.assert_array_equal(hidden.embedding, adata.obsm["X_cell"])
    np.testing.assert_allclose(hidden.types, adata.obsm["X_type"], rtol=1e-6)
    assert hidden.type_names == ("a", "b")


def test_a_spot_is_where_its_picture_shows_it(tmp_path: Path) -> None:
    adata = section()
    public = Slide.from_anndata(write(adata, tmp_path / "C2.h5ad")).public
    np.testing.assert_array_equal(
        public.image.pixels, adata.uns["spatial"]["lib"]["images"]["hires"]
    )
    np.testing.assert_allclose(
        public.coordinates * public.image.scale, adata.obsm["spatial"] * 0.1, rtol=1e-6
    )


def test_an_object_is_read_like_its_file(tmp_path: Path) -> None:
    adata = section()
    from_file = Slide.from_anndata(write(adata, tmp_path / "lib.h5ad"))
    from_object = Slide.from_anndata(adata)
    assert from_object.public.fingerprint == from_file.public.fingerprint
    assert (from_object.hidden.counts != from_file.hidden.counts).nnz == 0


def test_neither_the_file_nor_the_object_is_changed(tmp_path: Path) -> None:
    path = write(section(), tmp_path / "C2.h5ad")
    before = sha256(path)
    Slide.from_anndata(path).expression(["g0"])
    assert sha256(path) == before
    adata = section()
    kept = content(adata)
    slide = Slide.from_anndata(adata)
    assert content(adata) == kept
    adata.X.data[:] = 0
    adata.obsm["X_cell"][:] = 0
    adata.uns["spatial"]["lib"]["images"]["hires"][:] = 0
    assert slide.public.image.pixels.any()
    assert not slide.public.image.pixels.flags.writeable
    assert slide.hidden.counts.sum() > 0
    assert slide.hidden.embedding.any()


def test_counts_in_a_layer_come_before_x() -> None:
    adata = section()
    adata.layers["counts"] = adata.X.copy()
    adata.layers["other"] = adata.X * 2
    adata.X = np.log1p(adata.X.toarray())
    hidden = Slide.from_anndata(adata).hidden
    np.testing.assert_array_equal(hidden.counts.toarray(), adata.layers["counts"].toarray())
    named = Slide.from_anndata(adata, layer="other").hidden
    np.testing.assert_array_equal(named.counts.toarray(), adata.layers["other"].toarray())
    with pytest.raises(InputError, match=r"has no layers\['nope'\]; it has \['counts', 'other'\]"):
        Slide.from_anndata(adata, layer="nope")


def test_counts_in_a_layer_without_x_are_not_a_live_slide() -> None:
    adata = section()
    adata.layers["counts"] = adata.X.copy()
    adata.X = None
    assert Slide.from_anndata(adata).hidden is not None


def test_a_slide_that_was_never_sequenced_is_live() -> None:
    adata = section()
    public = {key: adata.obsm[key] for key in ("spatial", "X_patch")}
    unmeasured = AnnData(obs=adata.obs, obsm=public, uns=dict(adata.uns))
    live = Slide.from_anndata(unmeasured)
    assert live.hidden is None
    retrospective = Slide.from_anndata(adata)
    np.testing.assert_array_equal(live.public.features, retrospective.public.features)
    assert Slide.from_anndata(adata, live=True).hidden is None


@pytest.mark.parametrize(
    ("left", "named"),
    [("X_cell", r"obsm\['X_cell'\]"), ("X_type", r"obsm\['X_type'\]"), ("genes", "6 genes")],
)
def test_what_follows_from_counts_is_never_dropped_because_they_are_missing(
    left: str, named: str
) -> None:
    adata = section()
    obsm = {key: adata.obsm[key] for key in ("spatial", "X_patch", left) if key in adata.obsm}
    var = adata.var if left == "genes" else None
    bare = AnnData(obs=adata.obs, var=var, obsm=obsm, uns=dict(adata.uns))
    with pytest.raises(InputError, match=rf"slide 'lib' has {named} but no counts .*live=True"):
        Slide.from_anndata(bare)
    assert Slide.from_anndata(bare, live=True).hidden is None
    if left != "genes":
        assert Slide.from_anndata(bare, embedding=None, types=None).hidden is None


def test_live_reads_neither_embedding_nor_counts() -> None:
    adata = section()
    del adata.obsm["X_cell"]
    adata.X = adata.X * -1
    assert Slide.from_anndata(adata, live=True).hidden is None


def test_keys_are_the_caller_s_choice() -> None:
    adata = section()
    adata.obsm["X_uni"] = np.ones((N_SPOTS, 7))
    adata.obsm["X_scgpt"] = np.ones((N_SPOTS, 5))
    adata.obsm["proportions"] = pd.DataFrame(
        np.full((N_SPOTS, 2), 0.5), columns=["t1", "t2"], index=adata.obs_names
    )
    slide = Slide.from_anndata(adata, features="X_uni", embedding="X_scgpt", types="proportions")
    assert slide.public.n_features == 7
    assert slide.hidden.embedding.shape == (N_SPOTS, 5)
    assert slide.hidden.type_names == ("t1", "t2")
    bare = Slide.from_anndata(adata, features=None, embedding=None, types=None)
    assert bare.public.n_features == 0
    assert bare.hidden.embedding is None
    assert bare.hidden.types is None


def test_other_coordinates_are_taken_as_they_are() -> None:
    adata = section()
    adata.obsm["spatial_um"] = adata.obsm["spatial"] * 0.5
    public = Slide.from_anndata(adata, spatial="spatial_um").public
    np.testing.assert_allclose(public.coordinates, adata.obsm["spatial_um"])


def test_the_patient_is_the_one_value_of_its_column_else_the_slide() -> None:
    adata = section()
    adata.obs["patient"] = ["P"] * 8 + ["Q"]
    assert Slide.from_anndata(adata).patient == "lib"
    assert Slide.from_anndata(adata, patient="R").patient == "R"
    adata.obs["patient"] = [np.nan] * 9
    assert Slide.from_anndata(adata).patient == "lib"
    adata.obs["patient"] = pd.Categorical(["P"] * 8 + [None])
    assert Slide.from_anndata(adata).patient == "P"


def test_a_spot_with_few_counts_cannot_be_bought_and_is_never_nan() -> None:
    adata = section()
    dense = adata.X.toarray()
    dense[2], dense[5] = 0, 0
    dense[5, 0] = 4
    adata.X = sparse.csr_matrix(dense)
    slide = Slide.from_anndata(adata)
    assert np.flatnonzero(~slide.public.measurable).tolist() == [2, 5]
    expression = slide.expression([f"g{i}" for i in range(N_GENES)])
    assert np.isfinite(expression).all()
    assert not expression[2].any()
    lenient = Slide.from_anndata(adata, min_counts=1)
    assert np.flatnonzero(~lenient.public.measurable).tolist() == [2]
    assert Slide.from_anndata(adata, min_counts=0).public.measurable.all()
    with pytest.raises(InputError, match="min_counts must be a count >= 0, got -1"):
        Slide.from_anndata(adata, min_counts=-1)


@pytest.mark.parametrize(
    ("adata", "message"),
    [
        (with_counts(np.full((N_SPOTS, N_GENES), -1.0)), "negative values"),
        (with_counts(np.full((N_SPOTS, N_GENES), np.nan)), "NaN or infinite"),
        (with_counts(np.full((N_SPOTS, N_GENES), 0.5)), "holds fractions in X, not raw counts"),
        (with_counts(np.zeros((N_SPOTS, N_GENES))), "has no spot with 5 counts or more"),
    ],
)
def test_counts_that_are_none_are_refused(tmp_path: Path, adata: AnnData, message: str) -> None:
    path = write(adata, tmp_path / "C2.h5ad")
    with pytest.raises(InputError, match=message) as caught:
        Slide.from_anndata(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "way_out"),
    [
        ("spatial", "store the positions"),
        ("X_patch", "run 'scr2st features'"),
        ("X_cell", "run 'scr2st embed'"),
        ("X_type", "run 'scr2st embed'"),
    ],
)
def test_a_missing_table_is_named_with_its_file_and_the_way_out(
    tmp_path: Path, key: str, way_out: str
) -> None:
    adata = section()
    del adata.obsm[key]
    path = write(adata, tmp_path / "C2.h5ad")
    with pytest.raises(InputError) as caught:
        Slide.from_anndata(path)
    message = str(caught.value)
    assert f"slide 'C2' ({path}) has no obsm['{key}']" in message
    assert way_out in message
    others = {"spatial", "X_patch", "X_cell", "X_type"} - {key}
    assert all(other in message for other in others)


def test_types_without_names_are_refused() -> None:
    adata = section()
    del adata.uns["X_type_names"]
    with pytest.raises(InputError, match=r"has no uns\['X_type_names'\]"):
        Slide.from_anndata(adata)


def test_spot_names_must_be_unique() -> None:
    adata = section()
    adata.obs_names = ["s0", "s0", *adata.obs_names[2:]]
    with pytest.raises(InputError, match="spot name 's0' occurs more than once; make them unique"):
        Slide.from_anndata(adata)


def test_an_object_without_a_single_library_needs_a_name() -> None:
    adata = section()
    del adata.uns["spatial"]
    with pytest.raises(InputError, match=r"name=\.\.\."):
        Slide.from_anndata(adata)
    assert Slide.from_anndata(adata, name="mine").name == "mine"


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.h5ad does not exist; name an .h5ad file"):
        Slide.from_anndata(tmp_path / "gone.h5ad")
    with pytest.raises(InputError, match="does not exist"):
        Slide.from_anndata(tmp_path)
    for words in (b"", b"not an h5ad", b"\x89HDF\r\n\x1a\n" + b"\0" * 64):
        (tmp_path / "foreign.h5ad").write_bytes(words)
        with pytest.raises(InputError, match=r"foreign.h5ad is not an AnnData .h5ad file"):
            Slide.from_anndata(tmp_path / "foreign.h5ad")


def atlas() -> AnnData:
    rng = np.random.default_rng(1)
    return AnnData(
        obs=pd.DataFrame(
            {"cell_type": ["a", "b"] * 10}, index=[f"c{index}" for index in range(20)]
        ),
        obsm={"X_cell": rng.normal(size=(20, 3)).astype(np.float32)},
    )


def test_a_reference_arrives(tmp_path: Path) -> None:
    adata = atlas()
    reference = CellReference.from_anndata(write(adata, tmp_path / "r.h5ad"), n_states=4)
    np.testing.assert_array_equal(reference.embedding, adata.obsm["X_cell"])
    assert reference.type_names == ("a", "b")
    assert reference.cell_types.tolist() == [0, 1] * 10
    np.testing.assert_array_equal(
        reference.states, CellReference.from_anndata(adata, n_states=4).states
    )


def test_what_a_reference_lacks_is_named(tmp_path: Path) -> None:
    path = write(atlas(), tmp_path / "r.h5ad")
    with pytest.raises(InputError, match=r"r.h5ad\) has no obsm\['X_scvi'\]; run 'scr2st embed'"):
        CellReference.from_anndata(path, embedding="X_scvi")
    with pytest.raises(InputError, match=r"has no obs\['kind'\]; it has cell_type"):
        CellReference.from_anndata(path, cell_type="kind")
    with pytest.raises(InputError, match=r"r.h5ad\): n_states=100 but .* 20 cells.*n_states="):
        CellReference.from_anndata(path)


@pytest.mark.parametrize("reader", [CellReference.from_anndata, TypeComposition().fit])
def test_a_cell_without_a_type_is_not_of_a_type_called_nan(tmp_path: Path, reader: Any) -> None:
    labels = pd.Categorical(["a", "b", None, "a"] * 5)
    obs = pd.DataFrame({"cell_type": labels}, index=[f"c{index}" for index in range(20)])
    adata = AnnData(sparse.csr_matrix(np.ones((20, 2))), obs=obs, obsm=dict(atlas().obsm))
    with pytest.raises(InputError, match=r"r.h5ad\) has 5 of 20 cells without a label.*notna\(\)"):
        reader(write(adata, tmp_path / "r.h5ad"))


@pytest.mark.real_data
def test_every_real_section_is_read(real_data: Path) -> None:
    for name, n_spots in (("D5", 306), ("A2", 325), ("C2", 187)):
        path = real_data / "her2st" / f"{name}.h5ad"
        slide = Slide.from_anndata(path, features=None, embedding=None, types=None)
        assert slide.n_spots == n_spots
        assert slide.public.pitch == pytest.approx(200, rel=0.02)
        assert slide.patient == name[0]
        adata = anndata.read_h5ad(path)
        np.testing.assert_array_equal(slide.public.measurable, adata.obs["total_counts"] >= 5)
        assert (slide.hidden.counts != adata.X).nnz == 0
        genes = slide.hidden.genes[:50].tolist()
        assert np.isfinite(slide.expression(genes)).all()
