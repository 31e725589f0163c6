"""What every encoder asks of the patches it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SIDE = 16


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
