"""How an environment was made, in values that survive JSON."""

from __future__ import annotations

import os
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


class PlainSpec:
    """Gives an environment a ``spec`` whose arguments ``spec.to_json()`` can write.

    Paths become text, arrays and ranges lists. Slides and references
    that are objects stay what they are: they have no JSON; name their files instead.
    """

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """What :func:`gymnasium.make` was called with, or None."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else replace(spec, kwargs=_plain(spec.kwargs))


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, range | np.ndarray | np.generic):
        return np.asarray(value).tolist()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
