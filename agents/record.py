"""What an agent was trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """What an agent learned from; kept with it, so that it is never tested on it.

    Parameters
    ----------
    slides
        Names of the slides.
    """

    slides: tuple[str, ...]


@dataclass(frozen=True)
class TrainingRecord:
    """What an agent was trained for; kept with it, decides nothing.

    Parameters
    ----------
    budget
        As it was given: a count (int) or a fraction (float); 1 is one spot, 1.0 all of them.
    round_size
        Spots per round.
    reward
        Weights of all terms of the reward, added ones included, by name.
    slides, steps, seed
        Names of the training slides, environment steps, seed.
    score_before, score_after
        Mean reward of an episode on the evaluation slides, of the untrained policy and of this;
        where prediction is all that is paid for, mean correlation on held-out spots.
    """

    budget: int | float
    round_size: int
    reward: Mapping[str, float]
    slides: tuple[str, ...]
    steps: int
    seed: int
    score_before: float
    score_after: float
