"""Tables of one slide, and what a purchase costs beside the published formula."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.speed.rows import Row
from benchmarks.speed.tissue import make_reference, make_slide
from scr2st_env.rewards import Setting, make_reward


def table_rows(n_spots: int, n_cells: int, repetitions: int) -> Iterator[Row]:
    """Measure the reference's states, a slide's tables, and one pick by both formulas."""
    making, binding, picking, publishing = [], [], [], []
    for seed in range(repetitions):
        start = time.perf_counter()
        reference = make_reference(n_cells, seed)
        making.append(time.perf_counter() - start)
        slide = make_slide(n_spots, 64, seed)
        budget = n_spots // 10
        setting = Setting(slide, reference, budget, np.ones(n_spots, bool), np.zeros(0, np.int32))
        start = time.perf_counter()
        bound = make_reward(None).bind(setting)
        binding.append(time.perf_counter() - start)
        spots = np.random.default_rng(seed).choice(n_spots, budget, replace=False).tolist()
        bound.reset(setting.initial)
        start = time.perf_counter()
        for spot in spots:
            bound.settle([spot])
        picking.append((time.perf_counter() - start) / budget * 1e6)
        published = make_reward("released").bind(setting)
        published.reset(setting.initial)
        start = time.perf_counter()
        for spot in spots:
            published.settle([spot])
        publishing.append((time.perf_counter() - start) / budget * 1e6)
    totals = [made + bound for made, bound in zip(making, binding, strict=True)]
    yield Row(
        f"tables of {n_spots:,} spots against {n_cells:,} cells, the cell states included",
        totals,
        "s",
        "at most",
        5.0,
        beside=f"states {np.median(making):.2g} s, tables {np.median(binding):.2g} s",
    )
    yield Row(f"reward of one pick, N = {n_spots:,}", picking, "us")
    yield Row(f"the published formula, one pick, N = {n_spots:,}", publishing, "us")
