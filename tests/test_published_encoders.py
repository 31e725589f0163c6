"""Published networks as patch encoders: loaded from the user's cache, by name, without a network.

The tests write small models with random weights in the layout of the Hugging Face cache.
"""

import json
import pickle
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hub_cache import cached
from numpy.typing import NDArray

from scr2st_env import InputError
from scr2st_env.encoders import encode_cached, get_encoder
from scr2st_env.encoders.pathology import PATHOLOGY_MODELS
from scr2st_env.encoders.preprocessing import IMAGENET, Preprocessing


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a test went over the network")

    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return folder


def write_processor(folder: Path, **changes: object) -> None:
    mean, std = IMAGENET
    values = {"size": {"height": 32, "width": 32}, "image_mean": mean, "image_std": std}
    text = json.dumps(values | {"do_center_crop": False, "resample": 2} | changes)
    (folder / "preprocessor_config.json").write_text(text)


def write_vit(folder: Path, width: int = 16, seed: int = 0, **processor: object) -> Path:
    torch.manual_seed(seed)
    config = transformers.ViTConfig(
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=32,
        patch_size=16,
    )
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    write_processor(folder, **processor)
    return folder


def patches(n: int = 5, side: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_a_cached_model_gives_its_class_token(hub: Path) -> None:
    folder = write_vit(cached(hub, "lab/vit"))
    encoder = get_encoder("hf:lab/vit", device="cpu")
    model = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False)
    pixels = (patches() / 255 - np.array(IMAGENET[0])) / np.array(IMAGENET[1])
    with torch.no_grad():
        tokens = model(torch.tensor(pixels).movedim(-1, 1).float()).last_hidden_state
    np.testing.assert_allclose(encoder.encode(patches()), tokens[:, 0], atol=1e-5)
    assert encoder.dim == 16


def test_batches_order_and_repetition_change_nothing(hub: Path) -> None:
    write_vit(cached(hub, "lab/vit"))
    whole = get_encoder("hf:lab/vit").encode(patches(7))
    np.testing.assert_array_equal(whole, get_encoder("hf:lab/vit").encode(patches(7)))
    small = get_encoder("hf:lab/vit", batch_size=2).encode(patches(7)[::-1])[::-1]
    np.testing.assert_allclose(small, whole, atol=1e-5)
    assert get_encoder("hf:lab/vit").encode(patches(0)).shape == (0, 16)


def test_the_name_tells_weights_and_preprocessing_apart(hub: Path, tmp_path: Path) -> None:
    write_vit(cached(hub, "lab/one"))
    write_vit(cached(hub, "lab/two"), seed=1)
    write_vit(cached(hub, "lab/three"), resample=3)
    first, *others = [get_encoder(f"hf:lab/{name}") for name in ("one", "two", "three")]
    digests = {encoder.name.split("@")[1] for encoder in (first, *others)}
    assert first.name.startswith("hf:lab/one@")
    assert len(digests) == 3
    stored = encode_cached(first, patches(), tmp_path / "cache")
    assert np.abs(stored - encode_cached(others[0], patches(), tmp_path / "cache")).max() > 0.01
    assert get_encoder("hf:lab/one").name == first.name


def test_nothing_is_trained_and_no_dropout_is_drawn(hub: Path) -> None:
    write_vit(cached(hub, "lab/vit"))
    network = get_encoder("hf:lab/vit").network
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def test_a_folder_can_be_named_instead_of_a_repository(tmp_path: Path) -> None:
    write_vit(tmp_path / "model")
    assert get_encoder(f"hf:{tmp_path / 'model'}").dim == 16


def test_dinov2_gives_its_class_token_after_its_own_crop(hub: Path) -> None:
    folder = cached(hub, "facebook/dinov2-small")
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(folder)
    crop = {"height": 28, "width": 28}
    write_processor(folder, size={"shortest_edge": 32}, do_center_crop=True, crop_size=crop)
    encoder = get_encoder("hf:facebook/dinov2-small")
    changed = patches()
    changed[:, :2], changed[:, -2:], changed[:, :, :2], changed[:, :, -2:] = 0, 0, 0, 0
    np.testing.assert_array_equal(encoder.encode(patches()), encoder.encode(changed))


