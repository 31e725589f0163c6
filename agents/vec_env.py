"""The batched environment as Stable-Baselines3 wants it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from scr2st_env import InputError, SpotSamplingVectorEnv

Indices = int | Iterable[int] | None


class SpotSamplingVecEnv(VecEnv):
    """Many sub-environments of ``SpotSampling-v0`` for a Stable-Baselines3 algorithm.

    It steps as ``DummyVecEnv`` of as many single environments does, observation by observation,
    with one set of array operations; ``action_masks`` is there for ``MaskablePPO``. Wrap it in
    Stable-Baselines3's ``VecMonitor`` for the mean reward of an episode in the log.

    Parameters
    ----------
    num_envs
        Number of sub-environments, B.
    **arguments
        Those of :class:`~scr2st_env.SpotSamplingEnv`. ``info_mask`` is False unless it is given:
        the algorithm asks for masks by itself.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Examples
    --------
    >>> from sb3_contrib import MaskablePPO
    >>> envs = SpotSamplingVecEnv(4, observation="compact", budget=5)
    >>> model = MaskablePPO("MultiInputPolicy", envs, n_steps=5, batch_size=20, n_epochs=1)
    >>> model.learn(20).num_timesteps
    20
    """

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        # Said here, so that nobody else can: rollout buffers keep what a step returned.
        self.envs = SpotSamplingVectorEnv(
            num_envs, autoreset_mode="SameStep", copy=True, **{"info_mask": False, **arguments}
        )
        super().__init__(
            num_envs, self.envs.single_observation_space, self.envs.single_action_space
        )
        self._actions: NDArray[Any] = np.zeros(num_envs, np.int64)

    def reset(self) -> Any:
        """Begin all episodes with the seeds and options that were set."""
        options = self._options[0]
        if not all(data_equivalence(options, other) for other in self._options):
            raise InputError("set_options() takes one dict for all sub-environments")
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.envs.reset(seed=seeds, options=options or None)
        self.reset_infos = self._separate(infos)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions until :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        """Buy a spot in every sub-environment, and reset those whose episode ends."""
        observations, rewards, terminations, _, infos = self.envs.step(self._actions)
        last = infos.pop("final_obs", None)
        final = infos.pop("final_info", None)
        told = self._separate(infos)
        if final is not None:
            ended = self._separate(final)
            for row in np.flatnonzero(terminations).tolist():
                self.reset_infos[row] = told[row]
                told[row] = ended[row] | {"terminal_observation": last[row]}
        for info in told:
            info["TimeLimit.truncated"] = False
        return observations, rewards.astype(np.float32), terminations, told

    def close(self) -> None:
        """Release the batched environment."""
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return a picture of each episode."""
        return list(self.envs.render() or [None] * self.num_envs)

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Return an attribute of the batched environment, once for each sub-environment."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Refuse: sub-environments share everything."""
        del value, indices
        raise AttributeError(f"{attr_name!r} cannot be set; make the environment with it")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Return ``action_masks()`` of sub-environments; they have no other method."""
        if method_name != "action_masks":
            raise AttributeError(f"sub-environments have action_masks(), not {method_name}()")
        masks = self.envs.action_masks(*method_args, **method_kwargs)
        return [masks[row] for row in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Return that no sub-environment is wrapped."""
        del wrapper_class
        return [False for _ in self._get_indices(indices)]

    def _separate(self, infos: dict[str, Any]) -> list[dict[str, Any]]:
        """One info for each sub-environment from those of the batched environment."""
        told: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for name in [name for name in infos if not name.startswith("_")]:
            values = infos[name]
            if isinstance(values, dict):
                entries = self._separate(values)
            else:
                entries = values.tolist() if values.ndim == 1 else values
            for row in np.flatnonzero(infos[f"_{name}"]).tolist():
                told[row][name] = entries[row]
        return told
