"""What a patch encoder is, and where encoders are found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray


@runtime_checkable
class PatchEncoder(Protocol):
    """Turns H&E patches into feature vectors.

    Attributes
    ----------
    name
        Identifies the encoder, its weights and its version: features of two encoders with the
        same name are interchangeable, and the cache relies on it.
    dim
        Width D of the features.
    """

    name: str
    dim: int

    def encode(self, patches: NDArray[np.uint8]) -> FloatArray:
        """Return the features, float32 (n, D), of RGB patches, uint8 (n, height, width, 3).

        A patch's features depend on that patch alone, so patches can be encoded in any order.
        """
        ...


def _histology() -> PatchEncoder:
    from scr2st_env.encoders.histology import HistologyEncoder

    return HistologyEncoder()


_FACTORIES: dict[str, Callable[[], PatchEncoder]] = {"histology-v1": _histology}


def register_encoder(name: str, factory: Callable[[], PatchEncoder]) -> None:
    """Make an encoder available under its name, on the command line too.

    Parameters
    ----------
    name
        Its :attr:`PatchEncoder.name`.
    factory
        Called without arguments when the encoder is first wanted.

    Raises
    ------
    InputError
        If the name is taken.
    """
    if name in _FACTORIES:
        raise InputError(f"a patch encoder named {name!r} exists already; choose another name")
    _FACTORIES[name] = factory


def get_encoder(name: str) -> PatchEncoder:
    """Return the encoder of that name.

    Parameters
    ----------
    name
        ``"histology-v1"``, or a name given to :func:`register_encoder`.

    Returns
    -------
    PatchEncoder

    Raises
    ------
    InputError
        If there is no such encoder; the message lists those that exist.
    """
    if name not in _FACTORIES:
        raise InputError(f"no patch encoder is named {name!r}; there is {', '.join(_FACTORIES)}")
    return _FACTORIES[name]()
