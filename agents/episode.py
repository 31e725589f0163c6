"""One episode: an agent buys spots on a slide until the budget is spent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.base import takes_action_masks
from agents.registry import make_player
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import gymnasium

SEED_LIMIT = 2**31


@dataclass(frozen=True)
class Episode:
    """What happened in one episode.

    Parameters
    ----------
    slide, patient
        Names.
    seed
        Of the environment and the agent.
    budget
        Spots that could be bought.
    picks
        Spots bought, in order; wasted picks are not among them.
    spent, wasted
        Picks paid for, and those of them that bought nothing.
    rewards
        What each pick was paid; a round pays with its last pick.
    reward_terms
        Sums of the parts of the reward, by term, privileged ones included.
    seconds
        Time that the agent took for its decisions, in total.
    """

    slide: str
    patient: str
    seed: int
    budget: int
    picks: tuple[int, ...]
    spent: int
    wasted: int
    rewards: tuple[float, ...]
    reward_terms: Mapping[str, float]
    seconds: float

    @property
    def reward(self) -> float:
        """Sum of the rewards."""
        return sum(self.rewards)


def run_episode(
    agent: Any,
    env: gymnasium.Env[Any, Any],
    *,
    slide: str | None = None,
    seed: int = 0,
    deterministic: bool = True,
) -> Episode:
    """Let an agent play one episode.

    Parameters
    ----------
    agent
        An agent, an oracle, a Stable-Baselines3 model, a function
        ``(observation, action_mask, rng) -> index``, or what :func:`agents.load_agent` takes.
    env
        A ``SpotSampling-v0``, wrapped or not.
    slide
        Name of the slide to play; default: drawn by the environment.
    seed
        Of the environment's episode and of the agent's own random numbers.
    deterministic
        Handed to ``predict``: learned agents then take their best guess.

    Returns
    -------
    Episode

    Raises
    ------
    InputError
        If ``agent`` is none, or picks an action that the environment does not have.
    """
    player = make_player(agent)
    options = {} if slide is None else {"slide": slide}
    observation, _ = env.reset(seed=seed, options=options)
    world: Any = env.unwrapped
    _introduce(player, world, observation, seed)
    masked = takes_action_masks(player)
    state, start = None, np.ones(1, bool)
    seconds, wasted, done = 0.0, 0, False
    rewards: list[float] = []
    terms: dict[str, float] = {}
    while not done:
        masks = {"action_masks": world.action_masks()} if masked else {}
        began = time.perf_counter()
        action, state = player.predict(
            observation, state=state, episode_start=start, deterministic=deterministic, **masks
        )
        seconds += time.perf_counter() - began
        observation, paid, terminated, truncated, info = env.step(_index(action))
        done, start = terminated or truncated, np.zeros(1, bool)
        rewards.append(float(paid))
        wasted += bool(info["wasted"])
        for name, part in (info["reward_terms"] | info.get("privileged", {})).items():
            terms[name] = terms.get(name, 0.0) + float(part)
    return Episode(
        slide=world.slide.name,
        patient=world.slide.patient,
        seed=seed,
        budget=int(world.budget_spots),
        picks=tuple(int(spot) for spot in world.purchases),
        spent=len(rewards),
        wasted=wasted,
        rewards=tuple(rewards),
        reward_terms=terms,
        seconds=seconds,
    )


def _introduce(player: Any, world: Any, observation: Any, seed: int) -> None:
    """Tell the player what it may know of the slide, and an oracle what it alone may.

    A Stable-Baselines3 model whose policy knows slides by their number is asked whether it knows
    this one: another one of the same size would be played without a word.
    """
    check = getattr(getattr(player, "policy", None), "check_slide", None)
    if check is not None:
        n_measured = int(world.budget_spots) + int(np.asarray(observation["mask"]).sum())
        check(int(observation["slide"]), world.public_slide, n_measured)
    if hasattr(player, "begin_episode"):
        player.begin_episode(
            world.public_slide, int(world.budget_spots), int(world.round_size), seed % SEED_LIMIT
        )
    if getattr(player, "is_oracle", False):
        from agents.oracle import shown_to_oracles

        initial = np.asarray(observation["mask"])[: world.slide.n_spots].astype(bool)
        purchasable = np.asarray(world.purchasable)
        player.reveal(shown_to_oracles(world.slide, purchasable | initial), purchasable)


def _index(action: Any) -> int:
    value = np.asarray(action)
    if value.size != 1 or not np.issubdtype(value.dtype, np.integer):
        raise InputError(f"an agent must return the index of one spot, got {action!r}")
    return int(value.item())
