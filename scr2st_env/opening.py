"""Value objects opened from a file: one per process, and pickled as the file's name."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar
from weakref import WeakValueDictionary

from scipy import sparse

from scr2st_env.arrays import Shared
from scr2st_env.errors import InputError
from scr2st_env.sidecar import FileVersion, kept_beside

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from scr2st_env.sidecar import Tree

    Opened = TypeVar("Opened", bound="FromFile")

_OPEN: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


@dataclass(frozen=True)
class Origin:
    """Where an object was read from.

    Parameters
    ----------
    path
        Absolute.
    options
        Keyword arguments of ``from_anndata``.
    digest
        Of the content of every array.
    """

    path: str
    options: Mapping[str, Any]
    digest: str


class FromFile(Shared):
    """Pickled as its origin where it has one, so that workers map the arrays of the parent."""

    origin: Origin | None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Return the call that opens the file again, or the arrays of an object made in memory."""
        if self.origin is None:
            return super().__reduce_ex__(protocol)
        return reopened, (type(self), self.origin)


def opened(
    kind: type[Opened],
    path: str | os.PathLike[str],
    options: Mapping[str, Any],
    read: Callable[[], Opened],
    restore: Callable[[Tree], Opened],
) -> Opened:
    """Open a file through its sidecar; who opens it again, while the object lives, gets it.

    Parameters
    ----------
    kind
        What is read from the file.
    path
        The file.
    options
        Every choice that the object depends on: keyword arguments of ``kind.from_anndata``.
    read
        Reads the file itself.
    restore
        Makes the object from what the sidecar kept of it.

    Returns
    -------
    Opened
        Its arrays memory-mapped, its ``origin`` set.
    """
    version = FileVersion.of(path)
    reading = {"kind": kind.__name__, **options}
    key = (version, repr(sorted(reading.items())))
    found: Opened | None = _OPEN.get(key)
    if found is not None:
        return found
    tree, digest = kept_beside(version, reading, lambda: _tree(read()))
    value = restore(tree)
    object.__setattr__(value, "origin", Origin(version.path, dict(options), digest))
    return _OPEN.setdefault(key, value)


def reopened(kind: Any, origin: Origin) -> Any:
    """Return the object that was pickled as its origin.

    Raises
    ------
    InputError
        If the file is gone, or its content is another by now.
    """
    value = kind.from_anndata(origin.path, **origin.options)
    if value.origin.digest != origin.digest:
        raise InputError(
            f"{origin.path} changed since the {kind.__name__} that was read from it was pickled; "
            "open the file again where it was pickled"
        )
    return value


def all_options(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the defaults of the rest: equal choices open one sidecar."""
    bound = signature(function).bind(None, **options)
    bound.apply_defaults()
    return dict(list(bound.arguments.items())[1:])


def _tree(value: Any) -> Tree:
    """Return the fields of a dataclass, those of its parts as trees of their own."""
    return {field.name: _leaf(getattr(value, field.name)) for field in fields(value) if field.init}


def _leaf(value: Any) -> Any:
    if sparse.issparse(value):
        parts = {name: getattr(value, name) for name in ("data", "indices", "indptr")}
        return parts | {"columns": value.shape[1]}
    return _tree(value) if is_dataclass(value) else value