SHORT = {"shortest_edge": 256}
CROP = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
PROCESSORS = {
    "phikon": {"image_processor_type": "ViTImageProcessor", "size": 224, "resample": 2},
    "dinov2": {"image_processor_type": "BitImageProcessor", "size": SHORT, **CROP},
    "resnet": {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 0.875},
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
    "poolformer": {"image_processor_type": "PoolFormerImageProcessor", "size": 224, "crop_pct": 0.9}
    | CROP,
    "rescaled": {
        "image_processor_type": "ViTImageProcessor", "size": 224, "rescale_factor": 1 / 127.5
    },
    "bytes": {"image_processor_type": "ViTImageProcessor", "size": 224, "do_rescale": False},
    "not normalised": {
        "image_processor_type": "ViTImageProcessor", "size": 224, "do_normalize": False
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", PROCESSORS)
def test_pixels_are_those_of_transformers_own_processor(kind: str, tmp_path: Path) -> None:
    from PIL import Image

    mean, std = IMAGENET
    config = {"do_resize": True, "do_normalize": True, "resample": 3, "rescale_factor": 1 / 255}
    config |= {"do_rescale": True, "image_mean": mean, "image_std": std} | PROCESSORS[kind]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    small = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    patch = Image.fromarray(small).resize((300, 300))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    theirs = np.asarray(processor(patch, return_tensors="pt")["pixel_values"])
    preprocessing = Preprocessing.of_huggingface(config, str(tmp_path))
    mine = preprocessing(torch.tensor(np.array(patch)[None]), torch.device("cpu")).numpy()
    one_level = np.ptp(theirs) / 255  # each of two passes may round a byte the other way
    np.testing.assert_allclose(mine, theirs, atol=2.01 * one_level)
    assert np.abs(mine - theirs).mean() < 0.01 * one_level


@pytest.mark.parametrize("step", ["do_flip_channel_order", "include_top", "rescale_offset"])
def test_a_step_that_is_not_done_here_is_refused(step: str) -> None:
    mean, std = IMAGENET
    config = {"size": 224, "image_mean": mean, "image_std": std, step: True}
    with pytest.raises(InputError, match=f"asks for {step}, which is not supported"):
        Preprocessing.of_huggingface(config, "lab/model")


def test_a_network_that_answers_at_random_is_refused(hub: Path) -> None:
    folder = cached(hub, "lab/mae")
    config = transformers.ViTMAEConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=64,
        patch_size=16,
    )
    transformers.ViTMAEModel(config).save_pretrained(folder)
    write_processor(folder, size=64)
    with pytest.raises(InputError, match="gives the same patch other features each time"):
        get_encoder("hf:lab/mae")


def test_a_network_without_a_class_token_gives_the_mean_over_places(hub: Path) -> None:
    folder = cached(hub, "lab/resnet")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])
    model = transformers.ResNetModel(config).eval()
    model.save_pretrained(folder)
    write_processor(folder, image_mean=[0, 0, 0], image_std=[1, 1, 1])
    with torch.no_grad():
        maps = model(torch.tensor(patches() / 255).movedim(-1, 1).float()).last_hidden_state
    features = get_encoder("hf:lab/resnet").encode(patches())
    np.testing.assert_allclose(features, maps.mean(dim=(2, 3)), atol=1e-5)


@pytest.mark.parametrize("name", sorted(PATHOLOGY_MODELS))
def test_absent_weights_are_named_with_the_way_to_get_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "conch.open_clip_custom", fake_conch())
    repository = PATHOLOGY_MODELS[name].repository
    with pytest.raises(InputError) as raised:
        get_encoder(name)
    message = str(raised.value)
    assert f"no weights of {repository} in the Hugging Face cache" in message
    assert f"accept the licence at https://huggingface.co/{repository}" in message
    assert f"'hf download {repository}'" in message
    assert "\n" not in message


def test_a_gated_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

    def refuse(_repository: str, *, local_files_only: bool = False, **_rest: object) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("nothing here")
        response = SimpleNamespace(headers={}, request=None, status_code=403)
        raise GatedRepoError("403 Forbidden\nlong explanation", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=r"phikon cannot be downloaded \(403 .*accept the lic"):
        get_encoder("phikon", download=True)


