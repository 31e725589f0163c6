"""The reward that the method's authors released, for comparison only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.cell_states import nearest_states
from scr2st_env.rewards.entropy import entropy
from scr2st_env.rewards.paying import CopiedRewards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scr2st_env.arrays import FloatArray, IntArray
    from scr2st_env.rewards.base import Setting
    from scr2st_env.rewards.paying import BatchedReward


class ReleasedReward:
    """The published formula with its faults, as a baseline; do not train for it.

    Unlike every other reward here it is paid for the picks of one round, R, as if nothing had
    been measured before, so rewards do not add up to a potential:

    * ``states``: |states nearest to a spot of R| / C;
    * ``types``: H(mean composition of R) / log(number of types *seen* in R), -1 where R shows one
      type, so two balanced types already score the maximum;
    * ``density``: the mean distance, in pitches, from a spot of the slide to the nearest spot of
      R, *added* where it should be taken off, so clumps score more than a lattice.

    What is known of the released formula determines that it scores single rounds, how it divides
    the entropy, and the sign of the coverage. It does not determine the unit of the distance, the
    scale of the states, or the weights: here they are pitches, C, and 1 each.

    References
    ----------
    SCR2-ST, arXiv 2512.13635, the section on SCRL and its released implementation.
    """

    names = ("states", "types", "density")
    privileged: frozenset[str] = frozenset()

    def check(self, setting: Setting) -> None:
        """Raise :class:`InputError` where a slide lacks embedding or types."""
        setting.embedding("states")
        setting.types("types")

    def bind(self, setting: Setting) -> _Released:
        """Return the reward on one slide."""
        return _Released(
            nearest_states(
                setting.embedding("states"), setting.cell_reference("states").states
            ).tolist(),
            setting.cell_reference("states").n_states,
            setting.types("types"),
            setting.slide.public.pitch_coordinates,
        )

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedReward:
        """Return the reward of many episodes on one slide."""
        return CopiedRewards(self.bind(setting), self.names, n_episodes)


class _Released:
    def __init__(
        self,
        nearest: list[int],
        n_states: int,
        types: FloatArray,
        pitch_coordinates: FloatArray,
    ) -> None:
        self._nearest = nearest  # (N,)
        self._n_states = n_states
        self._types = types  # (N, T)
        self._coordinates = pitch_coordinates  # (N, 2)

    def reset(self, initial: IntArray) -> None:
        """Begin an episode; the formula has no memory."""

    def settle(self, spots: Sequence[int]) -> dict[str, float]:
        if not spots:
            return dict.fromkeys(ReleasedReward.names, 0.0)
        states = {self._nearest[spot] for spot in spots}
        distances, _ = cKDTree(self._coordinates[list(spots)]).query(self._coordinates)
        return {
            "states": len(states) / self._n_states,
            "types": self._types_seen(spots),
            "density": float(np.mean(distances)),
        }

    def _types_seen(self, spots: Sequence[int]) -> float:
        composition = self._types[list(spots)].astype(np.float64).mean(axis=0)
        n_seen = int((composition > 0).sum())
        return -1.0 if n_seen == 1 else entropy(composition / composition.sum()) / np.log(n_seen)
