"""From weights and terms to the reward of an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scr2st_env.errors import InputError
from scr2st_env.rewards.base import Term, check_weight
from scr2st_env.rewards.density import SpatialDensity
from scr2st_env.rewards.entropy import TypeEntropy
from scr2st_env.rewards.information import InformationGain, PredictionGain
from scr2st_env.rewards.novelty import ExpectedStates
from scr2st_env.rewards.released import ReleasedReward
from scr2st_env.rewards.states import HardStates, SoftStates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import IntArray
    from scr2st_env.rewards.base import BatchedPotential, Potential, Rows, Setting
    from scr2st_env.rewards.paying import BatchedReward, Bought, BoundReward, Reward


@dataclass(frozen=True)
class RewardWeights:
    """What one unit of each potential is worth; a term of weight 0 is not built.

    Every potential is scaled by what the budget can attain, so that equal weights mean equal say.

    Parameters
    ----------
    states
        Cell states expected to be shown (:class:`~scr2st_env.rewards.ExpectedStates`).
    types
        Entropy of the cell types (:class:`~scr2st_env.rewards.TypeEntropy`).
    density
        Tissue within reach (:class:`~scr2st_env.rewards.SpatialDensity`).
    hard_states
        Cell states nearest to a spot, counted (:class:`~scr2st_env.rewards.HardStates`).
    soft_states
        Similarity of the closest spot to each state (:class:`~scr2st_env.rewards.SoftStates`).
    information
        Prior variance removed (:class:`~scr2st_env.rewards.InformationGain`).
    prediction
        Prediction error removed; privileged, retrospective slides only
        (:class:`~scr2st_env.rewards.PredictionGain`).
    """

    states: float = 1.0
    types: float = 1.0
    density: float = 1.0
    hard_states: float = 0.0
    soft_states: float = 0.0
    information: float = 0.0
    prediction: float = 0.0

    def __post_init__(self) -> None:
        """Check that every weight is a number that is not negative."""
        for name, weight in asdict(self).items():
            check_weight(name, weight)

    @classmethod
    def of(cls, weights: RewardWeights | Mapping[str, float] | None) -> RewardWeights:
        """Return weights from a mapping; what it leaves out keeps its default."""
        if weights is None:
            return cls()
        if isinstance(weights, cls):
            return weights
        if not isinstance(weights, Mapping):
            raise InputError(
                f"reward must be RewardWeights, a mapping of weights, 'released' or None, "
                f"got {weights!r}"
            )
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(weights) - set(names), key=repr)
        if unknown:
            raise InputError(f"unknown reward weight {unknown[0]!r}; weights are {names}")
        return cls(**weights)

    def terms(self) -> tuple[Term, ...]:
        """Return the terms whose weight is not 0."""
        terms = (
            ExpectedStates(self.states),
            TypeEntropy(self.types),
            SpatialDensity(self.density),
            HardStates(self.hard_states),
            SoftStates(self.soft_states),
            InformationGain(self.information),
            PredictionGain(self.prediction),
        )
        return tuple(term for term in terms if term.weight > 0)


class PotentialReward:
    """Pays the weighted increase of potentials: an episode adds up to Phi(S) - Phi(S0).

    Parameters
    ----------
    terms
        At least one, with distinct names.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        if not terms:
            raise InputError("every reward weight is 0; give at least one term a positive weight")
        self.names = tuple(term.name for term in terms)
        if len(set(self.names)) < len(terms):
            raise InputError(f"reward terms must have distinct names, got {list(self.names)}")
        self.privileged = frozenset(term.name for term in terms if term.privileged)
        self.terms = tuple(terms)

    def check(self, setting: Setting) -> None:
        """Raise :class:`InputError` where a slide lacks what a term needs."""
        for term in self.terms:
            term.check(setting)

    def bind(self, setting: Setting) -> BoundReward:
        """Return the reward on one slide, its tables computed."""
        return _BoundPotentials([(term, term.bind(setting)) for term in self.terms])

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedReward:
        """Return the reward of many episodes on one slide."""
        return _BatchedPotentials(
            [(term, term.bind_batched(setting, n_episodes)) for term in self.terms], n_episodes
        )


class _BoundPotentials:
    def __init__(self, bound: list[tuple[Term, Potential]]) -> None:
        self._bound = [
            (term.name, float(term.weight), potential, potential.add) for term, potential in bound
        ]

    def reset(self, initial: IntArray) -> None:
        self._worth = {}
        for name, weight, potential, _ in self._bound:
            potential.reset(initial)
            self._worth[name] = weight * potential.value

    def settle(self, spots: Sequence[int]) -> dict[str, float]:
        parts, before = {}, self._worth
        for name, weight, potential, add in self._bound:
            add(spots)
            worth = weight * potential.value
            parts[name] = worth - before[name]
            before[name] = worth
        return parts


class _BatchedPotentials:
    def __init__(self, bound: list[tuple[Term, BatchedPotential]], n_episodes: int) -> None:
        self._bound = [(term.name, float(term.weight), potential) for term, potential in bound]
        self._worth = np.zeros((len(bound), n_episodes))

    def reset(self, rows: Rows, initial: IntArray) -> None:
        for worth, (_, weight, potential) in zip(self._worth, self._bound, strict=True):
            potential.reset(rows, initial)
            worth[rows] = weight * potential.values(rows)

    def settle(self, rows: Rows, spots: Sequence[Bought]) -> dict[str, NDArray[np.float64]]:
        parts = {}
        for worth, (name, weight, potential) in zip(self._worth, self._bound, strict=True):
            for buyers, bought in spots:
                potential.add(buyers, bought)
            now = weight * potential.values(rows)
            parts[name] = now - worth[rows]
            worth[rows] = now
        return parts


def make_reward(
    reward: RewardWeights | Mapping[str, float] | Literal["released"] | None,
    terms: Sequence[Any] = (),
) -> Reward:
    """Return the reward that an environment's arguments describe.

    Parameters
    ----------
    reward
        Weights of the built-in terms; None for the default ones; ``"released"`` for the authors'
        formula, for comparison only.
    terms
        Further terms, instances of subclasses of :class:`~scr2st_env.rewards.Term`.

    Returns
    -------
    Reward

    Raises
    ------
    InputError
        If every weight is 0, a weight is unknown or negative, or two terms share a name.
    """
    if isinstance(terms, str) or not isinstance(terms, Sequence):
        raise InputError(
            f"terms must be a list of reward terms, got {type(terms).__name__}; pass terms=[...]"
        )
    if isinstance(reward, str):
        if reward != "released":
            raise InputError(f"unknown reward preset {reward!r}; the only one is 'released'")
        if terms:
            raise InputError("reward='released' takes no further terms=")
        return ReleasedReward()
    for term in terms:
        if not isinstance(term, Term):
            raise InputError(
                f"{term!r} in terms= is no reward term; pass an instance of a subclass of "
                "scr2st_env.Term"
            )
    added = [term for term in terms if term.weight > 0]
    return PotentialReward([*RewardWeights.of(reward).terms(), *added])
