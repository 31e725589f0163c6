"""What an agent is, and how a plain function becomes one."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

    Observation = Mapping[str, Any]


@runtime_checkable
class Agent(Protocol):
    """Anything with Stable-Baselines3's ``predict``.

    Two things are optional. An agent whose ``predict`` takes ``action_masks`` is handed them. An
    agent with ``begin_episode(public_slide, budget, round_size, seed)`` is told, before its first
    decision, what everybody may know of the slide.
    """

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Return the index of the spot to buy next, and the agent's next state."""


class SlideAgent:
    """What agents of this package share: they know the slide of the running episode.

    What a subclass keeps between two decisions of an episode it sets up in :meth:`prepare`.
    """

    name = "agent"
    slide: PublicSlide | None = None
    budget: int
    rng: np.random.Generator

    def begin_episode(
        self, public_slide: PublicSlide, budget: int, round_size: int, seed: int
    ) -> None:
        """Get to know the slide of the episode that begins.

        Parameters
        ----------
        public_slide
            Coordinates and features of all spots.
        budget
            How many spots may be bought.
        round_size
            Spots per round; these agents decide alike for every size, since a spot that is
            pending is as good as measured for a choice that needs no expression.
        seed
            Of the agent's own random numbers.
        """
        del round_size
        self.slide = public_slide
        self.budget = budget
        self.rng = np.random.default_rng(seed)
        self.prepare(public_slide)

    def prepare(self, slide: PublicSlide) -> None:
        """Set up what is needed for the episode on ``slide``; most agents need nothing."""

    @property
    def current_slide(self) -> PublicSlide:
        """The slide of the running episode."""
        if self.slide is None:
            raise InputError(
                f"agent {self.name!r} knows no slide yet; call "
                "begin_episode(public_slide, budget, round_size, seed) or use agents.run_episode"
            )
        return self.slide

    def spots(self, observation: Observation) -> tuple[BoolArray, BoolArray]:
        """Return what is bought and what is available, each (N,), without the padding."""
        slide = self.current_slide
        if "mask" not in observation or "available" not in observation:
            raise InputError(
                f"agent {self.name!r} needs the masks; make the environment with "
                "observation='full' or 'compact'"
            )
        mask, available = np.asarray(observation["mask"]), np.asarray(observation["available"])
        if mask.ndim != 1:
            raise InputError(
                f"agent {self.name!r} decides on one observation at a time, got a mask of shape "
                f"{mask.shape}; hand it each environment's own observation, or use "
                "agents.run_episode"
            )
        if mask.size < slide.n_spots or available[slide.n_spots :].any():
            raise InputError(
                f"agent {self.name!r}: the observation (mask of shape {mask.shape}) is not one of "
                f"slide {slide.name!r} with {slide.n_spots} spots; call begin_episode first"
            )
        can_buy = available[: slide.n_spots].astype(bool)
        if not can_buy.any():
            raise InputError(f"slide {slide.name!r}: nothing is left to buy")
        return mask[: slide.n_spots].astype(bool), can_buy


class MaskAgent(SlideAgent, ABC):
    """An agent that decides from the slide, what is bought and what is available, alone."""

    @abstractmethod
    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the spot to buy next.

        Parameters
        ----------
        slide
            The slide of the episode.
        bought
            The selection mask, (N,); initial and pending spots included.
        available
            Spots that can be bought now, (N,), at least one.
        """

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[int, Any]:
        """Return the index of the spot to buy next, and ``state`` as it came.

        Parameters
        ----------
        observation
            Of one environment, with ``mask`` and ``available``.
        state, episode_start, deterministic
            Of Stable-Baselines3's interface; not used.

        Raises
        ------
        InputError
            Before :meth:`begin_episode`, or when nothing can be bought.
        """
        del episode_start, deterministic
        bought, available = self.spots(observation)
        return self.choose(self.current_slide, bought, available), state


class FunctionAgent:
    """A function as an agent.

    Parameters
    ----------
    function
        ``function(observation, action_mask, rng) -> index``.
    name
        Shown in results; default: the function's name.

    Examples
    --------
    >>> first = FunctionAgent(lambda observation, action_mask, rng: action_mask.argmax())
    >>> first.predict({}, action_masks=np.array([False, True, True]))
    (1, None)
    """

    def __init__(
        self,
        function: Callable[[Any, BoolArray, np.random.Generator], int],
        name: str | None = None,
    ) -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", "function")
        self.rng = np.random.default_rng(0)

    def begin_episode(
        self, public_slide: PublicSlide, budget: int, round_size: int, seed: int
    ) -> None:
        """Seed the generator that the function is handed."""
        del public_slide, budget, round_size
        self.rng = np.random.default_rng(seed)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[int, Any]:
        """Return what the function says, and ``state`` as it came."""
        del episode_start, deterministic
        mask = np.asarray(action_masks, dtype=bool)
        return int(self.function(observation, mask, self.rng)), state


def as_agent(candidate: Any) -> Any:
    """Return an agent: the candidate itself, or a function wrapped as one.

    Raises
    ------
    InputError
        If it has no ``predict`` and cannot be called, or its ``predict`` takes other arguments.
    """
    if isinstance(candidate, type):
        raise InputError(f"{candidate.__name__} is a class; make an agent of it: write the ()")
    if callable(getattr(candidate, "predict", None)):
        _check_signature(candidate)
        return candidate
    if callable(candidate):
        return FunctionAgent(candidate)
    raise InputError(
        f"{type(candidate).__name__} is no agent: it needs Stable-Baselines3's predict(), "
        "or to be a function (observation, action_mask, rng) -> index, or the name of an agent"
    )


def _check_signature(agent: Agent) -> None:
    signature = inspect.signature(agent.predict)
    masks = {"action_masks": None} if takes_action_masks(agent) else {}
    try:
        signature.bind(None, state=None, episode_start=None, deterministic=True, **masks)
    except TypeError as error:
        name = getattr(agent, "name", type(agent).__name__)
        raise InputError(
            f"agent {name!r}: predict{signature} cannot be called ({error}); it must be "
            "predict(observation, state=None, episode_start=None, deterministic=False), "
            "with action_masks=None beside them where it wants the masks"
        ) from error


def takes_action_masks(agent: Agent) -> bool:
    """Whether the signature of ``predict`` has a parameter ``action_masks``."""
    return "action_masks" in inspect.signature(agent.predict).parameters
