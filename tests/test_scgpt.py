"""scGPT from a local folder; the tests write a small checkpoint in the published layout."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scr2st_env import InputError
from scr2st_env.embedders import CellEmbedder, ScGPTEmbedder, get_embedder, load_embedder
from scr2st_env.embedders.scgpt import _bins

WIDTH, N_HEADS, N_LAYERS, HIDDEN, N_GENES = 16, 4, 2, 12, 80
GENES = [f"GENE{index}" for index in range(N_GENES)]
ARGS = {
    "embsize": WIDTH, "nheads": N_HEADS, "nlayers": N_LAYERS, "d_hid": HIDDEN, "n_layers_cls": 3,
    "dropout": 0.2, "pad_token": "<pad>", "pad_value": -2, "n_bins": 51, "max_seq_len": 1200,
    "input_style": "binned", "input_emb_style": "continuous", "fast_transformer": True,
}  # fmt: skip


def checkpoint_weights(*, flash: bool = True, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names that scGPT gives them, with heads that embedding ignores."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    weights = {"encoder.embedding.weight": random(N_GENES + 3, WIDTH)}
    for norm in ("encoder.enc_norm", "value_encoder.norm"):
        weights |= {f"{norm}.weight": 1 + random(WIDTH), f"{norm}.bias": random(WIDTH)}
    weights |= {"value_encoder.linear1.weight": random(WIDTH, 1)}
    weights |= {"value_encoder.linear1.bias": random(WIDTH)}
    weights |= {"value_encoder.linear2.weight": random(WIDTH, WIDTH)}
    weights |= {"value_encoder.linear2.bias": random(WIDTH)}
    joint = "Wqkv." if flash else "in_proj_"
    for layer in range(N_LAYERS):
        prefix = f"transformer_encoder.layers.{layer}."
        shapes = {
            f"self_attn.{joint}weight": (3 * WIDTH, WIDTH), f"self_attn.{joint}bias": (3 * WIDTH,),
            "self_attn.out_proj.weight": (WIDTH, WIDTH), "self_attn.out_proj.bias": (WIDTH,),
            "linear1.weight": (HIDDEN, WIDTH), "linear1.bias": (HIDDEN,),
            "linear2.weight": (WIDTH, HIDDEN), "linear2.bias": (WIDTH,),
            "norm1.weight": (WIDTH,), "norm1.bias": (WIDTH,),
            "norm2.weight": (WIDTH,), "norm2.bias": (WIDTH,),
        }  # fmt: skip
        weights |= {prefix + name: random(*shape) for name, shape in shapes.items()}
    weights["decoder.fc.0.weight"] = random(WIDTH, WIDTH)
    weights["mvc_decoder.gene2query.weight"] = random(WIDTH, WIDTH)
    weights["flag_encoder.weight"] = random(2, WIDTH)
    return weights


def write_checkpoint(folder: Path, weights: object = None, **args: object) -> Path:
    folder.mkdir(exist_ok=True)
    vocabulary = {name: index for index, name in enumerate([*GENES, "<pad>", "<cls>", "<eoc>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "args.json").write_text(json.dumps(ARGS | args))
    torch.save(checkpoint_weights() if weights is None else weights, folder / "best_model.pt")
    return folder


def profiles(n: int = 30, seed: int = 0, depth: float = 3.0) -> AnnData:
    rng = np.random.default_rng(seed)
    program = np.repeat(np.eye(2), 40, axis=1) * 3 + 0.3
    counts = rng.poisson(program[np.arange(n) % 2] * depth)
    counts[0, 3:] = 0  # a poor one
    names = [*GENES, "UNKNOWN"]
    table = np.column_stack([counts, rng.poisson(5, n)]).astype(np.float32)
    labels = pd.DataFrame(
        {"cell_type": ["ab"[i % 2] for i in range(n)]}, index=[f"c{i}" for i in range(n)]
    )
    return AnnData(sparse.csr_matrix(table), obs=labels, var=pd.DataFrame(index=names))


def brute_force(row: NDArray[np.float64], weights: dict[str, torch.Tensor]) -> NDArray[np.float64]:
    """One cell through scGPT, written out with numpy."""
    w = {
        name.replace("Wqkv.", "in_proj_"): tensor.double().numpy()
        for name, tensor in weights.items()
    }

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ w[f"{name}weight"].T + w[f"{name}bias"]

    expressed = np.flatnonzero(row > 0)
    ids = np.concatenate([[N_GENES + 1], expressed])
    values = np.concatenate([[-2.0], _bins(row[expressed], 51)])
    lifted = np.maximum(linear(values[:, None], "value_encoder.linear1."), 0)
    x = norm(w["encoder.embedding.weight"][ids], "encoder.enc_norm")
    x = x + norm(linear(lifted, "value_encoder.linear2."), "value_encoder.norm")
    for layer in range(N_LAYERS):
        prefix = f"transformer_encoder.layers.{layer}."
        query, key, value = np.split(linear(x, f"{prefix}self_attn.in_proj_"), 3, axis=1)
        heads = []
        for part in np.split(np.arange(WIDTH), N_HEADS):
            scores = query[:, part] @ key[:, part].T / np.sqrt(len(part))
            attention = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(attention / attention.sum(axis=1, keepdims=True) @ value[:, part])
        mixed = linear(np.concatenate(heads, axis=1), f"{prefix}self_attn.out_proj.")
        x = norm(x + mixed, f"{prefix}norm1")
        hidden = np.maximum(linear(x, f"{prefix}linear1."), 0)
        x = norm(x + linear(hidden, f"{prefix}linear2."), f"{prefix}norm2")
    return x[0] / np.linalg.norm(x[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "scgpt")


@pytest.mark.parametrize("flash", [True, False])
def test_a_cell_is_embedded_as_scgpt_does(tmp_path: Path, *, flash: bool) -> None:
    weights = checkpoint_weights(flash=flash)
    embedder = ScGPTEmbedder(write_checkpoint(tmp_path / "m", weights), None, batch_size=4)
    cells = profiles(9)
    embedded = embedder.fit(cells).transform(cells, "cells")
    expected = np.stack([brute_force(row[:N_GENES], weights) for row in cells.X.toarray()])
    np.testing.assert_allclose(embedded, expected - expected.mean(axis=0), atol=2e-5)
    assert embedder.n_components == WIDTH


def test_bins_are_quantiles_and_equal_counts_get_the_middle_of_theirs() -> None:
    assert _bins(np.arange(1.0, 50.0), 51).tolist() == sorted(_bins(np.arange(1.0, 50.0), 51))
    spread = _bins(np.arange(1.0, 1001.0), 51)
    assert (spread.min(), spread.max()) == (1, 50)
    assert np.bincount(spread.astype(int))[1:].max() <= 21
    assert _bins(np.full(7, 3.0), 51).tolist() == [25.0] * 7
    assert len(_bins(np.empty(0), 51)) == 0


def test_platforms_are_centred_and_spots_get_the_spread_of_cells(folder: Path) -> None:
    embedder = get_embedder(f"scgpt:{folder}", n_components=5)
    assert isinstance(embedder, CellEmbedder)
    slides = [profiles(20, seed, depth=0.7) for seed in (1, 2)]
    cells = embedder.fit(profiles(), slides).transform(profiles(), "cells")
    spots = np.concatenate([embedder.transform(slide) for slide in slides])
    np.testing.assert_allclose(cells.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(spots.mean(axis=0), 0, atol=0.05)
    assert spots.var(axis=0).sum() == pytest.approx(cells.var(axis=0).sum(), rel=0.1)
    assert cells.shape == (30, 5)
    np.testing.assert_array_equal(embedder.transform(slides[0]), embedder.transform(slides[0]))


def test_a_row_depends_on_that_row_alone_and_an_empty_one_is_the_middle(folder: Path) -> None:
    embedder = ScGPTEmbedder(folder, 4, max_length=20).fit(profiles(), [profiles(20, 1)])
    slide = profiles(12, 3)
    slide.X = slide.X.multiply(np.arange(12)[:, None] != 5).tocsr()
    together = embedder.transform(slide)
    alone = np.concatenate([embedder.transform(slide[[index]]) for index in range(12)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert not together[5].any()


def test_of_too_many_genes_the_seed_always_keeps_the_same(folder: Path) -> None:
    one, again, other, whole = (
        ScGPTEmbedder(folder, None, max_length=length, seed=seed)
        .fit(profiles())
        .transform(profiles(), "cells")
        for length, seed in ((10, 0), (10, 0), (10, 1), (1200, 0))
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one - whole).max() > 1e-3


def test_a_saved_embedder_embeds_the_same_and_knows_its_checkpoint(
    folder: Path, tmp_path: Path
) -> None:
    embedder = ScGPTEmbedder(folder, 4).fit(profiles(), [profiles(20, 1)])
    embedder.save(tmp_path / "e.safetensors")
    loaded = load_embedder(tmp_path / "e.safetensors")
    for platform in ("cells", "spots"):
        np.testing.assert_array_equal(
            loaded.transform(profiles(5, 9), platform), embedder.transform(profiles(5, 9), platform)
        )
    write_checkpoint(folder, checkpoint_weights(seed=1))
    with pytest.raises(InputError, match="fitted with another checkpoint"):
        load_embedder(tmp_path / "e.safetensors")


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_holds_code_is_not_run(folder: Path, tmp_path: Path) -> None:
    content = pickle.dumps({"weight": Attack(tmp_path / "ran")}, protocol=2)
    (folder / "best_model.pt").write_bytes(content)
    with pytest.raises(InputError, match="holds more than tensors, and is not unpickled"):
        ScGPTEmbedder(folder)
    assert not (tmp_path / "ran").exists()


def test_incomplete_and_foreign_folders_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no folder; name one with args\.json"):
        ScGPTEmbedder(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no args\.json"):
        ScGPTEmbedder(tmp_path)
    (folder / "vocab.json").write_text(json.dumps({"GENE1": 0, "<pad>": 1}))
    with pytest.raises(InputError, match="lacks the token '<cls>'"):
        ScGPTEmbedder(folder)
    weights = checkpoint_weights()
    del weights["value_encoder.linear2.bias"]
    with pytest.raises(InputError, match=r"is no checkpoint of scGPT .*linear2\.bias"):
        ScGPTEmbedder(write_checkpoint(tmp_path / "b", weights))
    args = write_checkpoint(tmp_path / "c") / "args.json"
    args.write_text(json.dumps({k: v for k, v in ARGS.items() if k != "nlayers"}))
    with pytest.raises(InputError, match=r"is no checkpoint of scGPT .*nlayers"):
        ScGPTEmbedder(tmp_path / "c")
    with pytest.raises(InputError, match="only continuous values"):
        ScGPTEmbedder(write_checkpoint(tmp_path / "d", input_emb_style="category"))


def test_genes_that_scgpt_does_not_know_are_named(folder: Path) -> None:
    foreign = profiles()
    foreign.var_names = [f"ENSG{index:011d}" for index in range(foreign.n_vars)]
    with pytest.raises(
        InputError, match=r"has 0 genes of scGPT's vocabulary.*name genes by symbols"
    ):
        ScGPTEmbedder(folder).fit(foreign)
    with pytest.raises(InputError, match="knows no statistics of spots; fit it with training"):
        ScGPTEmbedder(folder, 4).fit(profiles()).transform(profiles())
    with pytest.raises(InputError, match="20 components of 30 cells and 16 dimensions"):
        ScGPTEmbedder(folder, 20).fit(profiles())


def test_unknown_embedders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is named 'umap'; there is pca, scvi and scgpt:FOLDER"):
        get_embedder("umap")
    with pytest.raises(InputError, match="does not exist"):
        load_embedder(tmp_path / "none.safetensors")
