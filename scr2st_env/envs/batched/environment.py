"""``SpotSampling-v0`` for many episodes at once: the same rules, in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from scr2st_env.envs.batched.arguments import (
    checked_actions,
    checked_autoreset_mode,
    checked_num_envs,
    checked_reset_mask,
)
from scr2st_env.envs.batched.batches import Batches
from scr2st_env.envs.batched.generators import Generators
from scr2st_env.envs.batched.infos import batched_infos
from scr2st_env.envs.batched.ledger import BatchedLedger
from scr2st_env.envs.batched.observation import BatchedObservation
from scr2st_env.envs.spec import PlainSpec
from scr2st_env.envs.spot_sampling import SpotSamplingEnv
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.envs.rendering import SlidePicture
    from scr2st_env.rewards.base import Rows


class SpotSamplingVectorEnv(
    PlainSpec, VectorEnv[dict[str, Any], "NDArray[np.int64]", "NDArray[Any]"]
):
    """Play ``SpotSampling-v0`` in many sub-environments with one set of array operations.

    Rewards, observations, infos and endings are those of
    ``gymnasium.vector.SyncVectorEnv([lambda: gym.make("SpotSampling-v0", ...)] * num_envs)``,
    step by step.

    Parameters
    ----------
    num_envs
        Number of sub-environments, B.
    autoreset_mode
        What happens to a sub-environment whose episode has ended, as Gymnasium defines it:
        ``"NextStep"`` (its next step resets it and ignores the action), ``"SameStep"`` (it is
        reset at once; what ended lies in ``infos["final_obs"]`` and ``infos["final_info"]``) or
        ``"Disabled"`` (you reset it with ``options={"reset_mask": ...}``).
    copy
        Whether observations have memory of their own; without, a step overwrites what the last
        one returned, and is faster.
    **arguments
        Those of :class:`~scr2st_env.SpotSamplingEnv`.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Examples
    --------
    >>> import gymnasium as gym
    >>> import scr2st_env
    >>> envs = gym.make_vec("SpotSampling-v0", num_envs=3, budget=5, observation="compact")
    >>> observations, infos = envs.reset(seed=0)
    >>> observations["mask"].shape == (3, envs.single_action_space.n)
    True
    >>> actions = envs.action_masks().argmax(axis=1)
    >>> rewards = envs.step(actions)[1]
    >>> rewards.shape
    (3,)
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **arguments: Any,
    ) -> None:
        if arguments.pop("max_episode_steps", None) is not None:
            raise InputError(
                "max_episode_steps= cuts off nothing here: budget= ends an episode; for "
                "truncations pass vectorization_mode='sync'"
            )
        self.num_envs = checked_num_envs(num_envs)
        self.autoreset_mode = checked_autoreset_mode(autoreset_mode)
        single = SpotSamplingEnv(**arguments)
        self.rules = single.rules
        self.slides = single.slides
        self.metadata = {**single.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = single.render_mode
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.observation_space = batch_space(single.observation_space, self.num_envs)
        self.action_space = batch_space(single.action_space, self.num_envs)
        layout = self.rules.layout
        self._ledger = BatchedLedger(
            self.num_envs,
            n_rows=layout.n_rows,
            n_picks=layout.n_picks,
            round_size=self.rules.round_size,
        )
        self._observation = BatchedObservation(layout, self.num_envs, copy=copy)
        self._batches = Batches(self.rules, self.num_envs)
        self._generators = Generators(self.num_envs)
        self._has_ended: BoolArray | None = None
        self._pictures: dict[int, SlidePicture] = {}  # of the episodes that were looked at

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin episodes.

        Parameters
        ----------
        seed
            Sub-environment i gets ``seed + i``, or its entry of a sequence of B.
        options
            Those of the single environment, for all sub-environments; and ``"reset_mask"``, bool,
            (B,): the sub-environments to reset, the others play on.

        Returns
        -------
        tuple of dict and dict
            Observations, each array (B, ...), and infos.

        Raises
        ------
        InputError
            If an option or a seed is wrong.
        """
        chosen = dict(self.rules.checked(options, "reset_mask"))
        is_reset = checked_reset_mask(chosen.pop("reset_mask", None), self.num_envs)
        if self._has_ended is None and not is_reset.all():
            raise ResetNeeded("the first reset() is of all sub-environments: leave out reset_mask")
        self._generators.seed(seed, is_reset)
        self._begin(is_reset, chosen)
        self._has_ended = ~is_reset & (False if self._has_ended is None else self._has_ended)
        observations = self._observation.read(self._ledger)
        return observations, self._infos(is_reset, self._nothing(bool), self._nothing_paid())

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[dict[str, Any], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Buy a spot in every sub-environment.

        Parameters
        ----------
        actions
            Index of a spot for each, (B,).

        Returns
        -------
        tuple
            Observations, each array (B, ...); rewards, float64, (B,); terminations, bool, (B,);
            truncations, all False; infos.

        Raises
        ------
        gymnasium.error.ResetNeeded
            Before the first reset; with autoreset disabled, after the end of an episode.
        InputError
            If an action is not in the action space.
        """
        has_ended = self._playing()
        spots = checked_actions(actions, self.num_envs, self.rules.layout.n_rows)
        if has_ended.any():
            if self.autoreset_mode is AutoresetMode.DISABLED:
                raise ResetNeeded(
                    f"the episode of sub-environment {int(has_ended.argmax())} is over: call "
                    "reset(options={'reset_mask': ...}) before the next step()"
                )
            self._begin(has_ended, {})  # NEXT_STEP: their actions are ignored
        is_wasted, parts = self._nothing(bool), self._nothing_paid()
        terminations = self._buy(~has_ended, spots, is_wasted, parts)
        rewards = self._nothing(float)
        for part in parts.values():
            rewards += part
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and terminations.any():
            infos |= self._final(terminations, is_wasted, parts)
            self._begin(terminations, {})
            for values in (is_wasted, *parts.values()):
                values[terminations] = 0
        else:
            self._has_ended = terminations.copy()
        infos |= self._infos(np.ones(self.num_envs, bool), is_wasted, parts)
        observations = self._observation.read(self._ledger)
        return observations, rewards, terminations, self._nothing(bool), infos

    def action_masks(self) -> BoolArray:
        """Return which actions buy something, bool, (B, N)."""
        self._playing()
        return self._ledger.available.astype(bool)

    def render(self) -> tuple[Any, ...] | None:
        """Return a picture of each episode, uint8, (height, width, 3)."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs make_vec(..., render_mode='rgb_array')")
            return None
        self._playing()
        return tuple(self._picture(row) for row in range(self.num_envs))

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each sub-environment, as ``SyncVectorEnv`` has it."""
        return self._generators.all

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each sub-environment."""
        return self._generators.seeds

    def _picture(self, row: int) -> NDArray[np.uint8]:
        setting = self._batches.setting(row)
        if row not in self._pictures:
            from scr2st_env.envs.rendering import SlidePicture

            self._pictures[row] = SlidePicture(
                setting.slide.public, setting.purchasable, setting.initial, setting.budget
            )
        return self._pictures[row].draw(self._ledger.row(row, setting))

    def _playing(self) -> BoolArray:
        if self._has_ended is None:
            raise ResetNeeded("call reset() first: no slide is being played yet")
        return self._has_ended

    def _begin(self, is_reset: BoolArray, options: dict[str, Any]) -> None:
        indices = np.full(self.num_envs, -1)
        for row in np.flatnonzero(is_reset).tolist():
            indices[row] = self.rules.draw(options, self._generators[row])
            self._pictures.pop(row, None)
        drawn = np.unique(indices[is_reset]).tolist()
        settings = {index: self.rules.setting(index, options) for index in drawn}
        for index, setting in settings.items():
            rows = _rows(indices == index)
            batch = self._batches.begin(rows, index, setting)
            if batch.reward is not None:
                batch.reward.reset(rows, setting.initial)
            self._ledger.open(rows, setting, index)
            self._observation.begin(rows, setting)

    def _buy(
        self,
        is_playing: BoolArray,
        spots: NDArray[np.intp],
        is_wasted: BoolArray,
        parts: dict[str, NDArray[np.float64]],
    ) -> BoolArray:
        """Play one pick of each, fill in what it wasted and was paid; return who has ended."""
        ledger = self._ledger
        if is_playing.any():
            rows = _rows(is_playing)
            is_wasted[rows] = ~ledger.buy(rows, spots[rows])
        has_ended = ledger.is_over & is_playing
        is_closing = is_playing & ((ledger.in_round == self.rules.round_size) | has_ended)
        if is_closing.any():
            for batch, rows in self._batches.among(_rows(is_closing)):
                back = ledger.close_rounds(rows)
                self._observation.reveal(back, batch.setting)
                if batch.reward is not None:
                    for name, paid in batch.reward.settle(rows, back).items():
                        parts[name][rows] = paid
        return has_ended

    def _infos(
        self, is_told: BoolArray, is_wasted: BoolArray, parts: dict[str, NDArray[np.float64]]
    ) -> dict[str, Any]:
        return batched_infos(
            is_told,
            slide=self._batches.names,
            wasted=is_wasted,
            parts=parts,
            is_paid=self._batches.is_paid,
            privileged=self.rules.reward.privileged,
            action_mask=self._ledger.available.view(bool) if self.rules.info_mask else None,
        )

    def _final(
        self, has_ended: BoolArray, is_wasted: BoolArray, parts: dict[str, NDArray[np.float64]]
    ) -> dict[str, Any]:
        observations = self._observation.read(self._ledger)
        last = np.full(self.num_envs, None, object)
        for row in np.flatnonzero(has_ended).tolist():
            last[row] = {key: values[row].copy() for key, values in observations.items()}
        return {
            "final_obs": last,
            "_final_obs": has_ended.copy(),
            "final_info": self._infos(has_ended, is_wasted, parts),
            "_final_info": has_ended.copy(),
        }

    def _nothing(self, kind: type) -> NDArray[Any]:
        return np.zeros(self.num_envs, kind)

    def _nothing_paid(self) -> dict[str, NDArray[np.float64]]:
        return {name: self._nothing(float) for name in self.rules.reward.names}


def _rows(is_row: BoolArray) -> Rows:
    return slice(None) if is_row.all() else np.flatnonzero(is_row)
