"""``scr2st features`` with networks: trained on the spot, loaded later, cut at a stated scale."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from PIL import Image

from scr2st import cli

N_SPOTS = 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A slide with a full-resolution image at .5 um per pixel."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(60, 255, (25, 25, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "s1.png")
    library = {"scalefactors": {"spot_diameter_fullres": 40.0}}
    library["metadata"] = {"um_per_px_fullres": 0.5}
    slide = anndata.AnnData(
        rng.poisson(2.0, (N_SPOTS, 5)).astype(np.float32),
        obsm={"spatial": rng.uniform(50, 350, (N_SPOTS, 2))},
        uns={"spatial": {"s1": library}},
    )
    slide.write_h5ad(tmp_path / "s1.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_encoder_is_trained_used_and_found_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = ["s1.h5ad", "--image", "s1.png", "--device", "cpu"]
    train = ["--train", "mine.safetensors", "--epochs", "1"]
    assert cli.main(["features", *image, *train, "-o", "one"]) == 0
    assert f"trained on {N_SPOTS} patches" in capsys.readouterr().out
    assert cli.main(["features", *image, "--encoder", "mine.safetensors", "-o", "two"]) == 0
    one, two = (anndata.read_h5ad(folder / name / "s1.h5ad") for name in ("one", "two"))
    np.testing.assert_array_equal(one.obsm["X_patch"], two.obsm["X_patch"])
    assert one.uns["X_patch_encoder"] == two.uns["X_patch_encoder"]
    assert one.uns["X_patch_encoder"].startswith("trained@")


def test_the_scale_of_the_patches_is_the_one_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scr2st_env.encoders import base

    shapes = []

    class Watching:
        name, dim = "watching", 3

        def encode(self, patches: np.ndarray) -> np.ndarray:
            shapes.append(patches.shape[1:])
            return patches.mean(axis=(1, 2)).astype(np.float32)

    monkeypatch.setitem(base._FACTORIES, "watching", Watching)
    image = ["s1.h5ad", "--image", "s1.png", "--encoder", "watching"]
    assert cli.main(["features", *image, "--patch-um", "32", "--um-per-px", "0.25"]) == 0
    assert shapes == [(128, 128, 3)]
    assert (folder / "features" / "s1.h5ad").is_file()


@pytest.mark.parametrize(("options", "message"), [
    (["--um-per-px", "0"], "--um-per-px 0 is no size of a pixel"),
    (["--patches", "p.npz", "--um-per-px", "1"], "--um-per-px cuts patches from an image"),
    (["--train", "e.safetensors", "--encoder", "uni"], "leave out --encoder"),
    (["--image", "s1.png", "--train", "e.pt"], "ends in .safetensors"),
    (["--image", "s1.png", "--encoder", "phikon"], "no weights of owkin/phikon"),
])  # fmt: skip
@pytest.mark.usefixtures("folder")
def test_wrong_options_are_refused_in_one_line(
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert cli.main(["features", "s1.h5ad", *options]) == cli.WRONG_INPUT
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert not (tmp_path / "features").exists()
