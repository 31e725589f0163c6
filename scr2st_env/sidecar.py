"""Plain arrays kept beside a file that cannot be memory-mapped, for every process to map.

``docs/slides.md`` says where they lie, when they are read again, and what a crash leaves.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import re
import shutil
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scr2st_env.errors import InputError
from scr2st_env.files import cache_folder, existing_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    Tree: TypeAlias = dict[str, Any]  # arrays, JSON values, and trees of them

FORMAT = 1  # raise it when what is read from a file, or how it is kept, changes
MAPPED_FROM = 2**20  # bytes; a mapped array holds a file descriptor, so small ones are read
_MANIFEST = "manifest.json"
_BUILDING = ".building-"
_NAME = re.compile("[0-9a-f]{64}")  # of a folder, as _key makes it
_ABANDONED_AFTER = 86_400.0  # seconds without a writer finishing
_DAMAGES = (OSError, ValueError, KeyError, TypeError)  # what reading a broken folder can raise
_CLOCK_TICK = 0.02  # seconds; file times move in steps of up to 10 ms


@dataclass(frozen=True)
class FileVersion:
    """A file at one moment, as far as that can be told without reading it."""

    path: str
    size: int
    modified: int  # ns
    changed: int  # ns; also moves when a copy keeps the time of modification

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileVersion:
        """Return the version of a file, once it is old enough for a later write to be seen."""
        file = existing_file(path)
        state = file.stat()
        age = time.time() - max(state.st_mtime, state.st_ctime)
        if 0 <= age < _CLOCK_TICK:
            time.sleep(_CLOCK_TICK - age)
            state = file.stat()
        place = file.parent.resolve() / file.name  # a link names the slide, not what it leads to
        return cls(str(place), state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def kept_beside(
    version: FileVersion, reading: Mapping[str, Any], read: Callable[[], Tree]
) -> tuple[Tree, str]:
    """Return what was read from a file, its arrays memory-mapped and read-only.

    Parameters
    ----------
    version
        The file, as it is now.
    reading
        What is read and how; every choice that the arrays depend on.
    read
        Reads the file; called where no sidecar of this version holds the arrays.

    Returns
    -------
    tuple of dict and str
        The tree that ``read`` returned, and a digest of its content.

    Raises
    ------
    InputError
        If the file changes while it is read.

    Warns
    -----
    RuntimeWarning
        If a sidecar is damaged and made again, or cannot be written, so that the arrays are held
        in memory by every process for itself.
    """
    folder = cache_folder() / "slides" / _key(version, reading)
    try:
        stored = _opened(folder)
        if stored is not None:
            return stored
    except _DAMAGES as error:
        _warn(f"the arrays kept for {version.path} are damaged ({error}); reading the file again")
    tree = read()
    if FileVersion.of(version.path) != version:
        raise InputError(f"{version.path} changed while it was read; open it when it is complete")
    manifest: Tree = {"format": FORMAT, "file": asdict(version), "content": _described(tree)}
    manifest["digest"] = _digest(manifest["content"], tree)
    try:
        return _stored(tree, manifest, folder)
    except _DAMAGES as error:
        _warn(
            f"{version.path} is held in memory, by every process for itself: its arrays cannot be "
            f"kept in {folder.parent} ({error}); name a folder that can be written to with the "
            "environment variable SCR2ST_CACHE"
        )
        for _, array in _arrays(tree):
            array.setflags(write=False)
        return tree, manifest["digest"]


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=5)  # who called from_anndata


def _key(version: FileVersion, reading: Mapping[str, Any]) -> str:
    words = json.dumps([FORMAT, asdict(version), dict(reading)], sort_keys=True, default=repr)
    return hashlib.sha256(words.encode()).hexdigest()


def _arrays(tree: Tree, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    for name, value in tree.items():
        if isinstance(value, np.ndarray):
            yield prefix + name, value
        elif isinstance(value, dict):
            yield from _arrays(value, f"{prefix}{name}.")


def _described(tree: Tree) -> Tree:
    """Return the tree with the kind and shape of each array in its place."""
    described: Tree = {}
    for name, value in tree.items():
        if isinstance(value, np.ndarray):
            described[name] = {"dtype": value.dtype.str, "shape": list(value.shape)}
        else:
            described[name] = _described(value) if isinstance(value, dict) else value
    return described


def _digest(described: Tree, tree: Tree) -> str:
    digest = hashlib.sha256(json.dumps(described).encode())
    for _, array in _arrays(tree):
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _stored(tree: Tree, manifest: Tree, folder: Path) -> tuple[Tree, str]:
    """Write a complete folder, then give it its name: nobody ever sees half of one."""
    home = folder.parent
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    building = Path(tempfile.mkdtemp(dir=home, prefix=_BUILDING))
    try:
        complete = building / "complete"
        complete.mkdir()
        for name, array in _arrays(tree):
            np.save(complete / f"{name}.npy", array, allow_pickle=False)
        (complete / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        if not _is_sound(folder):
            with suppress(FileNotFoundError):
                folder.rename(building / "damaged")
            with suppress(OSError):  # another process was first: its folder is as good
                complete.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    opened = _opened(folder)
    if opened is None:
        raise FileNotFoundError(f"{folder} is gone")
    return opened


def _is_sound(folder: Path) -> bool:
    try:
        return _opened(folder) is not None
    except _DAMAGES:
        return False


def _opened(folder: Path) -> tuple[Tree, str] | None:
    """Return the tree and its digest, or None where there is no such folder."""
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises on a folder shut to us
        return None
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    content, digest = manifest["content"], manifest["digest"]
    tree = _loaded(content, folder, "")
    complete = (folder / _MANIFEST).stat().st_mtime_ns
    touched = any(path.stat().st_mtime_ns > complete for path in folder.glob("*.npy"))
    if touched and _digest(content, tree) != digest:
        raise ValueError("an array was changed")
    return tree, digest


def _loaded(described: Tree, folder: Path, prefix: str) -> Tree:
    tree: Tree = {}
    for name, value in described.items():
        if not isinstance(value, dict):
            tree[name] = value
        elif set(value) == {"dtype", "shape"}:
            tree[name] = _array(folder / f"{prefix}{name}.npy", value)
        else:
            tree[name] = _loaded(value, folder, f"{prefix}{name}.")
    return tree


def _array(path: Path, described: Mapping[str, Any]) -> NDArray[Any]:
    try:
        is_large = path.stat().st_size >= MAPPED_FROM
        array = _mapped(path) if is_large else np.load(path, allow_pickle=False)
    except (FileNotFoundError, EOFError) as error:
        raise ValueError(f"{path.name} is incomplete") from error
    if array.dtype.str != described["dtype"] or list(array.shape) != described["shape"]:
        raise ValueError(f"{path.name} holds {array.dtype} {array.shape}")
    array.setflags(write=False)
    return array


def _sweep(home: Path) -> None:
    """Remove what no process can ask for: files that changed or went, writers that were killed."""
    for folder in home.iterdir():
        try:
            if folder.name.startswith(_BUILDING):
                is_rubbish = time.time() - folder.stat().st_mtime > _ABANDONED_AFTER
            else:  # what we did not name is somebody's, whatever it holds
                is_rubbish = bool(_NAME.fullmatch(folder.name)) and not _is_current(folder)
        except OSError:
            continue  # swept by another process at this moment
        if is_rubbish:
            shutil.rmtree(folder, ignore_errors=True)


def _is_current(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        version = FileVersion(**manifest["file"])
        return bool(manifest["format"] == FORMAT and FileVersion.of(version.path) == version)
    except (ValueError, KeyError, TypeError):  # no manifest of ours, or the file is gone
        return False


def _mapped(path: Path) -> NDArray[Any]:
    """Map an array without ``numpy.memmap``, which tells whoever holds it where the file is."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{path} has version {version} of the .npy format")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if dtype.hasobject or len(content) < start + dtype.itemsize * math.prod(shape):
        raise ValueError(f"{path} is cut off or holds objects")
    return np.ndarray(shape, dtype, content, start, order="F" if is_fortran else "C")
