"""The trained agent, free of the environment that it was trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from agents.base import SlideAgent
from agents.baselines.feedback import returned
from agents.policy.bank import SlideBank
from agents.policy.feedback import Atlas, Feedback
from agents.policy.inputs import FeatureProjection, InputSettings, SlideInputs, describe
from agents.policy.network import SpotNetwork
from agents.record import TrainingRecord
from agents.saved import AgentParts, read_parts, write_parts
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide


@dataclass(eq=False)
class SpotAgent(SlideAgent):
    """A learned agent that decides from the public part of a slide and what it bought.

    It plays on any slide whose features come from the encoder it was trained with, with any
    number of spots, budget and round size, from compact and full observations alike.

    Parameters
    ----------
    network
        The learned part.
    settings, projection
        How a slide is described to it.
    record
        What it was trained for; None for an untrained agent.
    name
        Shown in results.
    atlas
        The cell states that an agent with feedback looks for.

    Notes
    -----
    A decision costs O(N^2), and an episode begins with an O(N^3) eigendecomposition: meant for
    up to some thousand spots.
    """

    network: SpotNetwork
    settings: InputSettings
    projection: FeatureProjection
    record: TrainingRecord | None = None
    name: str = "spot"
    atlas: Atlas | None = None
    bank: SlideBank = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin with an empty bank."""
        self.bank = SlideBank([], self.settings, self.atlas)

    def prepare(self, slide: PublicSlide) -> None:
        """Describe the slide to the network, unless it is the one described last.

        It is described as if no spot were measured from the start; what the first observation
        says otherwise is heeded there.

        Raises
        ------
        InputError
            If the slide's features are of another encoder or width than the agent was trained on.
        """
        self.n_measured: int | None = None
        if (slide.fingerprint, self.budget) not in self.bank.keys:
            self.bank = SlideBank([self._describe(self.budget)], self.settings, self.atlas)

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
            Of one environment, with ``mask``, ``available``, ``remaining`` and ``round``, and
            with feedback where ``settings.feedback``.
        state, episode_start
            Of Stable-Baselines3's interface; not used.
        deterministic
            Take the best spot instead of drawing one from the policy.

        Raises
        ------
        InputError
            Before :meth:`begin_episode`, when nothing can be bought, or where an agent with
            feedback is shown none or one of another width.
        """
        del episode_start
        bought, available = self.spots(observation)
        progress = np.concatenate([observation["remaining"], observation["round"]])
        feedback = self._feedback(observation) if self.settings.feedback else None
        logits = self.logits(bought, available, progress, feedback)
        logits = np.where(available, logits, -np.inf)
        if deterministic:
            return int(logits.argmax()), state
        return int((logits + self.rng.gumbel(size=logits.size)).argmax()), state

    def logits(
        self,
        bought: BoolArray,
        available: BoolArray,
        progress: np.ndarray[Any, Any],
        feedback: Feedback | None = None,
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the unnormalised log probability of every spot, (N,), available or not.

        Parameters
        ----------
        bought, available
            (N,).
        progress
            Share of the budget left and of the round filled, (2,).
        feedback
            What came back, where ``settings.feedback``.
        """
        if self.n_measured is None:
            self.n_measured = self._heed_initial_spots(bought, float(progress[0]))
        with torch.no_grad():
            batch = self.bank(
                torch.tensor([self.bank.row(self.current_slide.fingerprint, self.n_measured)]),
                torch.from_numpy(bought[None].astype(np.float32)),
                torch.from_numpy(available[None].astype(np.float32)),
                torch.from_numpy(progress[None].astype(np.float32)),
                self.network.prior,
                feedback,
            )
            found = self.network.forward_actor(batch)
        return found[0].double().numpy()

    def _feedback(self, observation: Mapping[str, Any]) -> Feedback:
        known = returned(observation, self.name)
        width = known.embedding.shape[1]
        if self.atlas is None or width != self.atlas.states.shape[1]:
            raise InputError(
                f"agent {self.name!r}: measured spots have an embedding of width {width}, but it "
                "was trained on another; run 'scr2st embed' with the reference of its training"
            )
        return Feedback(
            torch.from_numpy(known.spots)[None],
            torch.from_numpy(known.embedding.astype(np.float32))[None],
        )

    def _heed_initial_spots(self, bought: BoolArray, remaining: float) -> int:
        """Describe the slide for all spots that will be measured, as the reward counts them."""
        n_measured = max(int(bought.sum()) + round(remaining * self.budget), 1)
        fingerprint = self.current_slide.fingerprint
        if (fingerprint, n_measured) not in self.bank.keys:
            alone = self.bank.slide(self.bank.row(fingerprint, self.budget))
            inputs = [alone, self._describe(n_measured)]
            self.bank = SlideBank(inputs, self.settings, self.atlas)
        return n_measured

    def _describe(self, n_measured: int) -> SlideInputs:
        return describe(self.current_slide, n_measured, self.settings, self.projection)

    def save(self, path: str | Path) -> None:
        """Write the agent to one safetensors file; the slide that it plays on is not written."""
        parts = AgentParts(
            self.network, self.settings, self.projection, self.record, self.name, self.atlas
        )
        write_parts(parts, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an agent that :meth:`save` wrote; nothing in the file is executed.

        Raises
        ------
        InputError
            If there is no such file, it is cut short, or it is something else than a spot agent.
        """
        return cls(*read_parts(path))
