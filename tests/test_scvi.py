"""scVI: trained on both platforms, the same again from its file, and clear where it is missing."""

import random
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from scipy import sparse
from test_embedders import TYPES, atlas, section

from scr2st.commands.embed import is_a_name
from scr2st.spaces import space_of
from scr2st_env import InputError
from scr2st_env.embedders import CellEmbedder, get_embedder, load_embedder


def test_without_scvi_tools_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "scvi", None)
    with pytest.raises(InputError, match=r"needs scvi-tools; pip install 'scr2st\[scvi\]'"):
        get_embedder("scvi")
    assert is_a_name("scvi")


@pytest.fixture(scope="module")
def embedder() -> CellEmbedder:
    pytest.importorskip("scvi")
    from scr2st_env.embedders import ScVIEmbedder

    model = ScVIEmbedder(n_components=5, n_genes=100, epochs=60, device="cpu")
    return model.fit(atlas(), [section(seed=2), section(seed=3)])


def test_a_spot_is_nearest_to_the_cells_of_its_main_type(embedder: CellEmbedder) -> None:
    """By chance a third would be."""
    spots, cells = section(seed=4, n_spots=80), atlas()
    latent, known = embedder.transform(spots), embedder.transform(cells, "cells")
    assert isinstance(embedder, CellEmbedder)
    assert latent.shape == (80, 5)
    assert latent.dtype == np.float32
    labels = cells.obs["cell_type"].to_numpy()
    middles = np.stack([known[labels == name].mean(axis=0) for name in TYPES])
    nearest = np.linalg.norm(latent[:, None] - middles, axis=2).argmin(axis=1)
    clear = spots.obsm["truth"].max(axis=1) > 0.7
    assert clear.sum() > 20
    assert (nearest == spots.obsm["truth"].argmax(axis=1))[clear].mean() > 0.8


def test_spots_spread_as_far_as_cells_around_the_same_middle(embedder: CellEmbedder) -> None:
    cells = embedder.transform(atlas(), "cells")
    spots = np.concatenate([embedder.transform(section(seed=seed)) for seed in (2, 3)])
    np.testing.assert_allclose(cells.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(spots.mean(axis=0), 0, atol=1e-4)
    assert spots.var(axis=0).sum() == pytest.approx(cells.var(axis=0).sum(), rel=1e-3)


def test_a_row_depends_on_that_row_alone_and_an_empty_one_is_the_middle(
    embedder: CellEmbedder,
) -> None:
    spots = section(seed=4)
    whole = embedder.transform(spots)
    np.testing.assert_allclose(embedder.transform(spots[7:9].copy()), whole[7:9], atol=1e-5)
    np.testing.assert_array_equal(embedder.transform(spots), whole)
    counts = spots.X.toarray()
    counts[3] = 0
    spots.X = sparse.csr_matrix(counts)
    assert (embedder.transform(spots)[3] == 0).all()


def test_a_saved_embedder_embeds_the_same_without_any_pickle(
    embedder: CellEmbedder, tmp_path: Path
) -> None:
    path = tmp_path / "embedder.safetensors"
    embedder.save(path)
    again = load_embedder(path)
    for platform, rows in (("spots", section(seed=4)), ("cells", atlas())):
        np.testing.assert_array_equal(
            again.transform(rows, platform), embedder.transform(rows, platform)
        )
    assert len(space_of(path)) == 12
    assert [file.name for file in tmp_path.iterdir()] == ["embedder.safetensors"]


def test_equal_seeds_give_equal_embedders_and_global_generators_are_left_alone() -> None:
    pytest.importorskip("scvi")
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002, S311
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    from scr2st_env.embedders import ScVIEmbedder

    once, again, other = (
        ScVIEmbedder(3, 60, seed, epochs=2, device="cpu").fit(atlas(60), [section(30)])
        for seed in (0, 0, 1)
    )
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected  # noqa: NPY002, S311
    spots = section(seed=4)
    np.testing.assert_array_equal(once.transform(spots), again.transform(spots))
    assert not np.allclose(once.transform(spots), other.transform(spots))


def test_inputs_stay_as_they_are_and_what_is_missing_is_named(embedder: CellEmbedder) -> None:
    spots = section(seed=4)
    before = spots.X.copy()
    embedder.transform(spots)
    assert (before != spots.X).nnz == 0
    assert list(spots.obs.columns) == []
    few = spots[:, : spots.n_vars // 2].copy()
    with pytest.raises(InputError, match="of the 100 genes of this embedder"):
        embedder.transform(few)
    from scr2st_env.embedders import ScVIEmbedder

    with pytest.raises(InputError, match="fit it first"):
        ScVIEmbedder(3).transform(spots)
    alone = ScVIEmbedder(3, 60, epochs=1, device="cpu").fit(atlas(60))
    with pytest.raises(InputError, match="no statistics of spots; fit it with training slides"):
        alone.transform(spots)


def test_rows_of_an_atlas_that_are_no_counts_are_brought_to_the_depth_of_the_others() -> None:
    from scr2st_env.embedders.profiles import Profiles
    from scr2st_env.embedders.scvi import _as_counts

    counts = np.array([[5.0, 15.0], [20.0, 20.0], [250_000.5, 749_999.5]])
    cells = anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)))
    profiles = Profiles.read(cells, "cells")
    scaled = _as_counts(profiles.values.tocsr(), profiles)
    np.testing.assert_array_equal(scaled.toarray(), [[5, 15], [20, 20], [8, 22]])
