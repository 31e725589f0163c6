"""Tables of one slide, and what a purchase costs beside the published formula."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np

from benchmarks.speed.rows import Row
from benchmarks.speed.tissue import make_reference, make_slide
from scr2st_env import CellReference, Slide
from scr2st_env.rewards import COMPILED, Setting, make_reward
from scr2st_env.rewards.compiled import SWITCH
from scr2st_env.rewards.paying import BoundReward

Made = TypeVar("Made")

MEASURE = "from benchmarks.speed.tables import default_pick; print(default_pick({}, {}))"


def table_rows(n_spots: int, n_cells: int, repetitions: int) -> Iterator[Row]:
    """Measure the reference's states, a slide's tables, and one pick by both formulas."""
    making, binding, picking, in_numpy, publishing = [], [], [], [], []
    for seed in range(repetitions):
        reference, seconds = _timed(partial(make_reference, n_cells, seed))
        making.append(seconds)
        setting = _setting(make_slide(n_spots, 64, seed), reference)
        bound, seconds = _timed(partial(make_reward(None).bind, setting))
        binding.append(seconds)
        picking.append(_pick(bound, setting, seed))
        in_numpy.append(_default_pick_in_numpy(n_spots, seed))
        publishing.append(_pick(make_reward("released").bind(setting), setting, seed))
    totals, cpu = np.add(making, binding).T
    states, tables = (np.median(seconds, axis=0)[0] for seconds in (making, binding))
    yield Row(
        f"tables of {n_spots:,} spots against {n_cells:,} cells, the cell states included",
        totals.tolist(),
        "s",
        "at most",
        5.0,
        beside=f"states {states:.2g} s, tables {tables:.2g} s; {np.median(cpu):.2g} s of CPU time",
    )
    form = "compiled" if COMPILED else "in NumPy"
    yield Row(f"reward of one pick, {form}, N = {n_spots:,}", picking, "us")
    yield Row(f"reward of one pick, compiled code off, N = {n_spots:,}", in_numpy, "us")
    yield Row(f"the published formula, one pick, N = {n_spots:,}", publishing, "us")


def default_pick(n_spots: int, seed: int) -> float:
    """Return the microseconds of CPU time that the default reward of one pick takes."""
    setting = _setting(make_slide(n_spots, 64, seed), make_reference(seed=seed))
    return _pick(make_reward(None).bind(setting), setting, seed)


def _default_pick_in_numpy(n_spots: int, seed: int) -> float:
    result = subprocess.run(
        [sys.executable, "-c", MEASURE.format(n_spots, seed)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {SWITCH: "0"},
    )
    return float(result.stdout)


def _timed(make: Callable[[], Made]) -> tuple[Made, tuple[float, float]]:
    """Return what is made, and its seconds by the clock and of CPU time."""
    clock, cpu = time.perf_counter(), time.process_time()
    made = make()
    return made, (time.perf_counter() - clock, time.process_time() - cpu)


def _setting(slide: Slide, reference: CellReference) -> Setting:
    everywhere = np.ones(slide.n_spots, bool)
    return Setting(slide, reference, slide.n_spots // 10, everywhere, np.zeros(0, np.int32))


def _pick(bound: BoundReward, setting: Setting, seed: int) -> float:
    budget = setting.budget
    spots = np.random.default_rng(seed).choice(setting.slide.n_spots, budget, replace=False)
    bound.reset(setting.initial)
    start = time.process_time()
    for spot in spots.tolist():
        bound.settle([spot])
    return (time.process_time() - start) / budget * 1e6
