"""Published weights: found in the user's own Hugging Face cache, and read without unpickling."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

SAFE, TENSORS_ONLY = "*.safetensors", "pytorch_model*.bin"
DIGITS = 12
UNREADABLE = (
    SafetensorError, UnpicklingError, OSError, RuntimeError, EOFError, ValueError, TypeError,
)  # fmt: skip


def snapshot(repository: str, *, download: bool = False) -> Path:
    """Return the folder of a model repository in the user's Hugging Face cache.

    Parameters
    ----------
    repository
        ``"owner/name"``, or a folder that holds such a repository's files.
    download
        Fetch what the cache lacks. Without it nothing goes over the network.

    Returns
    -------
    Path
        Holds ``config.json`` and weights.

    Raises
    ------
    InputError
        If the weights are not there; the message says how to get them.
    """
    if Path(repository).is_dir():
        return _with_weights(Path(repository), repository)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ModuleNotFoundError as error:
        raise missing_library("huggingface_hub", "huggingface", repository) from error
    try:
        return _with_weights(Path(snapshot_download(repository, local_files_only=True)), repository)
    except HFValidationError as error:
        raise InputError(
            f"{repository!r} is no folder and no owner/name of a repository"
        ) from error
    except (LocalEntryNotFoundError, InputError) as error:
        if not download:
            raise _absent(repository) from error
    try:
        folder = Path(snapshot_download(repository, allow_patterns=["*.json", SAFE]))
        if not list(folder.glob(SAFE)):
            snapshot_download(repository, allow_patterns=[TENSORS_ONLY])
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{repository} cannot be downloaded ({reason}); {_remedy(repository)}"
        ) from error
    return _with_weights(folder, repository)


def missing_library(module: str, extra: str, wanted: str) -> InputError:
    """Return the error that says which optional library to install."""
    return InputError(f"{wanted} needs {module}; pip install 'scr2st[{extra}]'")


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder, safetensors where there are any, sorted."""
    return sorted(folder.glob(SAFE)) or sorted(folder.glob(TENSORS_ONLY))


def read_weights(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Read named tensors, from safetensors or by PyTorch's loader restricted to tensors.

    Parameters
    ----------
    files
        One file, or the shards of one model.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    InputError
        If a file holds anything but tensors.
    """
    import torch
    from safetensors.torch import load_file

    tensors: dict[str, Any] = {}
    for file in files:
        try:
            if file.suffix == ".safetensors":
                tensors |= load_file(file)
            else:
                tensors |= torch.load(file, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            raise _foreign(file) from error
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise _foreign(files[0])
    return tensors


def digest_of(files: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """Return twelve hex digits that stand for these weights used with these settings."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:DIGITS]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path.parent} holds no {path.name}; copy the whole model") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}, not a JSON object")
    return values


def _foreign(file: Path) -> InputError:
    return InputError(
        f"{file} is damaged or holds more than tensors, and is not unpickled; get the published "
        "file anew, as safetensors where there is one"
    )


def _with_weights(folder: Path, repository: str) -> Path:
    if not weight_files(folder):
        raise InputError(f"{folder} holds no weights of {repository} (model.safetensors)")
    return folder


def _absent(repository: str) -> InputError:
    from huggingface_hub import constants

    return InputError(
        f"no weights of {repository} in the Hugging Face cache ({constants.HF_HUB_CACHE}); "
        f"{_remedy(repository)}, or allow the download (download=True, --download)"
    )


def _remedy(repository: str) -> str:
    return (
        f"accept the licence at https://huggingface.co/{repository} where there is one, then run "
        f"'hf auth login' and 'hf download {repository}'"
    )
