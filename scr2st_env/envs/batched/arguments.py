"""Checks of what a batched environment is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode

from scr2st_env.arrays import is_count
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray


def checked_num_envs(num_envs: Any) -> int:
    """Return ``num_envs`` after checking that it is a count of at least 1."""
    if not is_count(num_envs, 1):
        raise InputError(f"num_envs must be a count >= 1, got {num_envs!r}")
    return int(num_envs)


def checked_autoreset_mode(mode: Any) -> AutoresetMode:
    """Return one of Gymnasium's autoreset modes from the mode or its name."""
    try:
        return AutoresetMode(mode)
    except ValueError:
        names = [known.value for known in AutoresetMode]
        raise InputError(f"autoreset_mode must be one of {names}, got {mode!r}") from None


def checked_actions(actions: Any, num_envs: int, n_spots: int) -> NDArray[np.intp]:
    """Return the spots that actions name, (B,), after checking that all are in the action space."""
    spots = np.asarray(actions)
    if spots.shape != (num_envs,) or spots.dtype.kind not in "iu":
        raise InputError(
            f"actions must be the indices of {num_envs} spots, got {spots.dtype} of shape "
            f"{spots.shape}"
        )
    if spots.min() < 0 or spots.max() >= n_spots:
        outside = (spots < 0) | (spots >= n_spots)
        raise InputError(
            f"action {spots[outside][0]} of sub-environment {outside.argmax()} is not in "
            f"0..{n_spots - 1}"
        )
    return spots.astype(np.intp, copy=False)


def checked_reset_mask(reset_mask: Any, num_envs: int) -> BoolArray:
    """Return which sub-environments to reset, (B,): all of them where nothing is said."""
    if reset_mask is None:
        return np.ones(num_envs, bool)
    is_reset = np.asarray(reset_mask)
    if is_reset.shape != (num_envs,) or is_reset.dtype != bool or not is_reset.any():
        raise InputError(
            f"options['reset_mask'] must be bool of shape ({num_envs},) and name one sub-"
            f"environment at least, got {is_reset.dtype} of shape {is_reset.shape}"
        )
    return is_reset