def test_downloading_happens_only_when_allowed_and_only_when_needed(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    write_vit(cached(hub, "lab/vit"))
    asked = []
    original = huggingface_hub.snapshot_download

    def watched(repository: str, **options: object) -> str:
        asked.append(options.get("local_files_only", False))
        if options.get("local_files_only"):
            return original(repository, **options)
        return str(write_vit(cached(hub, repository)))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", watched)
    get_encoder("hf:lab/vit", download=True)
    with pytest.raises(InputError, match="no weights of lab/other"):
        get_encoder("hf:lab/other")
    assert asked == [True, True]
    assert get_encoder("hf:lab/other", download=True).dim == 16
    assert asked == [True, True, True, False]


def test_phikon_is_read_under_its_short_name(hub: Path) -> None:
    write_vit(cached(hub, "owkin/phikon"), width=768)
    assert get_encoder("phikon").name.startswith("phikon@")


def test_weights_of_another_size_are_not_taken_for_phikon(hub: Path) -> None:
    write_vit(cached(hub, "owkin/phikon"), width=16)
    with pytest.raises(InputError, match="give 16 features, but phikon has 768"):
        get_encoder("phikon")


def test_a_pickle_that_does_more_than_hold_tensors_is_refused(hub: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    folder = write_vit(cached(hub, "lab/vit"))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Attack()}, protocol=2))
    with pytest.raises(InputError, match="no vision model that transformers can load"):
        get_encoder("hf:lab/vit")
    conch = cached(hub, "MahmoodLab/CONCH")
    (conch / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Attack()}, protocol=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "conch.open_clip_custom", fake_conch())
        with pytest.raises(InputError, match="holds more than tensors, and is not unpickled"):
            get_encoder("conch")
    assert not (tmp_path / "ran").exists()


def test_damaged_and_foreign_models_are_named(hub: Path) -> None:
    folder = write_vit(cached(hub, "lab/vit"))
    (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match="is not that of a vision model"):
        get_encoder("hf:lab/vit")
    (folder / "preprocessor_config.json").write_text("[1]")
    with pytest.raises(InputError, match="holds a list, not a JSON object"):
        get_encoder("hf:lab/vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"holds no preprocessor_config\.json"):
        get_encoder("hf:lab/vit")
    write_processor(folder)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="is no vision model that transformers can load"):
        get_encoder("hf:lab/vit")
    text = cached(hub, "lab/text")
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    transformers.BertModel(config).save_pretrained(text)
    write_processor(text)
    with pytest.raises(InputError, match=r"is no vision model .*model_type 'bert'"):
        get_encoder("hf:lab/text")
    with pytest.raises(InputError, match="is no folder and no owner/name"):
        get_encoder("hf:not a name")


@pytest.mark.parametrize(("library", "name"), [("timm", "uni"), ("transformers", "phikon")])
def test_a_missing_library_is_named(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"needs {library}; pip install 'scr2st\["):
        get_encoder(name)


@pytest.mark.parametrize(("options", "message"), [
    ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
    ({"device": "teapot"}, "device 'teapot' cannot be used"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
])  # fmt: skip
def test_wrong_options_are_refused(hub: Path, options: dict, message: str) -> None:
    write_vit(cached(hub, "lab/vit"))
    with pytest.raises(InputError, match=message):
        get_encoder("hf:lab/vit", **options)


def fake_conch() -> SimpleNamespace:
    """The two functions of the authors' package that are used; features are mean colours."""

    class Model(torch.nn.Module):
        def encode_image(
            self, pixels: torch.Tensor, *, proj_contrast: bool, normalize: bool
        ) -> torch.Tensor:
            assert not proj_contrast
            assert not normalize
            return pixels.mean(dim=(2, 3)).repeat(1, 171)[:, :512]

    def create(architecture: str, checkpoint: str) -> tuple[Model, None]:
        assert architecture == "conch_ViT-B-16"
        assert Path(checkpoint).is_file()
        return Model(), None

    return SimpleNamespace(create_model_from_pretrained=create)


def test_conch_runs_through_its_authors_package(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "conch.open_clip_custom", None)
    with pytest.raises(InputError, match="conch needs its authors' package; pip install git"):
        get_encoder("conch")
    monkeypatch.setitem(sys.modules, "conch.open_clip_custom", fake_conch())
    torch.save({"weight": torch.zeros(2)}, cached(hub, "MahmoodLab/CONCH") / "pytorch_model.bin")
    encoder = get_encoder("conch")
    white = encoder.encode(np.full((1, 64, 64, 3), 255, np.uint8))
    expected = (1 - np.array([0.48145466, 0.4578275, 0.40821073])) / [
        0.26862954,
        0.26130258,
        0.27577711,
    ]
    np.testing.assert_allclose(white[0, :3], expected, rtol=1e-5)
    assert encoder.preprocessing.side == 448


def test_scaling_agrees_with_pillow() -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (10, 10, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    for kind, filter_ in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", 2)):
        scale = Preprocessing(24, 24, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), kind)
        mine = (
            scale(torch.tensor(smooth[None]), torch.device("cpu"))[0].movedim(0, -1).numpy() * 255
        )
        theirs = np.asarray(Image.fromarray(smooth).resize((24, 24), filter_), float)
        assert np.abs(mine - theirs).max() <= 1.001  # rounding
