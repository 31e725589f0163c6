"""One random generator for each sub-environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gymnasium.utils.seeding import np_random

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from scr2st_env.arrays import BoolArray


class Generators:
    """One random generator for each sub-environment, the one that it would have alone.

    Parameters
    ----------
    n_episodes
        Number of sub-environments, B.
    """

    def __init__(self, n_episodes: int) -> None:
        self._made: list[tuple[np.random.Generator, int] | None] = [None] * n_episodes

    def seed(self, seed: int | Sequence[int | None] | None, is_reset: BoolArray) -> None:
        """Seed some generators: i by ``seed + i``, or by its entry of a sequence of B.

        Raises
        ------
        InputError
            If it is neither, or the sequence has another length.
        """
        n_episodes = len(self._made)
        if seed is None:
            return
        if isinstance(seed, int):
            seed = range(seed, seed + n_episodes)
        if isinstance(seed, str) or not isinstance(seed, Sequence):
            raise InputError(
                f"seed must be a Python int or a list of {n_episodes}, got {type(seed).__name__}"
            )
        if len(seed) != n_episodes:
            raise InputError(f"{len(seed)} seeds for {n_episodes} sub-environments")
        for row, own in enumerate(seed):
            if is_reset[row] and own is not None:
                self._made[row] = np_random(own)

    def __getitem__(self, row: int) -> np.random.Generator:
        return self._of(row)[0]

    @property
    def all(self) -> tuple[np.random.Generator, ...]:
        """The generators."""
        return tuple(self._of(row)[0] for row in range(len(self._made)))

    @property
    def seeds(self) -> tuple[int, ...]:
        """What they were seeded with."""
        return tuple(self._of(row)[1] for row in range(len(self._made)))

    def _of(self, row: int) -> tuple[np.random.Generator, int]:
        made = self._made[row]
        if made is None:
            made = self._made[row] = np_random()
        return made
