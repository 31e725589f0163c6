"""Which form of the potentials plays: the compiled one where it was built, or NumPy's."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from scr2st_env.errors import InputError

SWITCH = "SCR2ST_COMPILED"
_KERNELS = "scr2st_env.rewards._kernels"


def load_kernels(wish: str | None) -> ModuleType | None:
    """Return the compiled kernels, or None where NumPy computes the potentials.

    Parameters
    ----------
    wish
        ``"1"`` to insist on the kernels, ``"0"`` to leave them unused, None for whatever was
        installed.

    Raises
    ------
    InputError
        If the kernels are insisted on and were not built, were built and do not load, or the wish
        is none of these.
    """
    if wish not in (None, "0", "1"):
        raise InputError(f"{SWITCH} must be 0, 1 or not set, got {wish!r}")
    is_built = find_spec(_KERNELS) is not None
    if wish == "1" and not is_built:
        raise InputError(
            f"{SWITCH}=1 asks for compiled rewards, which were not built; install a C compiler, "
            "then scr2st once more"
        )
    if not is_built or wish == "0":
        return None
    try:
        return import_module(_KERNELS)
    except ImportError as error:
        raise InputError(
            f"the compiled rewards do not load here ({error}); install scr2st once more, or set "
            f"{SWITCH}=0"
        ) from error


kernels = load_kernels(os.environ.get(SWITCH))
COMPILED = kernels is not None
"""Whether the potentials of single environments are computed by compiled code."""
