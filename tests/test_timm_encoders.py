"""Patch encoders from timm.

timm is no dependency of the tests, for it brings torchvision: where it is not installed, a stand-in
with the few functions of it that are used takes its place, and the tests of real models are
skipped.
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

    data_config = {"input_size": (3, 20, 20), "crop_pct": 0.5, "interpolation": "bilinear"}
    data_config |= {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    stand_in = SimpleNamespace(
        create_model=create_model,
        is_model=lambda name: name == "resnet50",
        get_pretrained_cfg=lambda _name: SimpleNamespace(hf_hub_id="timm/resnet50.a1_in1k"),
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
    with pytest.raises(InputError, match="timm has no pretrained model named 'nonsense'"):
        get_encoder("timm:nonsense")
    folder = cached(hub, "lab/model")
    write_model(folder, 4)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="is no model that timm can load"):
        get_encoder("timm:lab/model")


def test_a_real_timm_model_gives_what_timm_gives(hub: Path) -> None:
    timm = pytest.importorskip("timm")
    from PIL import Image

    model = timm.create_model("resnet18").eval()
    timm.models.save_for_hf(model, cached(hub, "timm/resnet18.a1_in1k"), safe_serialization=True)
    model.reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    patches = np.random.default_rng(0).integers(0, 256, (2, 300, 300, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = model(torch.stack([transform(Image.fromarray(patch)) for patch in patches]))
    np.testing.assert_allclose(get_encoder("timm:resnet18").encode(patches), expected, atol=1e-3)


def test_a_real_virchow2_layout_is_read(hub: Path) -> None:
    timm = pytest.importorskip("timm")
    folder = cached(hub, "paige-ai/Virchow2")
    arguments = {"img_size": 224, "init_values": 1e-5, "num_classes": 0, "reg_tokens": 4}
    arguments |= {"mlp_ratio": 5.3375, "global_pool": "", "dynamic_img_size": True, "depth": 1}
    classes = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    model = timm.create_model("vit_huge_patch14_224", **arguments, **classes).eval()
    pretrained = {"input_size": [3, 224, 224], "num_classes": 0, "classifier": "head"}
    pretrained["first_conv"] = "patch_embed.proj"
    config = {"architecture": "vit_huge_patch14_224", "model_args": arguments}
    (folder / "config.json").write_text(json.dumps(config | {"pretrained_cfg": pretrained}))
    save_file(model.state_dict(), folder / "model.safetensors")
    encoder = get_encoder("virchow2")
    patches = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    with torch.no_grad():
        tokens = model(encoder.preprocessing(torch.tensor(patches), torch.device("cpu")))
    expected = torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1)
    np.testing.assert_allclose(encoder.encode(patches), expected, atol=1e-5)
