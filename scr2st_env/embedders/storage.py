"""Fitted embedders on disk: arrays as safetensors, settings as JSON in their header.

The header has a single entry: safetensors writes several in an order that differs from file to
file, and equal content has to give equal files, whose digests name encoders.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from scr2st_env.errors import InputError
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KEY = "scr2st_arrays"


def save_arrays(
    path: str | Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write named arrays and JSON settings as one ``.safetensors`` file.

    Parameters
    ----------
    path
        The file; replaced at once, so that no reader sees half of it.
    kind
        What it is, checked by :func:`load_arrays`.
    settings
        Anything that JSON can hold.
    arrays
        Named arrays.
    """
    header = {KEY: json.dumps({"kind": kind, "settings": dict(settings)}, sort_keys=True)}
    with replacing(path) as temporary:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            temporary,
            metadata=header,
        )


def kind_of(path: str | Path) -> str:
    """Return the kind of what :func:`save_arrays` wrote.

    Raises
    ------
    InputError
        If there is no such file, or it is none of ours.
    """
    return _read(Path(path), "embedder")[0]


def saved_kind(path: str | Path) -> str:
    """Return the kind of what :func:`save_arrays` wrote; nothing of any other file."""
    try:
        with safe_open(path, framework="numpy") as stored:
            return about(stored.metadata())[0]
    except (SafetensorError, OSError):
        return ""


def load_arrays(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what :func:`save_arrays` wrote; nothing is unpickled.

    Returns
    -------
    tuple of dict and dict
        Settings and arrays.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    path = Path(path)
    held, settings, arrays = _read(path, kind)
    if held != kind:
        raise InputError(f"{path} holds {held or 'something else'}, not a {kind}")
    return settings, arrays


def about(metadata: Mapping[str, str] | None) -> tuple[str, dict[str, Any]]:
    """Return kind and settings that a header names; none where the file is none of ours."""
    try:
        header = json.loads((metadata or {}).get(KEY, "{}"))
        return header.get("kind", ""), header.get("settings", {})
    except (ValueError, AttributeError):
        return "", {}


def _read(path: Path, kind: str) -> tuple[str, dict[str, Any], dict[str, NDArray[Any]]]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; name a saved {kind}")
    try:
        with safe_open(path, framework="numpy") as stored:
            held, settings = about(stored.metadata())
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a safetensors file ({error})") from error
    return held, settings, arrays
