"""One run at a time in a folder of results."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scr2st.outputs import missing_folders, remove_while_empty
from scr2st_env.errors import InputError

LOCK = ".running"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made, and removed if nothing was left in it.

    A run that was killed leaves its lock; the next one on the same machine takes it over.

    Parameters
    ----------
    folder
        Of the results.

    Raises
    ------
    InputError
        If another run is at work there.
    """
    made = missing_folders(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    _take(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        remove_while_empty(made)


def _take(lock: Path) -> None:
    owner = f"{os.getpid()} {socket.gethostname()}"
    if _is_stale(lock):
        lock.unlink(missing_ok=True)
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError as error:
        raise InputError(
            f"another run is at work in {lock.parent}; wait for its end or name another -o (if "
            f"there is none, remove {lock})"
        ) from error
    with os.fdopen(handle, "w") as file:
        file.write(owner)


def _is_stale(lock: Path) -> bool:
    """Whether a process of this machine left the lock, and is no more."""
    try:
        process, machine = lock.read_text(encoding="utf-8").split()
    except (FileNotFoundError, ValueError):
        return False
    return machine == socket.gethostname() and not _is_alive(int(process))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
