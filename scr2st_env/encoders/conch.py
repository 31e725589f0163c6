"""CONCH, by way of its authors' own package, which holds its architecture."""

from __future__ import annotations

from importlib import import_module

from scr2st_env.encoders.frozen import BATCH_SIZE, FrozenEncoder
from scr2st_env.encoders.pooling import conch_image
from scr2st_env.encoders.preprocessing import Preprocessing
from scr2st_env.encoders.weights import digest_of, read_weights, snapshot, weight_files
from scr2st_env.errors import InputError

PACKAGE = "conch.open_clip_custom"  # on no package index, so it cannot be an extra
ARCHITECTURE = "conch_ViT-B-16"


def conch_encoder(
    name: str,
    repository: str,
    preprocessing: Preprocessing,
    *,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    download: bool = False,
) -> FrozenEncoder:
    """Build CONCH and load its weights from the user's cache.

    Parameters
    ----------
    name, repository, device, batch_size, download
        See :func:`scr2st_env.encoders.huggingface.huggingface_encoder`.
    preprocessing
        What the authors ask for.

    Returns
    -------
    FrozenEncoder

    Raises
    ------
    InputError
        If the package or the weights are missing.
    """
    try:
        package = import_module(PACKAGE)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{name} needs its authors' package; "
            "pip install git+https://github.com/mahmoodlab/CONCH.git"
        ) from error
    files = weight_files(snapshot(repository, download=download))[:1]
    read_weights(files)  # their package reads the file as well; first see that it is safe to read
    network, _ = package.create_model_from_pretrained(ARCHITECTURE, str(files[0]))
    settings = {"features": conch_image.__name__, "preprocessing": preprocessing.settings}
    return FrozenEncoder(
        f"{name}@{digest_of(files, settings)}",
        network,
        conch_image,
        preprocessing,
        device=device,
        batch_size=batch_size,
    )
