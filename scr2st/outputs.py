"""Where a command writes: a new file for each input, never the input itself."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from scr2st_env.errors import InputError


def one_output_each(inputs: Sequence[Path], folder: Path) -> list[Path]:
    """Choose ``folder/NAME`` for every input, NAME being its own, before anything is computed.

    Parameters
    ----------
    inputs
        Files to be read.
    folder
        Where new files go.

    Returns
    -------
    list of Path
        In the order of the inputs.

    Raises
    ------
    InputError
        If an input is no file, would be overwritten, or has the name of another one.
    """
    outputs = [folder / path.name for path in inputs]
    for path, output in zip(inputs, outputs, strict=True):
        must_be_file(path)
        if output.exists() and output.samefile(path):
            raise InputError(f"{path} lies in {folder} and is never overwritten; name another -o")
        if outputs.count(output) > 1:
            raise InputError(f"two inputs are called {path.name}; rename one, or run them apart")
        must_be_writable(output)
    return outputs


def must_be_file(path: Path, kind: str = "an .h5ad file") -> None:
    """Complain about an input that does not exist or is a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name {kind}")
    if not path.is_file():
        raise InputError(f"{path} does not exist; name {kind}")


def missing_folders(path: Path) -> list[Path]:
    """Return the folders that making ``path`` would make, the deepest first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def remove_while_empty(folders: Iterable[Path]) -> None:
    """Remove folders in this order, up to the first that holds something."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def must_be_writable(path: Path) -> None:
    """Complain before the work about what could not be written after it; touch nothing.

    Parameters
    ----------
    path
        A file to be written, in a folder that need not exist yet.

    Raises
    ------
    InputError
        If the path is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "it may not be written to" if there.is_dir() else "it is no folder"
        raise InputError(f"cannot write {path}: {there}: {reason}; name another -o")
