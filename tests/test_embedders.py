"""Cell embedders and cell-type composition."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import sparse
from scipy.optimize import nnls

from scr2st_env import CellReference, InputError, Kernel, Slide
from scr2st_env.embedders import CellEmbedder, PCAEmbedder, TypeComposition, embed_anndata
from scr2st_env.gaussian_process import posterior_mean

TYPES = ("fibroblast", "macrophage", "tumour")
N_GENES = 150


def programs() -> NDArray[np.float64]:
    """Expected share of each gene in each type: a common background and 20 markers per type."""
    rng = np.random.default_rng(0)
    shares = np.tile(rng.gamma(1.0, size=N_GENES), (len(TYPES), 1))
    for row in range(len(TYPES)):
        shares[row, row * 20 : row * 20 + 20] *= 12
    return shares / shares.sum(axis=1, keepdims=True)


def gene_names(prefix: str = "G") -> list[str]:
    return [f"{prefix}{index}" for index in range(N_GENES)]


def atlas(n_cells: int = 240, seed: int = 1) -> AnnData:
    rng = np.random.default_rng(seed)
    codes = np.arange(n_cells) % len(TYPES)
    depth = rng.integers(500, 3000, n_cells)
    counts = rng.poisson(programs()[codes] * depth[:, None])
    labels = pd.DataFrame(
        {"cell_type": [TYPES[code] for code in codes]}, index=[f"c{i}" for i in range(n_cells)]
    )
    return AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=labels,
        var=pd.DataFrame(index=gene_names()),
    )


def section(n_spots: int = 60, seed: int = 2, depth: float = 2000) -> AnnData:
    """Spots that mix the types, on a platform that catches each gene with its own efficiency."""
    rng = np.random.default_rng(seed)
    mixture = rng.dirichlet(np.full(len(TYPES), 0.4), n_spots)
    efficiency = np.random.default_rng(99).uniform(0.7, 1.4, N_GENES)
    counts = rng.poisson(mixture @ programs() * efficiency * depth)
    return AnnData(
        sparse.csr_matrix(counts.astype(np.int32)),
        obs=pd.DataFrame(index=[f"s{seed}_{i}" for i in range(n_spots)]),
        var=pd.DataFrame(index=gene_names()),
        obsm={"truth": mixture, "spatial": rng.uniform(0, 1000, (n_spots, 2))},
    )


@pytest.fixture(scope="module")
def embedder() -> PCAEmbedder:
    return PCAEmbedder(n_components=5).fit(atlas(), [section(seed=2), section(seed=3)])


@pytest.fixture(scope="module")
def composition() -> TypeComposition:
    return TypeComposition(n_markers=20).fit(atlas())


def centroids(embedder: PCAEmbedder) -> NDArray[np.float64]:
    cells, labels = embedder.transform(atlas(), "cells"), atlas().obs["cell_type"].to_numpy()
    return np.stack([cells[labels == name].mean(axis=0) for name in TYPES])


def test_the_default_embedder_keeps_the_protocol(embedder: PCAEmbedder) -> None:
    assert isinstance(embedder, CellEmbedder)
    scores = embedder.transform(section(seed=4))
    assert scores.shape == (60, 5)
    assert scores.dtype == np.float32
    assert not scores.flags.writeable


def test_a_spot_is_nearest_to_the_cells_of_its_main_type(embedder: PCAEmbedder) -> None:
    fresh = section(n_spots=200, seed=5)
    clear = fresh.obsm["truth"].max(axis=1) > 0.7
    scores = embedder.transform(fresh)[clear]
    distance = np.linalg.norm(scores[:, None] - centroids(embedder), axis=2)
    agreement = (distance.argmin(axis=1) == fresh.obsm["truth"][clear].argmax(axis=1)).mean()
    assert agreement > 0.95  # by chance 0.33


def test_spots_spread_as_far_as_cells_over_the_training_slides(embedder: PCAEmbedder) -> None:
    spots = np.concatenate([embedder.transform(section(seed=seed)) for seed in (2, 3)])
    cells = embedder.transform(atlas(), "cells")
    assert spots.var(axis=0).sum() == pytest.approx(cells.var(axis=0).sum(), rel=1e-3)


def test_the_embedding_is_the_formula(embedder: PCAEmbedder) -> None:
    fresh, training = section(seed=6), [section(seed=2), section(seed=3)]

    def logs(adata: AnnData) -> NDArray[np.float64]:
        dense = adata.X.toarray().astype(float)
        columns = [int(gene[1:]) for gene in embedder.genes_]
        return np.log1p(1e4 * dense / dense.sum(axis=1, keepdims=True))[:, columns]

    pooled = np.concatenate([logs(adata) for adata in training])

    def pattern(adata: AnnData, onto: NDArray[np.float64]) -> NDArray[np.float64]:
        z = np.clip((logs(adata) - onto.mean(axis=0)) / onto.std(axis=0), -10, 10)
        z = z - z.mean(axis=1, keepdims=True)
        return z / z.std(axis=1, keepdims=True)

    cells = pattern(atlas(), logs(atlas()))
    expected = (pattern(fresh, pooled) - cells.mean(axis=0)) @ embedder.components_.T
    np.testing.assert_allclose(
        embedder.transform(fresh), expected * embedder.spot_scale_, atol=2e-3
    )
    covariance = np.cov(cells.T)
    along = [axis @ covariance @ axis for axis in embedder.components_.astype(float)]
    np.testing.assert_allclose(along, np.linalg.eigvalsh(covariance)[::-1][:5], rtol=0.01)


def test_a_spot_s_embedding_tells_nothing_of_other_spots(embedder: PCAEmbedder) -> None:
    """Statistics of the slide at hand would leak what was not yet bought."""
    adata = section(seed=7)
    before = embedder.transform(adata)
    changed = adata.copy()
    dense = changed.X.toarray()
    dense[30:] = np.random.default_rng(0).poisson(50, dense[30:].shape)
    changed.X = sparse.csr_matrix(dense)
    np.testing.assert_array_equal(embedder.transform(changed)[:30], before[:30])


def test_depth_hardly_moves_a_spot(embedder: PCAEmbedder) -> None:
    deep, shallow = section(seed=8, depth=8000), section(seed=8, depth=1000)
    moved = np.linalg.norm(embedder.transform(deep) - embedder.transform(shallow), axis=1)
    apart = np.linalg.norm(embedder.transform(deep) - embedder.transform(deep)[::-1], axis=1)
    assert np.median(moved) < 0.5 * np.median(apart)


def test_a_spot_without_counts_is_the_middle_and_never_nan(
    embedder: PCAEmbedder, composition: TypeComposition
) -> None:
    adata = section(seed=9)
    dense = adata.X.toarray()
    dense[3] = 0
    dense[4] = 0
    dense[4, -1] = 1  # one count, of no marker
    adata.X = sparse.csr_matrix(dense)
    scores, shares = embedder.transform(adata), composition.transform(adata)
    assert not scores[3].any()
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(shares[3], 1 / 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_dense_and_sparse_counts_and_layers_give_the_same(embedder: PCAEmbedder) -> None:
    adata = section(seed=10)
    dense = adata.copy()
    dense.X = adata.X.toarray()
    layered = adata.copy()
    layered.layers["counts"] = adata.X
    layered.X = np.log1p(adata.X.toarray())
    expected = embedder.transform(adata)
    np.testing.assert_array_equal(embedder.transform(dense), expected)
    np.testing.assert_array_equal(embedder.transform(layered), expected)


def test_a_few_missing_genes_count_as_average_and_many_are_refused(embedder: PCAEmbedder) -> None:
    adata = section(seed=11)
    whole = embedder.transform(adata)
    lacking = embedder.transform(adata[:, 5:])
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(whole, lacking, strict=True)]
    assert np.median(alike) > 0.9
    with pytest.raises(InputError, match=r"lacks 60 of the 150 genes .* names like 'G60', 'G61'"):
        embedder.transform(adata[:, 60:])


def test_equal_seeds_give_equal_embedders() -> None:
    first, second = (PCAEmbedder(4, seed=3).fit(atlas(), [section()]) for _ in range(2))
    np.testing.assert_array_equal(first.transform(section()), second.transform(section()))


def test_a_saved_embedder_is_the_same(embedder: PCAEmbedder, tmp_path: Path) -> None:
    path = tmp_path / "embedder.safetensors"
    embedder.save(path)
    loaded = PCAEmbedder.load(path)
    assert loaded.genes_ == embedder.genes_
    assert loaded.n_components == embedder.n_components
    for platform, adata in (("spots", section(seed=12)), ("cells", atlas())):
        np.testing.assert_array_equal(
            loaded.transform(adata, platform), embedder.transform(adata, platform)
        )


def test_an_embedder_fitted_on_cells_alone_embeds_only_cells(tmp_path: Path) -> None:
    embedder = PCAEmbedder(4).fit(atlas())
    embedder.save(tmp_path / "cells.safetensors")
    for each in (embedder, PCAEmbedder.load(tmp_path / "cells.safetensors")):
        assert each.transform(atlas(), "cells").shape == (240, 4)
        with pytest.raises(InputError, match="no statistics of spots; fit it with training slides"):
            each.transform(section())
    with pytest.raises(InputError, match="fit it first"):
        PCAEmbedder().transform(section())


def test_two_namings_are_shown_in_the_complaint() -> None:
    ensembl = section()
    ensembl.var_names = gene_names("ENSG")
    with pytest.raises(InputError, match=r"share 0 genes.*'G0', 'G1' against 'ENSG0', 'ENSG1'"):
        PCAEmbedder().fit(atlas(), [ensembl])
    with pytest.raises(InputError, match="only 40 genes are in"):
        PCAEmbedder().fit(atlas(), [section()[:, :95], section()[:, 55:]])


def wrong(values: NDArray, **changes: object) -> AnnData:
    adata = AnnData(values.astype(np.float32), var=pd.DataFrame(index=gene_names()))
    for name, value in changes.items():
        setattr(adata, name, value)
    return adata


@pytest.mark.parametrize(
    ("adata", "message"),
    [
        (wrong(np.log1p(atlas().X.toarray())), "looks log-transformed"),
        (wrong(atlas().X.toarray() - 1), "negative values"),
        (wrong(np.full((20, N_GENES), np.nan)), "NaN or infinite"),
        (wrong(atlas().X.toarray(), var_names=["same"] * N_GENES), "gene names repeat"),
        (wrong(atlas()[:10].X.toarray()), "16 components of 10 cells"),
        (AnnData(obs=pd.DataFrame(index=["a"]), var=pd.DataFrame(index=["g"])), "has no counts"),
    ],
)
def test_a_wrong_atlas_is_refused(adata: AnnData, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PCAEmbedder().fit(adata)


def test_fractional_spots_are_refused(embedder: PCAEmbedder) -> None:
    with pytest.raises(InputError, match="not raw counts"):
        embedder.transform(wrong(atlas().X.toarray() + 0.5))


def test_an_atlas_on_two_scales_is_understood() -> None:
    mixed = atlas()
    dense = mixed.X.toarray()
    dense[::2] *= 1e6 / dense[::2].sum(axis=1, keepdims=True)  # every other cell in TPM
    mixed.X = dense
    np.testing.assert_allclose(
        PCAEmbedder(4).fit(mixed).transform(mixed, "cells"),
        PCAEmbedder(4).fit(atlas()).transform(atlas(), "cells"),
        atol=1e-2,
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04K\x01."])
def test_a_foreign_file_is_not_loaded(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a safetensors file"):
        PCAEmbedder.load(path)


def test_equal_content_gives_equal_files(tmp_path: Path, composition: TypeComposition) -> None:
    contents = set()
    for copy in range(20):
        composition.save(tmp_path / f"{copy}.safetensors")
        contents.add((tmp_path / f"{copy}.safetensors").read_bytes())
    assert len(contents) == 1


def test_another_kind_of_file_is_named(tmp_path: Path, composition: TypeComposition) -> None:
    with pytest.raises(InputError, match="does not exist; name a saved PCAEmbedder"):
        PCAEmbedder.load(tmp_path / "none.safetensors")
    composition.save(tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="holds TypeComposition, not a PCAEmbedder"):
        PCAEmbedder.load(tmp_path / "c.safetensors")
    save_file({"a": np.zeros(2)}, tmp_path / "plain.safetensors")
    with pytest.raises(InputError, match="holds something else, not a TypeComposition"):
        TypeComposition.load(tmp_path / "plain.safetensors")


def test_composition_recovers_simulated_mixtures(composition: TypeComposition) -> None:
    fresh = section(n_spots=100, seed=20)
    shares = composition.transform(fresh)
    assert composition.type_names == TYPES
    error = np.sqrt(((shares - fresh.obsm["truth"]) ** 2).mean())
    untold = np.sqrt(((1 / 3 - fresh.obsm["truth"]) ** 2).mean())
    assert untold > 0.3
    assert error < 0.06


def test_composition_solves_the_weighted_least_squares(composition: TypeComposition) -> None:
    fresh = section(n_spots=5, seed=21)
    counts = fresh.X.toarray().astype(float)
    columns = [int(gene[1:]) for gene in composition.genes_]
    profiles = (1e4 * counts / counts.sum(axis=1, keepdims=True))[:, columns]
    signatures = composition.signatures_.T
    weights = 1 / np.sqrt(signatures.mean(axis=1) + 0.1)
    direct = np.stack([nnls(signatures * weights[:, None], y * weights)[0] for y in profiles])
    np.testing.assert_allclose(
        composition.transform(fresh), direct / direct.sum(axis=1, keepdims=True), atol=1e-4
    )


def test_markers_are_the_genes_of_their_type(composition: TypeComposition) -> None:
    planted = {f"G{index}" for index in range(60)}
    assert len(planted & set(composition.genes_)) >= 55


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(0, 3), min_size=N_GENES, max_size=N_GENES))
def test_shares_are_shares_whatever_the_counts(counts: list[int]) -> None:
    composition = TypeComposition(n_markers=20).fit(atlas(n_cells=30))
    adata = AnnData(np.array([counts], np.float32), var=pd.DataFrame(index=gene_names()))
    (shares,) = composition.transform(adata)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1, abs=1e-5)


def test_a_saved_composition_is_the_same(composition: TypeComposition, tmp_path: Path) -> None:
    composition.save(tmp_path / "types.safetensors")
    loaded = TypeComposition.load(tmp_path / "types.safetensors")
    assert loaded.type_names == composition.type_names
    np.testing.assert_array_equal(loaded.transform(section()), composition.transform(section()))


def test_what_composition_lacks_is_named(composition: TypeComposition) -> None:
    with pytest.raises(InputError, match=r"has no obs\['kind'\]; it has cell_type"):
        TypeComposition().fit(atlas(), cell_type="kind")
    with pytest.raises(InputError, match="needs at least two cell types"):
        TypeComposition().fit(atlas()[::3])
    with pytest.raises(InputError, match="is not fitted"):
        TypeComposition().transform(section())
    with pytest.raises(InputError, match=r"\(wanted like 'G\d+', it has 'G60', 'G61'\)"):
        composition.transform(section()[:, 60:])


def test_embedding_makes_files_that_slides_and_references_are_read_from(
    embedder: PCAEmbedder, composition: TypeComposition, tmp_path: Path
) -> None:
    adata, cells = section(seed=30), atlas()
    before = (adata.X.toarray(), set(adata.obsm), set(adata.uns))
    result = embed_anndata(adata, embedder, composition)
    np.testing.assert_array_equal(adata.X.toarray(), before[0])
    assert (set(adata.obsm), set(adata.uns)) == before[1:]
    result.write_h5ad(tmp_path / "spots.h5ad")
    slide = Slide.from_anndata(tmp_path / "spots.h5ad", features=None)
    np.testing.assert_array_equal(slide.hidden.embedding, embedder.transform(adata))
    assert slide.hidden.type_names == TYPES
    embed_anndata(cells, embedder, platform="cells").write_h5ad(tmp_path / "cells.h5ad")
    reference = CellReference.from_anndata(tmp_path / "cells.h5ad", n_states=8)
    assert reference.n_dimensions == embedder.n_components


COARSE = {
    "B-cells": ["B-cells"],
    "CAFs": ["Fibroblasts"],
    "Endothelial": ["Endothelial"],
    "Epithelial": ["Cancer Epithelial", "Normal Epithelial"],
    "Myeloid": ["Myeloid"],
    "Plasma Cells": ["Plasmablasts"],
    "PVL": ["PVL"],
    "T-cells": ["T-cells", "NK cells"],
}


@pytest.fixture(scope="module")
def her2st(real_data: Path) -> dict[str, AnnData]:
    return {
        name: anndata.read_h5ad(real_data / f"her2st/{name}.h5ad") for name in ("B2", "D1", "C2")
    }


@pytest.mark.real_data
def test_composition_agrees_with_the_authors_deconvolution(real_data: Path) -> None:
    composition = TypeComposition().fit(real_data / "reference/breast_sc_reference.h5ad")
    adata = anndata.read_h5ad(real_data / "her2st/C2.h5ad")
    shares = pd.DataFrame(composition.transform(adata), columns=composition.type_names)
    theirs = adata.obsm["deconv_major"]
    agreement = [
        np.corrcoef(shares[ours].sum(axis=1), theirs[name])[0, 1] for name, ours in COARSE.items()
    ]
    assert np.mean(agreement) > 0.5  # shuffled spots: 0


@pytest.mark.real_data
def test_the_embedding_of_a_new_patient_is_smooth_in_space_and_not_mere_depth(
    real_data: Path,
) -> None:
    training = [real_data / f"her2st/{name}.h5ad" for name in ("B2", "D1")]
    embedder = PCAEmbedder().fit(real_data / "reference/breast_sc_reference.h5ad", training)
    adata = anndata.read_h5ad(real_data / "her2st/C2.h5ad")
    scores = embedder.transform(adata).astype(float)
    assert np.isfinite(scores).all()
    place, kernel = adata.obsm["spatial_um"] / 200, Kernel()
    order = np.random.default_rng(0).permutation(adata.n_obs)
    test, train = order[:40], order[40:]

    def explained(values: NDArray[np.float64]) -> float:
        centre = values[train].mean(axis=0)
        predicted = centre + posterior_mean(
            kernel.between(place[train], place[train]),
            kernel.between(place[test], place[train]),
            values[train] - centre,
            kernel.noise,
        )
        return 1 - ((values[test] - predicted) ** 2).sum() / ((values[test] - centre) ** 2).sum()

    assert explained(scores) > 0.1 > explained(np.random.default_rng(1).permutation(scores))
    depth = np.log(np.asarray(adata.X.sum(axis=1)).ravel())
    design = np.stack([np.ones_like(depth), depth], axis=1)
    residual = scores - design @ np.linalg.lstsq(design, scores, rcond=None)[0]
    assert 1 - residual.var(axis=0).sum() / scores.var(axis=0).sum() < 0.4
