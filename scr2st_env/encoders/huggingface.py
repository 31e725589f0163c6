"""Patch encoders from Hugging Face transformers: any vision model, by its repository."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from scr2st_env.encoders.frozen import BATCH_SIZE, FrozenEncoder
from scr2st_env.encoders.pooling import class_token, mean_of_places
from scr2st_env.encoders.preprocessing import Preprocessing
from scr2st_env.encoders.weights import (
    UNREADABLE,
    digest_of,
    missing_library,
    read_json,
    snapshot,
    weight_files,
)
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Their first token stands for the whole image; of other models the mean of all places is taken.
WITH_CLASS_TOKEN = {
    "beit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit", "vit_msn",
}  # fmt: skip
WITH_POOLER = {"beit", "deit", "vit"}


def huggingface_encoder(
    name: str,
    repository: str,
    *,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    download: bool = False,
) -> FrozenEncoder:
    """Build a vision model of transformers and load its weights from the user's cache.

    Parameters
    ----------
    name
        How the encoder is called; the weights' digest is appended.
    repository
        ``"owner/name"``, or a folder with ``config.json``, ``preprocessor_config.json`` and
        weights.
    device, batch_size, download
        See :func:`scr2st_env.encoders.get_encoder`.

    Returns
    -------
    FrozenEncoder

    Raises
    ------
    InputError
        If transformers or the weights are missing, or the model is no plain vision model.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise missing_library("transformers", "huggingface", name) from error
    folder = snapshot(repository, download=download)
    config = read_json(folder / "config.json")
    kind = config.get("model_type", "")
    preprocessing = Preprocessing.of_huggingface(
        read_json(folder / "preprocessor_config.json"), str(folder)
    )
    files = weight_files(folder)
    features_of = class_token if kind in WITH_CLASS_TOKEN else mean_of_places
    options: dict[str, Any] = {"add_pooling_layer": False} if kind in WITH_POOLER else {}
    try:
        with _quiet():
            network = transformers.AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=files[0].suffix == ".safetensors",
                **options,
            )
        settings = {"features": features_of.__name__, "preprocessing": preprocessing.settings}
        return FrozenEncoder(
            f"{name}@{digest_of(files, settings)}",
            network,
            features_of,
            preprocessing,
            device=device,
            batch_size=batch_size,
        )
    except (*UNREADABLE, AttributeError, ImportError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{folder} is no vision model that transformers can load (model_type {kind!r}: "
            f"{reason})"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' report on unused heads, which frozen features do without, to itself."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
