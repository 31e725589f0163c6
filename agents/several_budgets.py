"""Training at several budgets: batched environments of one budget each, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Indices = int | Iterable[int] | None
Budget = int | float | Sequence[int | float]
FILLING = {"picks": -1, "measured": 0}  # what is as long as the budget, and what fills it up


def budgets_of(budget: Budget) -> tuple[int | float, ...]:
    """Return the budgets that one or several numbers name, counts (int) or fractions (float).

    Raises
    ------
    InputError
        If there is none, one is no number, or one is named twice.

    Examples
    --------
    >>> budgets_of(0.1), budgets_of([0.05, 40])
    ((0.1,), (0.05, 40))
    """
    several = list(budget) if isinstance(budget, Sequence) else [budget]
    if not several:
        raise InputError("budget=() names none; give one number or several")
    for value in several:
        if not isinstance(value, Real) or isinstance(value, bool):
            raise InputError(f"budget must be a count or a fraction, or several, got {value!r}")
    plain = tuple(int(b) if isinstance(b, Integral) else float(b) for b in several)
    if len({(type(b), b) for b in plain}) < len(plain):
        raise InputError(f"budget={list(plain)} names one twice")
    return plain


def shares_of(n_envs: int, n_budgets: int) -> list[int]:
    """Return how many of some environments play at each budget: as many, or one more at the first.

    Examples
    --------
    >>> shares_of(8, 3)
    [3, 3, 2]
    """
    return [n_envs // n_budgets + (k < n_envs % n_budgets) for k in range(n_budgets)]


class SideBySideVecEnv(VecEnv):
    """Vector environments on the same slides, each at a budget of its own, as one.

    ``slide`` in the observation counts through the slides at the first budget, then at the second,
    and so on, so that it tells the budget, too. ``picks`` and ``measured`` are as long as the
    largest budget asks. Sub-environment i is reset by ``seed + i``, as in any other.

    Parameters
    ----------
    parts
        With compact observations of the same slides in the same order.
    """

    def __init__(self, parts: Sequence[VecEnv]) -> None:
        self.parts = list(parts)
        self.starts = np.cumsum([0, *(part.num_envs for part in self.parts)]).tolist()
        own: list[Any] = [part.observation_space for part in self.parts]
        entries = {key: _largest([space[key] for space in own]) for key in own[0].spaces}
        self.n_slides = int(entries["slide"].n)
        entries["slide"] = spaces.Discrete(self.n_slides * len(self.parts))
        super().__init__(self.starts[-1], spaces.Dict(entries), self.parts[0].action_space)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Set the seeds of the next reset."""
        given = seed if seed is not None else int(np.random.randint(2**31))  # noqa: NPY002 - as Stable-Baselines3
        seeds: list[int | None] = []
        for part, start in zip(self.parts, self.starts, strict=False):
            seeds += part.seed(given + start)
        return seeds

    def set_options(self, options: Any = None) -> None:
        """Set the options of the next reset, for all sub-environments alike."""
        for part in self.parts:
            part.set_options(options)

    def reset(self) -> Any:
        """Begin all episodes."""
        observations: list[Any] = [part.reset() for part in self.parts]
        self.reset_infos = [info for part in self.parts for info in part.reset_infos]
        return self._joined(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand each part its actions."""
        for part, own in zip(self.parts, np.split(actions, self.starts[1:-1]), strict=True):
            part.step_async(own)

    def step_wait(self) -> tuple[Any, NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        """Buy a spot in every sub-environment."""
        observations, rewards, ended, infos = zip(
            *(part.step_wait() for part in self.parts), strict=True
        )
        self.reset_infos = [info for part in self.parts for info in part.reset_infos]
        for number, of_part in enumerate(infos):
            for info in of_part:
                if "terminal_observation" in info:
                    last = info["terminal_observation"]
                    info["terminal_observation"] = self._renamed(last, number)
        told = [info for of_part in infos for info in of_part]
        return self._joined(observations), np.concatenate(rewards), np.concatenate(ended), told

    def close(self) -> None:
        """Release all parts."""
        for part in self.parts:
            part.close()

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Return an attribute of each sub-environment."""
        found = [value for part in self.parts for value in part.get_attr(attr_name)]
        return [found[row] for row in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Refuse, as the parts do."""
        del indices
        for part in self.parts:
            part.set_attr(attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Return what a method of each sub-environment does."""
        found = [
            value
            for part in self.parts
            for value in part.env_method(method_name, *method_args, **method_kwargs)
        ]
        return [found[row] for row in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Return which sub-environments are wrapped."""
        found = [value for part in self.parts for value in part.env_is_wrapped(wrapper_class)]
        return [found[row] for row in self._get_indices(indices)]

    def _joined(self, observations: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        named = [self._renamed(seen, number) for number, seen in enumerate(observations)]
        return {key: np.concatenate([seen[key] for seen in named]) for key in named[0]}

    def _renamed(self, seen: dict[str, Any], number: int) -> dict[str, Any]:
        """Return what a part shows, of one or all of its episodes, as the whole shows it."""
        changed = {"slide": seen["slide"] + number * self.n_slides}
        for key, filling in FILLING.items():
            if key in seen:
                space: Any = self.observation_space
                axis = seen[key].ndim - len(space[key].shape)
                missing = space[key].shape[0] - seen[key].shape[axis]
                widths = [(0, missing if k == axis else 0) for k in range(seen[key].ndim)]
                changed[key] = np.pad(seen[key], widths, constant_values=filling)
        return seen | changed


def _largest(found: Sequence[Any]) -> Any:
    """Return the space of the most entries; all are the same but for those of the budget."""
    return max(found, key=lambda space: np.prod(space.shape or 1))
