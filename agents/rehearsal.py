"""What an agent is trained for, and the worlds in which it is tried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from agents.held_out import held_out_correlations
from agents.returns import CentredRewards, reward_statistics
from agents.several_budgets import SideBySideVecEnv, shares_of
from agents.starting_point import mean_scores, scores_of
from agents.vec_env import SpotSamplingVecEnv
from scr2st_env.envs.spot_sampling import SpotSamplingEnv
from scr2st_env.errors import InputError
from scr2st_env.rewards.weights import RewardWeights

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from agents.retrospective import Retrospective
    from agents.spot_agent import SpotAgent
    from agents.starting_point import Scores
    from scr2st_env.rewards.base import Term
    from scr2st_env.slide import Slide

Slides = tuple["Slide", ...]


@dataclass(frozen=True)
class Goal:
    """What is paid for.

    Parameters
    ----------
    weights
        Of the built-in terms of the reward.
    terms
        Added ones.
    """

    weights: RewardWeights
    terms: tuple[Term, ...] = ()

    @classmethod
    def of(
        cls, reward: RewardWeights | Mapping[str, float] | None, terms: Sequence[Term] = ()
    ) -> Goal:
        """Return the goal that the arguments ``reward`` and ``terms`` name.

        Raises
        ------
        InputError
            If no agent can be trained for it.
        """
        if isinstance(reward, str) and reward == "released":
            raise InputError(
                "reward='released' is for comparison only, no agent is trained for it; "
                "pass RewardWeights or a mapping of weights"
            )
        return cls(RewardWeights.of(reward), tuple(terms))

    @property
    def by_name(self) -> dict[str, float]:
        """The weight of every term; an added one of weight 0 was not built."""
        added = {term.name: term.weight for term in self.terms if term.weight > 0}
        return {name: float(weight) for name, weight in (asdict(self.weights) | added).items()}

    @property
    def is_prediction(self) -> bool:
        """Whether prediction is all that is paid for."""
        return {name for name, weight in self.by_name.items() if weight > 0} == {"prediction"}


@dataclass(frozen=True)
class Rehearsal:
    """Slides that were measured in the past, played at every budget.

    Parameters
    ----------
    retrospective
        The slides, to learn from and to be judged on.
    goal
        What is paid for.
    budgets
        Counts (int) or fractions (float).
    options
        ``round_size``, ``excluded`` and further arguments of ``SpotSampling-v0``.
    seed
        Of the spots that are held out where prediction is the goal.
    """

    retrospective: Retrospective
    goal: Goal
    budgets: tuple[int | float, ...]
    options: Mapping[str, Any]
    seed: int

    def arguments(self, slides: Slides) -> dict[str, Any]:
        """Return all arguments of ``SpotSampling-v0`` but the budget."""
        return self.retrospective.arguments(
            slides,
            reward=self.goal.weights,
            terms=self.goal.terms,
            observation="compact",
            info_mask=False,
            **self.options,
        )

    def worlds(self, slides: Slides) -> list[SpotSamplingEnv]:
        """Return one environment per budget."""
        return [SpotSamplingEnv(**self.arguments(slides), budget=each) for each in self.budgets]

    def scores(self, slides: Slides) -> Scores:
        """Return what gives the score of an agent on each slide, the mean over the budgets.

        It is the reward of a deterministic episode; where prediction alone is paid for, Pearson's
        r on spots held out (:func:`agents.held_out.held_out_correlations`).
        """
        if not self.goal.is_prediction:
            return mean_scores([partial(scores_of, env=world) for world in self.worlds(slides)])
        judged = partial(
            held_out_correlations,
            slides=slides,
            round_size=self.options["round_size"],
            excluded=self.options["excluded"],
            seed=self.seed,
        )
        return mean_scores([partial(judged, budget=each) for each in self.budgets])

    def batched(self, n_envs: int, start: SpotAgent, worlds: Sequence[SpotSamplingEnv]) -> VecEnv:
        """Return the environments to learn in, which pay gains over the agent at the start.

        Parameters
        ----------
        n_envs
            How many, shared among the budgets.
        start
            Whose mean reward at each step of each slide is taken from what is paid.
        worlds
            Of the slides to learn from.
        """
        envs = [
            CentredRewards(
                SpotSamplingVecEnv(
                    share, **self.arguments(self.retrospective.slides), budget=budget
                ),
                reward_statistics(start, world, self.seed),
            )
            for share, budget, world in zip(
                shares_of(n_envs, len(self.budgets)), self.budgets, worlds, strict=True
            )
        ]
        return envs[0] if len(envs) == 1 else SideBySideVecEnv(envs)
