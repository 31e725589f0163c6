"""Many episodes, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from agents.episode import Episode, run_episode
from agents.registry import make_player
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    import gymnasium


def evaluate(
    agents: Any,
    env: gymnasium.Env[Any, Any],
    *,
    slides: str | Sequence[str] | None = None,
    seeds: Iterable[int] = range(5),
    deterministic: bool = True,
) -> pd.DataFrame:
    """Let agents play every slide with every seed, at equal cost.

    Parameters
    ----------
    agents
        One agent, a sequence of them, or a mapping from the name to show to the agent; each an
        agent, a function, or what :func:`agents.load_agent` takes, such as ``"random"``.
    env
        A ``SpotSampling-v0``.
    slides
        Name of one slide, or names of several; default: all of the environment's.
    seeds
        One episode per agent, slide and seed.
    deterministic
        See :func:`agents.run_episode`.

    Returns
    -------
    DataFrame
        One row per episode: ``agent``, ``oracle`` (whether it is one), ``slide``, ``patient``,
        ``seed``, ``budget``, ``spent``, ``wasted``, ``reward``, a column ``reward_<term>`` per
        reward term, ``seconds_per_pick`` and ``picks`` (list of spots, in order).

    Raises
    ------
    InputError
        If two agents share a name, or an episode ended before its budget was spent.
    """
    world: Any = env.unwrapped
    if slides is None:
        slides = [slide.name for slide in world.slides]
    names = [slides] if isinstance(slides, str) else list(slides)
    seed_list = list(seeds)
    rows = [
        _row(
            label,
            player,
            run_episode(player, env, slide=name, seed=seed, deterministic=deterministic),
        )
        for label, player in _labelled(agents).items()
        for name in names
        for seed in seed_list
    ]
    return pd.DataFrame(rows)


def _labelled(agents: Any) -> dict[str, Any]:
    if isinstance(agents, Mapping):
        return {str(label): make_player(agent) for label, agent in agents.items()}
    several = isinstance(agents, Sequence) and not isinstance(agents, str)
    players = [make_player(agent) for agent in (agents if several else [agents])]
    labels = [str(getattr(player, "name", type(player).__name__)) for player in players]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise InputError(
            f"two agents are called {min(twice)!r}; pass a mapping from names to agents"
        )
    return dict(zip(labels, players, strict=True))


def _row(label: str, player: Any, episode: Episode) -> dict[str, Any]:
    if episode.spent != episode.budget:
        raise InputError(
            f"slide {episode.slide!r}: agent {label!r} could spend only {episode.spent} of the "
            f"budget of {episode.budget}; lower the budget, or exclude fewer spots"
        )
    return {
        "agent": label,
        "oracle": bool(getattr(player, "is_oracle", False)),
        "slide": episode.slide,
        "patient": episode.patient,
        "seed": episode.seed,
        "budget": episode.budget,
        "spent": episode.spent,
        "wasted": episode.wasted,
        "reward": episode.reward,
        **{f"reward_{name}": value for name, value in episode.reward_terms.items()},
        "seconds_per_pick": episode.seconds / max(episode.spent, 1),
        "picks": list(episode.picks),
    }
