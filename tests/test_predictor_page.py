"""What docs/predictor.md prints is what the code does."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from pages import page, python_blocks, section, table

from predictor import ABLATIONS, SCR2Net
from scr2st_env.synthetic import load_slide

PAGE = page("docs/predictor.md")
GENES_SHOWN = 30


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_ablations_are_those_of_the_table() -> None:
    rows = table(section(PAGE, "One part left out"), "name")
    assert [row["name"].strip("`") for row in rows] == list(ABLATIONS)
    for row in rows:
        printed = row["parameter"].strip("`")
        said = eval(f"dict({printed})", {})  # noqa: S307
        assert said == dict(ABLATIONS[row["name"].strip("`")])


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = python_blocks(PAGE)
    assert len(blocks) == 3
    slide, other = load_slide("p1s1"), load_slide("p2s1")
    assert slide.hidden is not None
    genes = slide.hidden.genes[:GENES_SHOWN].tolist()
    bought = np.flatnonzero(slide.public.measurable)[:40]
    names: dict[str, Any] = {
        "retrospective_slides": [other],
        "genes": genes,
        "slide": slide,
        "bought": bought,
        "features": slide.public.standardised_features,
        "coordinates": slide.public.pitch_coordinates,
        "expression": slide.expression(genes)[bought],
        "composition": pd.DataFrame(slide.hidden.types[bought], columns=slide.hidden.type_names),
    }
    monkeypatch.chdir(tmp_path)
    exec(blocks[0], names)  # noqa: S102
    assert names["predicted"].shape == names["std"].shape == (slide.n_spots, GENES_SHOWN)
    back = SCR2Net.load("c2.safetensors")
    assert back.encoder_ == slide.public.encoder
    assert back.genes_ == tuple(genes)

    atlas = anndata.AnnData(np.random.default_rng(0).poisson(4, (50, GENES_SHOWN)))
    atlas.var_names = genes
    atlas.obs["cell_type"] = ["one", "other"] * 25
    atlas.write_h5ad("atlas.h5ad")
    exec(blocks[2], names)  # noqa: S102
    printed = blocks[2].split("support.table()")[1].split("#")[1].strip().split(", ")
    assert names["support"].table().columns.tolist() == printed

    few = {"features": names["features"][bought], "slide_of_each_spot": np.arange(40) // 14}
    exec(blocks[1], names | few)  # noqa: S102
