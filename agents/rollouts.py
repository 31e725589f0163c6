"""The rollout buffer of training: nothing that an observation says is kept twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sb3_contrib.common.maskable.buffers import (
    MaskableDictRolloutBuffer,
    MaskableDictRolloutBufferSamples,
)
from stable_baselines3.common.buffers import DictRolloutBuffer

if TYPE_CHECKING:
    from collections.abc import Generator

    import torch
    from numpy.typing import NDArray
    from stable_baselines3.common.vec_env import VecNormalize


class SpotRolloutBuffer(MaskableDictRolloutBuffer):
    """Rollouts of ``SpotSampling-v0`` for ``MaskablePPO``, in 2 N + 48 bytes per step.

    ``available`` in the observation is the action mask, which sb3-contrib's own buffer keeps again
    as float32. Where there is feedback, ``picks`` and ``measured`` add 4 k (E + 1) bytes, k the
    spots measured in the end. Minibatches are drawn as sb3-contrib draws them, to the same random
    numbers, straight from where the rollouts were written.

    Raises
    ------
    KeyError
        If the observation has no ``available``.
    """

    def reset(self) -> None:
        """Begin anew, with no masks beside the observations."""
        DictRolloutBuffer.reset(self)
        self.action_masks = self.observations["available"]

    def add(self, *args: Any, action_masks: NDArray[Any] | None = None, **kwargs: Any) -> None:
        """Keep one step of all environments; ``action_masks`` are in the observation already."""
        del action_masks
        DictRolloutBuffer.add(self, *args, **kwargs)

    def get(  # type: ignore[override]
        self, batch_size: int | None = None
    ) -> Generator[MaskableDictRolloutBufferSamples, None, None]:
        """Yield all steps once, in minibatches, in a random order."""
        n_steps = self.buffer_size * self.n_envs
        shuffled = np.random.permutation(n_steps)  # noqa: NPY002 - as sb3-contrib's buffer
        size = n_steps if batch_size is None else batch_size
        for start in range(0, n_steps, size):
            yield self._get_samples(shuffled[start : start + size])

    def _get_samples(  # type: ignore[override]
        self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None
    ) -> MaskableDictRolloutBufferSamples:
        del env
        episode, step = np.divmod(batch_inds, self.buffer_size)

        def drawn(values: NDArray[Any]) -> torch.Tensor:
            return self.to_torch(values[step, episode])

        return MaskableDictRolloutBufferSamples(
            observations={key: drawn(values) for key, values in self.observations.items()},
            actions=drawn(self.actions),
            old_values=drawn(self.values),
            old_log_prob=drawn(self.log_probs),
            advantages=drawn(self.advantages),
            returns=drawn(self.returns),
            action_masks=drawn(self.action_masks),
        )
