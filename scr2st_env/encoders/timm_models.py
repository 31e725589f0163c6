"""Patch encoders from timm, its own and those that others published for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scr2st_env.encoders.frozen import BATCH_SIZE, FrozenEncoder
from scr2st_env.encoders.pooling import returned
from scr2st_env.encoders.preprocessing import Preprocessing
from scr2st_env.encoders.weights import (
    UNREADABLE,
    digest_of,
    missing_library,
    snapshot,
    weight_files,
)
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from scr2st_env.encoders.pooling import FeaturesOf

SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}  # classes, by their names
PREFERRED = ("model.safetensors", "pytorch_model.bin")  # by timm, to other files of weights


def timm_encoder(
    name: str,
    model: str,
    *,
    features_of: FeaturesOf = returned,
    arguments: Mapping[str, Any] | None = None,
    preprocessing: Preprocessing | None = None,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    download: bool = False,
) -> FrozenEncoder:
    """Build a timm model and load its weights from the user's cache.

    Parameters
    ----------
    name
        How the encoder is called; the weights' digest is appended.
    model
        A model of timm (``"resnet50"``), a repository (``"owner/name"``) or a folder.
    features_of
        See :mod:`scr2st_env.encoders.pooling`.
    arguments
        Of ``timm.create_model``, which the model's authors ask for.
    preprocessing
        Default: what the model's configuration says.
    device, batch_size, download
        See :func:`scr2st_env.encoders.get_encoder`.

    Returns
    -------
    FrozenEncoder

    Raises
    ------
    InputError
        If timm, the model or its weights are missing.
    """
    timm = _timm(name)
    folder = snapshot(_repository(timm, model), download=download)
    chosen = dict(arguments or {})
    try:
        network = timm.create_model(
            f"local-dir:{folder}", pretrained=True, num_classes=0, **_with_classes(timm, chosen)
        )
    except (*UNREADABLE, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder} is no model that timm can load ({reason})") from error
    if preprocessing is None:
        preprocessing = Preprocessing.of_timm(timm.data.resolve_model_data_config(network))
    settings = {
        "arguments": chosen,
        "features": features_of.__name__,
        "preprocessing": preprocessing.settings,
    }
    return FrozenEncoder(
        f"{name}@{digest_of([_weights(folder)], settings)}",
        network,
        features_of,
        preprocessing,
        device=device,
        batch_size=batch_size,
    )


def _timm(name: str) -> ModuleType:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise missing_library("timm", "timm", name) from error
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{name} needs timm, which cannot be imported ({reason}); install the torchvision that "
            "belongs to your torch"
        ) from error
    return timm


def _repository(timm: ModuleType, model: str) -> str:
    """Where the weights of a model of timm's own are; other names are repositories already."""
    if "/" in model:
        return model
    try:
        config = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    except RuntimeError:  # the architecture exists, but not with these weights
        config = None
    if config is None or not config.hf_hub_id:
        raise InputError(
            f"timm has no pretrained model named {model!r}; see timm.list_models(pretrained=True)"
        )
    return str(config.hf_hub_id)


def _weights(folder: Path) -> Path:
    """Return the file that timm reads where there are several."""
    preferred = (folder / name for name in PREFERRED)
    return next((file for file in preferred if file.exists()), weight_files(folder)[0])


def _with_classes(timm: ModuleType, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the names of classes by the classes."""
    from torch import nn

    homes = {"SwiGLUPacked": timm.layers, "SiLU": nn}
    return {
        key: getattr(homes[value], value) if value in homes else value
        for key, value in arguments.items()
    }
