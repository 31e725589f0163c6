"""What the arguments of an environment say, checked: the same for one episode and for many."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces

from scr2st_env.envs.ledger import Ledger
from scr2st_env.envs.observation import ObservationLayout
from scr2st_env.envs.settings import checked_round_size, make_settings, spot_indices
from scr2st_env.errors import InputError
from scr2st_env.rewards.weights import make_reward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scr2st_env.envs.observation import ObservationMode
    from scr2st_env.envs.slides import SpotSets
    from scr2st_env.reference import CellReference
    from scr2st_env.rewards.base import Setting, Term
    from scr2st_env.rewards.weights import RewardWeights
    from scr2st_env.slide import Slide

_OPTIONS = ("slide", "excluded")


class Rules:
    """The rules by which episodes are played; they hold nothing of an episode.

    Parameters
    ----------
    slides, reference
        As :mod:`scr2st_env.envs.slides` reads them.
    budget, round_size, excluded, initial, feedback, observation, reward, terms, info_mask
        See :class:`~scr2st_env.SpotSamplingEnv`.

    Attributes
    ----------
    settings : tuple of Setting
        One per slide.
    reward : Reward
        How purchases are paid.
    layout : ObservationLayout
        What is seen.
    action_space : Discrete
        The spots of the largest slide.
    """

    def __init__(
        self,
        slides: Sequence[Slide],
        reference: CellReference | None,
        *,
        budget: float,
        round_size: int,
        excluded: SpotSets | None,
        initial: SpotSets | None,
        feedback: bool,
        observation: ObservationMode,
        reward: RewardWeights | Mapping[str, float] | Literal["released"] | None,
        terms: Sequence[Term],
        info_mask: bool,
    ) -> None:
        for name, flag in (("feedback", feedback), ("info_mask", info_mask)):
            if not isinstance(flag, bool | np.bool_):
                raise InputError(f"{name} must be True or False, got {flag!r}")
        self.slides = tuple(slides)
        self.settings = make_settings(slides, reference, budget, excluded, initial)
        self.round_size = checked_round_size(round_size)
        self.reward = make_reward(reward, terms)
        for setting in self.settings:
            if setting.slide.hidden is not None:
                self.reward.check(setting)
        self.info_mask = info_mask
        self.layout = ObservationLayout(self.settings, observation, feedback=feedback)
        self.action_space = spaces.Discrete(self.layout.n_rows)

    def open_ledger(self, setting: Setting, index: int) -> Ledger:
        """Return the books of a new episode."""
        return Ledger(
            setting,
            index,
            n_rows=self.layout.n_rows,
            n_picks=self.layout.n_picks,
            round_size=self.round_size,
        )

    def spot(self, action: Any) -> int:
        """Return the spot that an action names, after checking that it is in the action space."""
        try:
            spot = operator.index(action)
        except TypeError:
            spot = None
        if spot is None or isinstance(action, bool):
            raise InputError(f"an action is the index of a spot, an integer, got {action!r}")
        if not 0 <= spot < self.layout.n_rows:
            raise InputError(
                f"action {spot} is not in 0..{self.layout.n_rows - 1}; take one that "
                "action_masks() allows"
            )
        return spot

    def draw(self, options: Mapping[str, Any] | None, rng: np.random.Generator) -> int:
        """Return the position of the slide of a new episode: drawn, or named by the options.

        Raises
        ------
        InputError
            If an option is unknown, or no slide has the name.
        """
        name = self.checked(options).get("slide")
        if name is not None:
            names = [slide.name for slide in self.slides]
            if name not in names:
                raise InputError(f"no slide is named {name!r}; the slides are {names}")
            return names.index(name)
        return int(rng.integers(len(self.slides))) if len(self.slides) > 1 else 0

    def setting(self, index: int, options: Mapping[str, Any] | None) -> Setting:
        """Return what can be bought on a slide, narrowed where the options exclude spots.

        Raises
        ------
        InputError
            If an option is unknown, names no spots, or leaves nothing to buy.
        """
        setting = self.settings[index]
        excluded = self.checked(options).get("excluded")
        if excluded is None:
            return setting
        setting = setting.without(spot_indices(excluded, setting.slide, "options['excluded']"))
        if not setting.purchasable.any():
            raise InputError(
                f"slide {setting.slide.name!r}: options leave nothing to buy; exclude fewer"
            )
        return setting

    @staticmethod
    def checked(options: Mapping[str, Any] | None, *further: str) -> Mapping[str, Any]:
        """Return the options of a reset, none of them unknown; ``further`` ones are known, too.

        Raises
        ------
        InputError
            If they are no mapping, or one is unknown.
        """
        known = [*_OPTIONS, *further]
        if not isinstance(options, Mapping | None):
            raise InputError(f"options must be a dict of {known}, got {type(options).__name__}")
        chosen = options or {}
        unknown = sorted(set(chosen) - set(known), key=repr)
        if unknown:
            raise InputError(f"unknown reset option {unknown[0]!r}; options are {known}")
        return chosen
