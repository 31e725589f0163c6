"""``SpotSampling-v0``: the rules of buying spots on a slide under a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from scr2st_env.arrays import BoolArray
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.envs.observation import ObservationMode
from scr2st_env.envs.rules import Rules
from scr2st_env.envs.slides import read_reference, read_slides
from scr2st_env.envs.spec import PlainSpec
from scr2st_env.errors import InputError
from scr2st_env.reference import N_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scr2st_env.envs.ledger import Ledger
    from scr2st_env.envs.rendering import SlidePicture
    from scr2st_env.envs.slides import ReferenceSource, SlideSource, SpotSets
    from scr2st_env.rewards.base import Setting, Term
    from scr2st_env.rewards.paying import BoundReward
    from scr2st_env.rewards.weights import RewardWeights
    from scr2st_env.slide import PublicSlide, Slide


class SpotSamplingEnv(PlainSpec, gymnasium.Env[dict[str, Any], np.int64]):
    """Buy spots of a tissue slide, one by one, until the budget is spent.

    **Action** ``Discrete(N)``: the spot to buy next. A spot that is bought already, excluded or
    padding spends budget and earns nothing. **Observation** ``Dict``: the slide's public part and
    the selection mask; with ``feedback=True`` also the embeddings of spots whose round is back.
    **Reward**: the increase of potentials of the measured set, paid when a round is back.
    **Episode end**: the budget is spent, or nothing is left to buy; it is never truncated.

    Parameters
    ----------
    slides
        Slides, paths of ``.h5ad`` files or AnnData objects; None for the **training** sections of
        the embedded synthetic tissue (``synthetic.load_slides(synthetic.TEST)`` gives the others,
        of patients that no agent saw). With several, one is drawn at every reset.
    reference
        The single-cell atlas, in the same forms; None where no term needs it, or, without
        ``slides``, for the embedded one.
    budget
        How many spots may be bought: a count (int), or a fraction in (0, 1] of **all** spots of
        the slide (float), rounded, at least 1. Initial spots are not charged.
    round_size
        Spots sent to the sequencer together; feedback and reward arrive when the last of them is
        bought, and a short last round settles at the end of the episode.
    excluded
        Spots that can never be bought (a test part, damaged tissue), by slide name.
    initial
        Spots that are measured from the start, free of charge, by slide name.
    feedback
        Whether the embeddings of measured spots are observed.
    observation
        ``"full"``, ``"compact"`` (the static arrays give way to the slide's index) or ``"picks"``
        (the masks, too, give way to the list of picks).
    reward
        :class:`~scr2st_env.RewardWeights` or a mapping of them; ``"released"`` for the authors'
        formula, for comparison only.
    terms
        Reward terms of your own.
    features, embedding, types
        Keys in ``obsm`` of the AnnData objects; ``features=None`` for slides without an image.
    min_counts
        Spots of an AnnData object with fewer counts failed sequencing and cannot be bought; 0 lets
        every spot be bought. A :class:`~scr2st_env.Slide` brings its own ``measurable``.
    n_states
        Cell states of a reference that is read from AnnData.
    info_mask
        Whether ``info["action_mask"]`` is filled; without it a step is faster.
    render_mode
        ``"rgb_array"`` or None.

    Raises
    ------
    InputError
        If an argument cannot be used; the message names the slide and the way out.

    Notes
    -----
    What is seen follows from nothing that was not measured yet, with two exceptions: the parts of
    the privileged term ``prediction``, and, for AnnData read with ``min_counts`` above 0, which
    spots are available. ``docs/environment.md`` has every detail.

    Examples
    --------
    >>> import gymnasium as gym
    >>> import scr2st_env
    >>> env = gym.make("SpotSampling-v0", budget=5)
    >>> observation, info = env.reset(seed=0)
    >>> terminated = False
    >>> while not terminated:
    ...     action = env.action_space.sample(info["action_mask"].astype("int8"))
    ...     observation, reward, terminated, truncated, info = env.step(action)
    >>> int(observation["mask"].sum()), truncated
    (5, False)
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's form

    def __init__(
        self,
        slides: Sequence[SlideSource] | None = None,
        reference: ReferenceSource | None = None,
        *,
        budget: float = 0.1,
        round_size: int = 1,
        excluded: SpotSets | None = None,
        initial: SpotSets | None = None,
        feedback: bool = False,
        observation: ObservationMode = "full",
        reward: RewardWeights | Mapping[str, float] | Literal["released"] | None = None,
        terms: Sequence[Term] = (),
        features: str | None = "X_patch",
        embedding: str | None = "X_cell",
        types: str | None = "X_type",
        min_counts: int = MIN_COUNTS,
        n_states: int = N_STATES,
        info_mask: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        if slides is None:
            from scr2st_env.synthetic.embedded import TRAINING, load_reference, load_slides

            slides = load_slides(TRAINING)
            reference = load_reference() if reference is None else reference
        self.slides = read_slides(
            slides, features=features, embedding=embedding, types=types, min_counts=min_counts
        )
        atlas = read_reference(reference, embedding=embedding, n_states=n_states)
        self.render_mode = render_mode
        self.rules = Rules(
            self.slides,
            atlas,
            budget=budget,
            round_size=round_size,
            excluded=excluded,
            initial=initial,
            feedback=feedback,
            observation=observation,
            reward=reward,
            terms=terms,
            info_mask=info_mask,
        )
        self.observation_space = self.rules.layout.space
        self.action_space = self.rules.action_space
        self._write, self._spot = self.rules.layout.write, self.rules.spot
        self._info_mask, self._privileged = info_mask, self.rules.reward.privileged
        self._bound: dict[int, BoundReward] = {}
        self._ledger: Ledger | None = None
        self._payer: BoundReward | None = None
        self._pictures: WeakKeyDictionary[Setting, SlidePicture] = WeakKeyDictionary()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode.

        Parameters
        ----------
        seed
            Of the environment's own generator, which draws the slide.
        options
            ``"slide"``: name of the slide to play. ``"excluded"``: further spots of it that cannot
            be bought in this episode; options only ever narrow the choice.

        Returns
        -------
        tuple of dict and dict
            Observation and info.

        Raises
        ------
        InputError
            If an option is unknown, or leaves nothing to buy.
        """
        super().reset(seed=seed)
        index = self.rules.draw(options, self.np_random)
        setting = self.rules.setting(index, options)
        self._payer = self._payer_of(index, setting)
        if self._payer is not None:
            self._payer.reset(setting.initial)
        self._ledger = self.rules.open_ledger(setting, index)
        return self._write(self._ledger), self._info(
            self._ledger, self._nothing_paid(), wasted=False
        )

    def step(
        self, action: np.int64 | int
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Buy a spot.

        Parameters
        ----------
        action
            Index of the spot, 0..N-1.

        Returns
        -------
        tuple
            Observation, reward (float), terminated (bool), truncated (always False), info.

        Raises
        ------
        gymnasium.error.ResetNeeded
            Before the first reset and after the end of an episode.
        InputError
            If the action is not in the action space.
        """
        ledger = self._playing() if self._ledger is None else self._ledger
        if ledger.is_over:
            raise ResetNeeded("the episode is over: call reset() before the next step()")
        is_bought = ledger.buy(self._spot(action))
        is_over = ledger.is_over
        if is_over or ledger.in_round == ledger.round_size:
            back = ledger.close_round()
            parts = {} if self._payer is None else self._payer.settle(back)
        else:
            parts = self._nothing_paid()
        info = self._info(ledger, parts, wasted=not is_bought)
        return self._write(ledger), sum(parts.values(), 0.0), is_over, False, info

    def render(self) -> Any:
        """Return a picture of the episode, uint8, shape (height, width, 3)."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs gym.make(..., render_mode='rgb_array')")
            return None
        ledger = self._playing()
        setting = ledger.setting
        if setting not in self._pictures:
            from scr2st_env.envs.rendering import SlidePicture

            self._pictures[setting] = SlidePicture(
                setting.slide.public, setting.purchasable, setting.initial, setting.budget
            )
        return self._pictures[setting].draw(ledger)

    def action_masks(self) -> BoolArray:
        """Return which actions buy something, bool, (N,): what MaskablePPO asks for."""
        return self._playing().available.astype(bool)

    @property
    def slide(self) -> Slide:
        """The slide of this episode, hidden part included: for trainers, oracles, predictors."""
        return self._playing().setting.slide

    @property
    def public_slide(self) -> PublicSlide:
        """What an agent may know of the slide of this episode."""
        return self._playing().setting.slide.public

    @property
    def budget_spots(self) -> int:
        """The budget of this episode, a count."""
        return self._playing().setting.budget

    @property
    def round_size(self) -> int:
        """Purchases per round."""
        return self.rules.round_size

    @property
    def purchases(self) -> list[int]:
        """Spots bought in this episode, in order; wasted picks are left out."""
        return list(self._playing().purchases)

    @property
    def purchasable(self) -> BoolArray:
        """Spots that could be bought when the episode began, bool, (N,)."""
        return self._playing().setting.purchasable

    def _playing(self) -> Ledger:
        if self._ledger is None:
            raise ResetNeeded("call reset() first: no slide is being played yet")
        return self._ledger

    def _payer_of(self, index: int, setting: Setting) -> BoundReward | None:
        if setting.slide.hidden is None:
            return None
        if setting is not self.rules.settings[index]:  # narrowed by options, for this episode alone
            return self.rules.reward.bind(setting)
        if index not in self._bound:
            self._bound[index] = self.rules.reward.bind(setting)
        return self._bound[index]

    def _nothing_paid(self) -> dict[str, float]:
        return {} if self._payer is None else dict.fromkeys(self.rules.reward.names, 0.0)

    def _info(self, ledger: Ledger, parts: dict[str, float], *, wasted: bool) -> dict[str, Any]:
        info: dict[str, Any] = {
            "slide": ledger.slide_name,
            "wasted": wasted,
            "reward_terms": parts,
        }
        if self._info_mask:
            info["action_mask"] = ledger.available.astype(bool)
        if self._privileged:
            kept = parts.keys() & self._privileged
            info["privileged"] = {name: parts[name] for name in parts if name in kept}
            info["reward_terms"] = {name: parts[name] for name in parts if name not in kept}
        return info
