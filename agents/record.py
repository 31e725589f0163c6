"""What an agent was trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from scr2st_env.slide import Slide


@dataclass(frozen=True)
class Origin:
    """What an agent learned from; kept with it, so that it is never tested on it.

    Parameters
    ----------
    slides
        Names of the slides.
    patients
        Whose they are, where it is known.
    """

    slides: tuple[str, ...]
    patients: tuple[str, ...] = ()

    @classmethod
    def from_slides(cls, slides: Sequence[Slide]) -> Self:
        """Return the origin of an agent that learned from some slides."""
        return cls(tuple(slide.name for slide in slides), patients_of(slides))

    @classmethod
    def of(cls, stored: Mapping[str, Sequence[str]]) -> Self:
        """Return an origin from its fields as JSON holds them."""
        return cls(tuple(stored["slides"]), tuple(stored["patients"]))


def patients_of(slides: Sequence[Slide]) -> tuple[str, ...]:
    """Return the patients of some slides, each once, where they are named."""
    return tuple(dict.fromkeys(slide.patient for slide in slides if slide.patient))


@dataclass(frozen=True)
class TrainingRecord:
    """What an agent was trained for; kept with it, decides nothing.

    Parameters
    ----------
    budget
        As it was given: a count (int) or a fraction (float); 1 is one spot, 1.0 all of them.
        Where several were given, all of them.
    round_size
        Spots per round.
    reward
        Weights of all terms of the reward, added ones included, by name.
    slides, steps, seed
        Names of the training slides, environment steps, seed.
    patients
        Whose the training and evaluation slides are, where it is known.
    score_before, score_after
        Mean reward of an episode on the evaluation slides, of the untrained policy and of this;
        where prediction is all that is paid for, mean correlation on held-out spots.
    """

    budget: int | float | tuple[int | float, ...]
    round_size: int
    reward: Mapping[str, float]
    slides: tuple[str, ...]
    steps: int
    seed: int
    score_before: float
    score_after: float
    patients: tuple[str, ...] = ()

    def after(self, earlier: TrainingRecord | None) -> TrainingRecord:
        """Return the record of a training that went on from another: what was seen there counts."""
        if earlier is None:
            return self
        return replace(
            self,
            slides=tuple(dict.fromkeys((*earlier.slides, *self.slides))),
            patients=tuple(dict.fromkeys((*earlier.patients, *self.patients))),
        )
