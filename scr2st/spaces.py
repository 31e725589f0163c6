"""Which embedder made an embedding, so that two spaces are never taken for one."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from scr2st_env.errors import InputError

EMBEDDER = "embedder.safetensors"
KINDS = ("PCAEmbedder", "ScGPTEmbedder", "ScVIEmbedder")


def space_key(embedding: str) -> str:
    """Return the ``uns`` key that names the space of ``obsm[embedding]``."""
    return f"{embedding}_space"


def space_of(embedder: Path) -> str:
    """Return twelve hex digits, equal for embedders that embed equally.

    Parameters
    ----------
    embedder
        The saved embedder.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the file is no embedder.
    """
    from scr2st_env.embedders.storage import kind_of, load_arrays

    kind = kind_of(embedder)
    settings, arrays = load_arrays(embedder, kind if kind in KINDS else KINDS[0])
    settings.pop("folder", None)  # where a checkpoint lies does not matter, what it is does
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()[:12]


def must_be_the_space_in(folder: Path, space: str) -> None:
    """Refuse a folder that holds another embedder.

    Raises
    ------
    InputError
        Naming the embedder.
    """
    present = folder / EMBEDDER
    if present.is_file() and (other := space_of(present)) != space:
        raise InputError(
            f"{present} is another embedder (space {other}, not {space}), whose slides cannot be "
            "mixed with these; name another -o, or remove what is there"
        )


def must_share_a_space(paths: Sequence[Path], embedding: str) -> None:
    """Refuse files of which two say that different embedders made their embeddings.

    What another tool embedded says nothing. A file that says nothing among others that do is
    worth a warning.

    Parameters
    ----------
    paths
        Slides and their reference, ``.h5ad``.
    embedding
        ``obsm`` key of the embeddings.

    Raises
    ------
    InputError
        Naming two files.
    """
    stated = {path: stated_space(path, embedding) for path in paths}
    known = {path: space for path, space in stated.items() if space}
    for path, space in known.items():
        first = next(iter(known))
        if space != known[first]:
            raise InputError(
                f"obsm[{embedding!r}] of {first} and {path} are of different embedders (spaces "
                f"{known[first]} and {space}); embed both with the same --embedder"
            )
    silent = [path for path, space in stated.items() if not space]
    if known and silent:
        warnings.warn(
            f"{silent[0]} does not say which embedder made its obsm[{embedding!r}], unlike "
            f"{next(iter(known))}; make sure that it was the same",
            stacklevel=2,
        )


def stated_space(path: Path, embedding: str) -> str:
    """Return what a file says of the space of ``obsm[embedding]``; nothing where it is silent."""
    import h5py

    try:
        with h5py.File(path) as file:
            stored = file.get(f"uns/{space_key(embedding)}")
            return stored.asstr()[()] if isinstance(stored, h5py.Dataset) else ""
    except OSError:
        return ""  # whoever reads the slide says what is wrong with it
