"""Agents that decide by what the sequencer returned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agents.base import SlideAgent
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide


@dataclass(frozen=True, eq=False)
class Returned:
    """Spots whose round is back, and what they showed.

    Parameters
    ----------
    spots
        Ascending, (n,).
    embedding
        Their embeddings, float64, (n, E).
    """

    spots: NDArray[np.int64]
    embedding: NDArray[np.float64]


def returned(observation: Mapping[str, Any], agent: str) -> Returned:
    """Read the feedback of a full or compact observation of one environment.

    Parameters
    ----------
    observation
        Of an environment with ``feedback=True``.
    agent
        Name of the agent that needs it.

    Raises
    ------
    InputError
        If the observation has no feedback.
    """
    if "measured" not in observation:
        raise InputError(
            f"agent {agent!r} learns from measured spots; make the environment with feedback=True"
        )
    measured = np.asarray(observation["measured"])
    if "returned" in observation:
        spots = rows = np.flatnonzero(observation["returned"])
    else:  # the compact form leaves the rows of pending picks, which are the last, at zero
        shown = np.flatnonzero(measured.any(axis=1))
        rows = np.arange(shown[-1] + 1 if shown.size else 0)
        spots = np.asarray(observation["picks"])[rows]
    order = np.argsort(spots)
    return Returned(spots[order].astype(np.int64), measured[rows[order]].astype(np.float64))


class FeedbackAgent(SlideAgent, ABC):
    """An agent that decides from the slide, the masks, and the embeddings of measured spots.

    Until ``n_needed`` spots are measured it buys at random.
    """

    n_needed: ClassVar[int] = 2

    @abstractmethod
    def choose(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, known: Returned
    ) -> int:
        """Return the spot to buy next.

        Parameters
        ----------
        slide, bought, available
            As in :meth:`agents.base.MaskAgent.choose`.
        known
            The measured spots, at least ``n_needed``.
        """

    def predict(
        self,
        observation: Mapping[str, Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[int, Any]:
        """Return the index of the spot to buy next, and ``state`` as it came.

        Parameters
        ----------
        observation
            Of one environment with ``feedback=True``, with ``mask`` and ``available``.
        state, episode_start, deterministic
            Of Stable-Baselines3's interface; not used.

        Raises
        ------
        InputError
            Before :meth:`begin_episode`, without feedback, or when nothing can be bought.
        """
        del episode_start, deterministic
        bought, available = self.spots(observation)
        known = returned(observation, self.name)
        if known.spots.size < self.n_needed:
            return int(self.rng.choice(np.flatnonzero(available))), state
        return self.choose(self.current_slide, bought, available, known), state
