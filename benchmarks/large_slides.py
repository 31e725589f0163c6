"""What a low-rank posterior costs on a slide of 100,000 spots, and what it loses at 5,000."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from agents import load_agent
from agents.baselines.design import DesignGain
from agents.baselines.low_rank import LowRankDesignGain
from scr2st_env.gaussian_process import Kernel
from scr2st_env.inducing_points import inducing_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scr2st_env.public_slide import PublicSlide

    Matrix = NDArray[np.float64]
    MakeSlide = Callable[[int], tuple[PublicSlide, NDArray[np.float32]]]

ROUND = 96
PURCHASES_PER_RANK = (0.1, 0.25, 0.5, 1.0)
ROUND_BAR = 60.0  # seconds
MEMORY_BAR = 4.0  # GB
SHARE_BAR = 0.95  # at half as many purchases as the rank, the most that agents accept


class Round(NamedTuple):
    """CPU seconds of one round from ``begin_episode`` on, and the most memory taken, in GB."""

    setup: float
    picks: float
    gigabytes: float


def measured_round(name: str, make_slide: MakeSlide, n_spots: int) -> Round:
    """Let an agent choose one round on a large slide, in a process of its own.

    Two measured spots are there from the start, so that agents that learn have what to learn from.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_round, (name, make_slide, n_spots))


def _round(name: str, make_slide: MakeSlide, n_spots: int) -> Round:
    with threadpool_limits(1):
        return _choose_round(name, *make_slide(n_spots))


def _choose_round(name: str, slide: PublicSlide, shown: NDArray[np.float32]) -> Round:
    agent = load_agent(name)
    initial = np.array([0, slide.n_spots // 2], np.int32)
    picks = np.full(ROUND + 2, -1, np.int32)
    measured = np.zeros((ROUND + 2, shown.shape[1]), np.float32)
    bought, available = np.zeros(slide.n_spots, np.int8), np.ones(slide.n_spots, np.int8)
    picks[:2], measured[:2], bought[initial], available[initial] = initial, shown[initial], 1, 0
    observation = {"mask": bought, "available": available, "picks": picks, "measured": measured}
    began = time.process_time()
    agent.begin_episode(slide, ROUND, ROUND, 0)
    setup = time.process_time() - began
    for step in range(ROUND):
        spot = int(agent.predict(observation)[0])
        picks[2 + step], bought[spot], available[spot] = spot, 1, 0
    seconds = time.process_time() - began - setup
    return Round(setup, seconds, _most_gigabytes())


def _most_gigabytes() -> float:
    """Return the most memory of this process; Linux's getrusage also counts that of the parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


class Loss(NamedTuple):
    """Shares of the dense design's fall of the mean variance, by number of purchases."""

    purchases: list[int]
    low_rank: list[float]
    chance: list[float]


def loss_of_rank(kernel: Kernel, slide: PublicSlide, rank: int) -> Loss:
    """Return what greedy design with a prior of low rank reaches, and what chance does.

    All choices are made among all spots, and judged by the dense posterior.

    Parameters
    ----------
    kernel, slide
        Of the dense posterior.
    rank
        Of the prior by which the other design chooses.
    """
    prior, noise = kernel.for_slide(slide), kernel.noise
    purchases = [max(round(share * rank), 1) for share in PURCHASES_PER_RANK]
    low_rank = LowRankDesignGain(inducing_factor(kernel, slide, rank), noise)
    drawn = np.random.default_rng(0).permutation(slide.n_spots)[: max(purchases)]
    dense, low, chance = (
        mean_falls(prior, noise, spots)[np.array(purchases) - 1]
        for spots in (
            greedy(DesignGain(prior, noise), max(purchases)),
            greedy(low_rank, max(purchases)),
            drawn.tolist(),
        )
    )
    return Loss(purchases, (low / dense).tolist(), (chance / dense).tolist())


def greedy(posterior: DesignGain | LowRankDesignGain, n_picks: int) -> list[int]:
    """Return the spots that greedy design buys, in order."""
    spots: list[int] = []
    for _ in range(n_picks):
        gain = posterior.gain
        gain[spots] = -np.inf
        spots.append(int(gain.argmax()))
        posterior.observe(spots[-1])
    return spots


def mean_falls(prior: Matrix, noise: float, spots: Sequence[int]) -> Matrix:
    """Return how far the mean posterior variance has fallen after each spot, (n,)."""
    posterior, falls = DesignGain(prior, noise), []
    for spot in spots:
        posterior.observe(spot)
        falls.append(prior.diagonal().mean() - posterior.variance.mean())
    return np.array(falls)


def print_round(name: str, make_slide: MakeSlide, n_spots: int) -> bool:
    """Print one line of the table of large slides; return whether the bars are met."""
    took = measured_round(name, make_slide, n_spots)
    seconds = took.setup + took.picks
    met = seconds <= ROUND_BAR and took.gigabytes <= MEMORY_BAR
    print(
        f"{name:<24}{took.setup:8.2f} s{took.picks:8.2f} s{seconds:8.2f} s{ROUND_BAR:6.0f} s"
        f"{took.gigabytes:8.2f} GB{MEMORY_BAR:4.0f} GB   {'ok' if met else 'TOO MUCH'}",
        flush=True,
    )
    return met


def print_loss(label: str, kernel: Kernel, slide: PublicSlide, rank: int) -> bool:
    """Print one line of the table of losses; return whether the bar is met."""
    loss = loss_of_rank(kernel, slide, rank)
    met = loss.low_rank[PURCHASES_PER_RANK.index(0.5)] >= SHARE_BAR
    cells = "".join(
        f"{f'{n}: {own:.3f} ({chance:.3f})':>22}" for n, own, chance in zip(*loss, strict=True)
    )
    print(f"{label:<14}{rank:>6}{cells}   {'ok' if met else 'TOO LOSSY'}", flush=True)
    return met
