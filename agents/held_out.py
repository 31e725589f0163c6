"""How well the rest of a slide is predicted from what an agent buys, on retrospective slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.episode import run_episode
from scr2st_env.envs.spot_sampling import SpotSamplingEnv
from scr2st_env.gaussian_process import Kernel, posterior_mean
from scr2st_env.rewards.base import shared_table
from scr2st_env.rewards.information import most_variable_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agents.spot_agent import SpotAgent
    from scr2st_env.envs.slides import SpotSets
    from scr2st_env.slide import Slide

    Matrix = NDArray[np.float64]

HELD_OUT = 0.25
N_GENES = 300
N_PARTS = 2
JUDGE = Kernel(length=6.5, noise=6.0)
LEVEL_VARIANCE = 1.0  # of the unknown mean around that of the bought spots


def held_out_correlations(
    agent: SpotAgent,
    slides: Sequence[Slide],
    *,
    budget: float,
    round_size: int,
    excluded: SpotSets | None = None,
    seed: int = 0,
) -> Matrix:
    """Return the mean correlation per gene on spots that the agent could not buy, by slide.

    A spread quarter of the spots is kept from the agent, twice; a Gaussian process on coordinates
    predicts the genes that vary most there from what it bought.

    Parameters
    ----------
    agent
        Plays deterministically.
    slides
        Retrospective.
    budget, round_size, excluded
        As ``SpotSampling-v0`` takes them.
    seed
        Of the parts.

    Returns
    -------
    ndarray of float64, shape (n_slides,)
    """
    return np.array(
        [
            np.mean(
                [
                    _correlation(agent, slide, budget, round_size, excluded or {}, [seed, part])
                    for part in range(N_PARTS)
                ]
            )
            for slide in slides
        ]
    )


def spread_part(place: Matrix, candidates: NDArray[np.int64], seed: Sequence[int]) -> Matrix:
    """Return a quarter of some spots in farthest-point order from a random start, int64, (n,)."""
    shuffled = np.random.default_rng(list(seed)).permutation(candidates)
    nearest = np.full(len(shuffled), np.inf)
    chosen: list[int] = []
    for _ in range(round(HELD_OUT * len(shuffled))):
        chosen.append(int(nearest.argmax()))
        away = ((place[shuffled] - place[shuffled[chosen[-1]]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, away)
    return np.sort(shuffled[chosen])


def _correlation(
    agent: SpotAgent,
    slide: Slide,
    budget: float,
    round_size: int,
    excluded: SpotSets,
    seed: Sequence[int],
) -> float:
    never = np.asarray(excluded.get(slide.name, []), np.int64)
    candidates = np.setdiff1d(np.flatnonzero(slide.public.measurable), never)
    place = slide.public.pitch_coordinates.astype(np.float64)
    test = spread_part(place, candidates, seed)
    env = SpotSamplingEnv(
        [slide],
        excluded={slide.name: np.union1d(test, never)},
        budget=budget,
        round_size=round_size,
        feedback=agent.settings.feedback,
        reward={"states": 0, "types": 0, "density": 1},
        observation="compact",
        info_mask=False,
    )
    bought = np.asarray(run_episode(agent, env).picks, np.int64)
    is_candidate = np.isin(np.arange(slide.n_spots), candidates)
    expression = shared_table(
        slide,
        ("held-out genes", N_GENES, is_candidate.tobytes()),
        lambda: most_variable_expression(slide, is_candidate, N_GENES),
    )
    values = expression[bought] - expression[bought].mean(axis=0)
    within, across = (
        LEVEL_VARIANCE + JUDGE.between(place[spots], place[bought]) for spots in (bought, test)
    )
    predicted = posterior_mean(within, across, values, JUDGE.noise)
    return float(_cosine(predicted, expression[test]).mean()) if len(test) > 1 else 0.0


def _cosine(first: Matrix, second: Matrix) -> Matrix:
    """Return Pearson's r column by column; 0 where either does not vary."""
    first, second = (values - values.mean(axis=0) for values in (first, second))
    size = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    product = (first * second).sum(axis=0)
    return np.divide(product, size, out=np.zeros_like(product), where=size > 1e-12)
