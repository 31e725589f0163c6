"""Named encoders beside the code that their authors tell people to run.

Small models with random weights, in the published layouts; skipped where timm, or CONCH's own
package, is not installed.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_cache import cached
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from scr2st_env.encoders import get_encoder
from scr2st_env.encoders.pathology import BIOPTIMUS, PATHOLOGY_MODELS, PublishedModel
from scr2st_env.encoders.preprocessing import IMAGENET

# Architecture, further arguments and interpolation in config.json, as far as they matter.
VIRCHOW2 = {"img_size": 224, "init_values": 1e-5, "reg_tokens": 4, "mlp_ratio": 5.3375}
VIRCHOW2 |= {"global_pool": "", "dynamic_img_size": True}
OPTIMUS = {"img_size": 224, "global_pool": "token"}
LAYOUTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "uni": ("vit_large_patch16_224", {}, "bilinear"),
    "uni2-h": ("vit_giant_patch14_224", {}, "bilinear"),
    "virchow2": ("vit_huge_patch14_224", VIRCHOW2, "bicubic"),
    "h-optimus-0": ("vit_giant_patch14_reg4_dinov2", OPTIMUS, "bicubic"),
    "h-optimus-1": ("vit_giant_patch14_reg4_dinov2", OPTIMUS, "bicubic"),
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def patch(side: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize((side, side)))


def with_classes(arguments: Any) -> dict[str, Any]:
    import timm

    classes = {"SwiGLUPacked": timm.layers.SwiGLUPacked, "SiLU": torch.nn.SiLU}
    return {
        key: classes.get(value, value) if isinstance(value, str) else value
        for key, value in arguments.items()
    }


def publish(folder: Path, name: str, model: PublishedModel) -> None:
    """Write a model of one block as its authors publish it; UNI is marked for timm's own loader."""
    import timm

    architecture, arguments, interpolation = LAYOUTS[name]
    arguments = {**arguments, "depth": 1}
    options = arguments | with_classes(model.arguments) | {"num_classes": 0}
    network = timm.create_model(architecture, **options)
    mean, std = BIOPTIMUS if name.startswith("h-optimus") else IMAGENET
    pretrained = {"input_size": [3, 224, 224], "crop_pct": 1, "interpolation": interpolation}
    pretrained |= {"mean": mean, "std": std, "num_classes": 0, "custom_load": name == "uni"}
    pretrained |= {"first_conv": "patch_embed.proj", "classifier": "head"}
    config = {"architecture": architecture, "num_classes": 0, "model_args": arguments}
    (folder / "config.json").write_text(json.dumps(config | {"pretrained_cfg": pretrained}))
    if name.startswith("uni"):
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
    else:
        save_file(network.state_dict(), folder / "model.safetensors")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_named_model_gives_what_its_card_s_code_gives(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm")
    model = PATHOLOGY_MODELS[name]
    if "depth" in model.arguments:
        model = replace(model, arguments={**model.arguments, "depth": 1})
        monkeypatch.setitem(PATHOLOGY_MODELS, name, model)
    publish(cached(hub, model.repository), name, model)
    authors = timm.create_model(
        f"hf-hub:{model.repository}", pretrained=True, **with_classes(model.arguments)
    ).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(authors))
    encoder = get_encoder(name, device="cpu")
    for side in (224, 300):
        pixels = transform(Image.fromarray(patch(side)))[None]
        ours = encoder.preprocessing(torch.tensor(patch(side)[None]), torch.device("cpu"))
        assert (ours - pixels).abs().mean() < 0.001
        with torch.no_grad():
            features = authors(pixels)
        if name == "virchow2":
            features = torch.cat([features[:, 0], features[:, 5:].mean(dim=1)], dim=1)
        scale = features.abs().max().item()
        np.testing.assert_allclose(encoder.encode(patch(side)[None]), features, atol=1e-3 * scale)


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "convnext_atto.d2_in1k"]
)
def test_a_model_of_timm_gives_what_timm_gives(name: str, hub: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model(name).eval()
    repository = timm.get_pretrained_cfg(name).hf_hub_id
    timm.models.save_for_hf(model, cached(hub, repository), safe_serialization=True)
    model.reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.no_grad():
        expected = model(transform(Image.fromarray(patch(300)))[None])
    features = get_encoder(f"timm:{name}", device="cpu").encode(patch(300)[None])
    np.testing.assert_allclose(features, expected, atol=2e-3 * expected.abs().max().item())


def test_a_model_of_timm_without_such_weights_is_named() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=r"no pretrained model named 'resnet18\.nonsense'"):
        get_encoder("timm:resnet18.nonsense")


def test_conch_gives_what_its_authors_package_gives(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = pytest.importorskip("conch.open_clip_custom.factory")
    config = json.loads((factory.CFG_DIR / "conch_ViT-B-16.json").read_text())
    for part in ("vision_cfg", "text_cfg", "multimodal_cfg"):
        config[part]["layers"] = 1
    (tmp_path / "conch_ViT-B-16.json").write_text(json.dumps(config))
    monkeypatch.setattr(factory, "CFG_DIR", tmp_path)
    weights = cached(hub, "MahmoodLab/CONCH") / "pytorch_model.bin"
    del config["custom_text"]
    torch.save(factory.CoCa(**config).state_dict(), weights)
    authors, transform = factory.create_model_from_pretrained("conch_ViT-B-16", str(weights))
    encoder = get_encoder("conch", device="cpu")
    for side in (448, 300):
        with torch.inference_mode():
            expected = authors.eval().encode_image(
                transform(Image.fromarray(patch(side)))[None], proj_contrast=False, normalize=False
            )
        features = encoder.encode(patch(side)[None])
        np.testing.assert_allclose(features, expected, atol=1e-3 * expected.abs().max().item())
