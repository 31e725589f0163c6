"""What a patch encoder is, and where encoders are found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray

MIN_SIDE = 16


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


def checked_patches(patches: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the patches unchanged after checking type and shape.

    Raises
    ------
    InputError
        Unless ``patches`` is uint8 (n, height, width, 3) with sides of at least 16 pixels.
    """
    array = np.asarray(patches)
    if array.dtype != np.uint8:
        raise InputError(f"patches must be uint8 RGB values 0..255, got {array.dtype}")
    if array.ndim != 4 or array.shape[3] != 3:
        raise InputError(f"patches must have shape (n, height, width, 3), got {array.shape}")
    if min(array.shape[1:3]) < MIN_SIDE:
        raise InputError(
            f"patches of {array.shape[1]} x {array.shape[2]} pixels are too small; "
            f"cut them at least {MIN_SIDE} pixels wide"
        )
    return array


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
