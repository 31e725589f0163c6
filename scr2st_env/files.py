"""Where files are kept, and writing them so that a reader never sees half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scr2st_env.errors import InputError


def cache_folder() -> Path:
    """Return where what can be computed again is kept; deleting the folder is always safe.

    The folder named by ``SCR2ST_CACHE``, else ``scr2st`` in ``XDG_CACHE_HOME`` (``~/.cache``).
    """
    named = os.environ.get("SCR2ST_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "scr2st"


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of an ``.h5ad`` file, after checking that it is there."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file} does not exist; name an .h5ad file")
    return file


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name on success.

    When the block raises, or the process is killed, ``path`` is as it was before.

    Parameters
    ----------
    path
        The file to write.

    Yields
    ------
    Path
        A file name with the same suffix in the same folder, to be written inside the block.

    Raises
    ------
    InputError
        If the folder of ``path`` cannot be made or written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
        )
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
