"""Who buys: chance, an oracle that sees every row, and an agent that sees what can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.signal.candidates import BoundCandidate, Rows
    from benchmarks.signal.forecasts import Forecaster, Source
    from benchmarks.signal.sections import Section

    Spots = NDArray[np.intp]

N_ROUNDS = 6
N_WORLDS = 8


def random_spots(section: Section, n_spots: int, rng: np.random.Generator) -> Spots:
    """Return different measurable spots, (n_spots,)."""
    return rng.permutation(np.flatnonzero(section.public.measurable))[:n_spots]


def oracle_spots(bound: BoundCandidate, section: Section, rows: Rows, n_spots: int) -> Spots:
    """Return the greedy choice of one who knows the rows of all spots, (N, C)."""
    return _greedy(bound, rows[None], bound.empty(1), section.public.measurable.copy(), n_spots)


def foreseeing_spots(
    bound: BoundCandidate,
    section: Section,
    forecaster: Forecaster,
    source: Source,
    n_spots: int,
    rng: np.random.Generator,
) -> Spots:
    """Return the greedy choice of one who knows the rows of measured spots only.

    The first of six rounds is random. Then every round maximises the mean gain over eight worlds
    drawn from the forecast, so that what is uncertain counts as such.
    """
    values = bound.candidate.read(section)
    available = section.public.measurable.copy()
    per_round = max(4, n_spots // N_ROUNDS)
    spots = random_spots(section, min(per_round, n_spots), rng)
    available[spots] = False
    while len(spots) < n_spots:
        mean, variance = forecaster.predict(section, spots, values[spots], source)
        draws = rng.standard_normal((N_WORLDS, *mean.shape))
        worlds = np.stack([bound.rows(mean + np.sqrt(variance) * draw) for draw in draws])
        summary = bound.empty()
        for row in bound.rows(values[spots]):
            summary = bound.add(summary, row)
        n_next = min(per_round, n_spots - len(spots))
        chosen = _greedy(bound, worlds, np.stack([summary] * N_WORLDS), available, n_next)
        spots = np.concatenate([spots, chosen])
    return spots


def _greedy(
    bound: BoundCandidate,
    worlds: Rows,
    summaries: NDArray[np.float32],
    available: NDArray[np.bool_],
    n_spots: int,
) -> Spots:
    """Greedy for the mean over worlds, (W, N, C); marks what it takes in ``available``."""
    spots = []
    for _ in range(n_spots):
        gains = bound.gains(summaries, worlds).mean(axis=0)
        spot = int(np.where(available, gains, -np.inf).argmax())
        spots.append(spot)
        available[spot] = False
        summaries = bound.add(summaries, worlds[:, spot])
    return np.array(spots, np.intp)
