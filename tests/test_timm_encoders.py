"""Patch encoders from timm.

timm is no dependency of the tests, for it brings torchvision: a stand-in with the few functions of
it that are used takes its place. What the real one gives is compared in test_authors_encoders.py.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hub_cache import cached
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from scr2st_env import InputError
from scr2st_env.encoders import get_encoder
from scr2st_env.encoders.pathology import PATHOLOGY_MODELS

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
ARGUMENTS_OF_UNI = {"init_values": 1e-5, "dynamic_img_size": True}


class Tokens(torch.nn.Module):
    """Class token, four registers and four patches, each a multiple of the mean colour."""

    def __init__(self, width: int, *, pooled: bool) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, width))
        self.pooled = pooled

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scale = torch.tensor([1.0, 50, 50, 50, 50, 2, 2, 4, 4])
        tokens = scale[:, None] * (pixels.mean(dim=(2, 3)) @ self.weight)[:, None]
        return tokens[:, 0] if self.pooled else tokens


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put the stand-in in timm's place; what ``create_model`` was asked for."""
    asked: list[dict[str, Any]] = []

    def create_model(name: str, **options: Any) -> Tokens:
        asked.append(options)
        kind, folder = name.split(":", 1)
        assert kind == "local-dir"
        assert options.pop("pretrained")
        config = json.loads((Path(folder) / "config.json").read_text())
        network = Tokens(config["width"], pooled=config["pooled"])
        network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return network

    def pretrained_cfg(name: str) -> SimpleNamespace:
        if name != "resnet50":
            raise RuntimeError(f"Invalid pretrained tag for {name}.")
        return SimpleNamespace(hf_hub_id="timm/resnet50.a1_in1k")

    data_config = {"input_size": (3, 20, 20), "crop_pct": 0.5, "interpolation": "bilinear"}
    data_config |= {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    stand_in = SimpleNamespace(
        create_model=create_model,
        is_model=lambda name: name.split(".")[0] == "resnet50",
        get_pretrained_cfg=pretrained_cfg,
        data=SimpleNamespace(resolve_model_data_config=lambda _network: data_config),
        layers=SimpleNamespace(SwiGLUPacked=torch.nn.Identity),
    )
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    return asked


def write_model(folder: Path, width: int, *, pooled: bool = True) -> None:
    (folder / "config.json").write_text(json.dumps({"width": width, "pooled": pooled}))
    save_file(Tokens(width, pooled=pooled).state_dict(), folder / "model.safetensors")


def grey(value: int, side: int = 40) -> NDArray[np.uint8]:
    return np.full((1, side, side, 3), value, np.uint8)


def test_a_model_is_found_by_timm_s_name_and_prepared_as_timm_says(
    hub: Path, calls: list[dict[str, Any]]
) -> None:
    write_model(cached(hub, "timm/resnet50.a1_in1k"), 6)
    encoder = get_encoder("timm:resnet50")
    assert encoder.name.startswith("timm:resnet50@")
    assert calls == [{"num_classes": 0}]
    np.testing.assert_allclose(encoder.encode(grey(255)), [[6.0] * 6])
    framed = grey(255)
    framed[:, :10], framed[:, -10:] = 0, 0
    np.testing.assert_array_equal(encoder.encode(framed), encoder.encode(grey(255)))


def test_uni_is_built_with_its_authors_arguments(hub: Path, calls: list[dict[str, Any]]) -> None:
    write_model(cached(hub, "MahmoodLab/UNI"), 1024)
    encoder = get_encoder("uni")
    assert calls == [{"num_classes": 0, **ARGUMENTS_OF_UNI}]
    white = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(encoder.encode(grey(255, side=300))[0], white.sum(), rtol=1e-5)


def test_virchow2_is_the_class_token_beside_the_mean_patch_without_registers(
    hub: Path, calls: list[dict[str, Any]]
) -> None:
    write_model(cached(hub, "paige-ai/Virchow2"), 1280, pooled=False)
    features = get_encoder("virchow2").encode(grey(255))[0]
    assert calls[0]["mlp_layer"] is torch.nn.Identity
    assert calls[0]["act_layer"] is torch.nn.SiLU
    assert features.shape == (2560,)
    np.testing.assert_allclose(features[1280:], 3 * features[:1280], rtol=1e-5)


@pytest.mark.parametrize("name", ["h-optimus-0", "h-optimus-1"])
def test_h_optimus_is_normalised_with_its_own_constants(
    name: str, hub: Path, calls: list[dict[str, Any]]
) -> None:
    write_model(cached(hub, f"bioptimus/{name.replace('h-', 'H-')}"), 1536)
    encoder = get_encoder(name)
    assert calls[0]["dynamic_img_size"] is False
    black = -np.array([0.707223, 0.578729, 0.703617]) / [0.211883, 0.230117, 0.177517]
    np.testing.assert_allclose(encoder.encode(grey(0))[0], black.sum(), rtol=1e-5)


@pytest.mark.usefixtures("calls")
def test_other_names_and_foreign_weights_are_refused(hub: Path) -> None:
    for name in ("nonsense", "resnet50.nonsense"):
        with pytest.raises(InputError, match=f"timm has no pretrained model named '{name}'"):
            get_encoder(f"timm:{name}")
    folder = cached(hub, "lab/model")
    write_model(folder, 4)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="is no model that timm can load"):
        get_encoder("timm:lab/model")


FILTERS = {"uni": "BILINEAR", "uni2-h": "BILINEAR", "virchow2": "BICUBIC", "h-optimus-0": "BICUBIC"}


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("name", FILTERS)
def test_a_patch_of_another_size_is_scaled_as_the_authors_do(name: str, hub: Path) -> None:
    from PIL import Image

    model = PATHOLOGY_MODELS[name]
    pooled = name != "virchow2"
    write_model(cached(hub, model.repository), model.dim // (2 - pooled), pooled=pooled)
    patch = Image.fromarray(NOISE).resize((300, 300))
    expected = np.asarray(patch.resize((224, 224), getattr(Image.Resampling, FILTERS[name])))
    scaled = get_encoder(name).preprocessing.scaled(torch.tensor(np.array(patch)[None]))
    difference = np.abs(scaled[0].movedim(0, -1).numpy().astype(float) - expected)
    assert difference.max() <= 1  # rounding; the other filter is 25 off
    assert difference.mean() < 0.01


@pytest.mark.usefixtures("calls")
def test_the_name_stands_for_the_file_that_timm_reads(hub: Path) -> None:
    folder = cached(hub, "lab/model")
    write_model(folder, 4)
    before = get_encoder("timm:lab/model").name
    save_file({"of": torch.zeros(2)}, folder / "another.safetensors")
    assert get_encoder("timm:lab/model").name == before
    save_file({"weight": torch.full((3, 4), 2.0)}, folder / "model.safetensors")
    assert get_encoder("timm:lab/model").name != before


def test_a_timm_that_cannot_be_imported_is_told_from_one_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "operator torchvision::nms does not exist"
    (tmp_path / "timm.py").write_text(f"raise RuntimeError({message!r})")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=rf"cannot be imported \({message}\); install the torchv"):
        get_encoder("timm:resnet50")
