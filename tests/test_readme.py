"""The README's Python runs as it is printed."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from conftest import toy_slide
from pages import page, python_blocks

from agents.start import untrained_agent

BLOCKS = python_blocks(page("README.md"))


def test_there_are_three_examples() -> None:
    assert len(BLOCKS) == 3
    assert 'gym.make("SpotSampling-v0"' in BLOCKS[0]
    assert "def darkest_first" in BLOCKS[1]
    assert "load_agent" in BLOCKS[2]


def test_the_environment_pays(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(BLOCKS[0], names)  # noqa: S102
    assert isinstance(names["total"], float)
    assert names["total"] > 0
    assert "density" in capsys.readouterr().out


def test_a_function_plays_beside_an_agent_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    exec(BLOCKS[1], {})  # noqa: S102
    shown = capsys.readouterr().out
    assert "mine" in shown
    assert "random" in shown


def test_a_saved_agent_begins_on_a_live_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = toy_slide("new").public
    untrained_agent([public]).save(tmp_path / "agent.safetensors")
    section = anndata.AnnData(shape=(public.n_spots, 0))
    section.obsm["spatial"] = np.asarray(public.coordinates)
    section.obsm["X_patch"] = np.asarray(public.features)
    section.uns["X_patch_encoder"] = public.encoder
    section.write_h5ad(tmp_path / "new.h5ad")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(BLOCKS[2], names)  # noqa: S102
    assert names["slide"].hidden is None  # type: ignore[attr-defined]
