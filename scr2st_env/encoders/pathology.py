"""Published pathology models by their short names: where they are, and how they are used.

Input sizes, normalisation and pooling are those of the models' cards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from scr2st_env.encoders.conch import conch_encoder
from scr2st_env.encoders.huggingface import huggingface_encoder
from scr2st_env.encoders.pooling import class_and_patches, returned
from scr2st_env.encoders.preprocessing import IMAGENET, Channels, Filter, Preprocessing
from scr2st_env.encoders.timm_models import SWIGLU, timm_encoder
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scr2st_env.encoders.frozen import FrozenEncoder
    from scr2st_env.encoders.pooling import FeaturesOf

BIOPTIMUS: tuple[Channels, Channels] = (
    (0.707223, 0.578729, 0.703617),
    (0.211883, 0.230117, 0.177517),
)
OPENAI_CLIP: tuple[Channels, Channels] = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)


@dataclass(frozen=True)
class PublishedModel:
    """One model: its repository, the library that runs it, what it takes and gives.

    Attributes
    ----------
    repository
        On Hugging Face.
    library
        ``"timm"``, ``"transformers"`` or ``"conch"``.
    dim
        Width of its features; loading checks it.
    side
        Pixels of its input.
    colours
        Mean and spread of red, green and blue.
    interpolation
        By which a patch of another size is scaled.
    features_of
        See :mod:`scr2st_env.encoders.pooling`; of transformers, the class token.
    arguments
        Of ``timm.create_model``.
    """

    repository: str
    library: Literal["timm", "transformers", "conch"]
    dim: int
    side: int = 224
    colours: tuple[Channels, Channels] = IMAGENET
    interpolation: Filter = "bicubic"
    features_of: FeaturesOf = returned
    arguments: Mapping[str, Any] = field(default_factory=dict)


_UNI2_H: dict[str, Any] = {
    "img_size": 224,
    "patch_size": 14,
    "depth": 24,
    "num_heads": 24,
    "init_values": 1e-5,
    "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2,
    "no_embed_class": True,
    "reg_tokens": 8,
    "dynamic_img_size": True,
} | SWIGLU
_LAYER_SCALE: dict[str, Any] = {"init_values": 1e-5}

PATHOLOGY_MODELS: dict[str, PublishedModel] = {
    "uni": PublishedModel(
        "MahmoodLab/UNI",
        "timm",
        1024,
        interpolation="bilinear",
        arguments=_LAYER_SCALE | {"dynamic_img_size": True},
    ),
    "uni2-h": PublishedModel(
        "MahmoodLab/UNI2-h", "timm", 1536, interpolation="bilinear", arguments=_UNI2_H
    ),
    "conch": PublishedModel("MahmoodLab/CONCH", "conch", 512, side=448, colours=OPENAI_CLIP),
    "virchow2": PublishedModel(
        "paige-ai/Virchow2", "timm", 2560, features_of=class_and_patches, arguments=SWIGLU
    ),
    "h-optimus-0": PublishedModel(
        "bioptimus/H-optimus-0",
        "timm",
        1536,
        colours=BIOPTIMUS,
        arguments=_LAYER_SCALE | {"dynamic_img_size": False},
    ),
    "h-optimus-1": PublishedModel(
        "bioptimus/H-optimus-1",
        "timm",
        1536,
        colours=BIOPTIMUS,
        arguments=_LAYER_SCALE | {"dynamic_img_size": False},
    ),
    "phikon": PublishedModel("owkin/phikon", "transformers", 768),
    "phikon-v2": PublishedModel("owkin/phikon-v2", "transformers", 1024),
}


def pathology_encoder(name: str, **options: Any) -> FrozenEncoder:
    """Return the pathology model of that short name.

    Parameters
    ----------
    name
        A key of ``PATHOLOGY_MODELS``.
    options
        ``device``, ``batch_size`` and ``download`` of :func:`scr2st_env.encoders.get_encoder`.

    Returns
    -------
    FrozenEncoder

    Raises
    ------
    InputError
        If the library or the weights are missing, or the weights are another model's.
    """
    model = PATHOLOGY_MODELS[name]
    preprocessing = Preprocessing(model.side, model.side, *model.colours, model.interpolation)
    if model.library == "timm":
        encoder = timm_encoder(
            name,
            model.repository,
            features_of=model.features_of,
            arguments=model.arguments,
            preprocessing=preprocessing,
            **options,
        )
    elif model.library == "conch":
        encoder = conch_encoder(name, model.repository, preprocessing, **options)
    else:
        encoder = huggingface_encoder(name, model.repository, **options)
    if encoder.dim != model.dim:
        raise InputError(
            f"the weights of {model.repository} give {encoder.dim} features, but {name} has "
            f"{model.dim}; get them anew"
        )
    return encoder
