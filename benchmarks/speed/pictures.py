"""Frames of a video."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gymnasium as gym

from benchmarks.speed.rows import Row
from benchmarks.speed.stepping import valid_actions
from benchmarks.speed.tissue import make_reference, make_slide


def picture_rows(sizes: tuple[int, ...], n_frames: int) -> Iterator[Row]:
    """Measure the CPU time of frames, one after each purchase."""
    for n_spots in sizes:
        env = gym.make(
            "SpotSampling-v0",
            slides=[make_slide(n_spots, 8)],
            reference=make_reference(),
            budget=min(n_spots // 10, 1_000),
            render_mode="rgb_array",
        )
        env.reset(seed=0)
        env.render()  # draws what stays the same
        milliseconds = []
        for action in valid_actions(n_spots, n_frames, n_frames):
            env.step(action)
            start = time.process_time()
            env.render()
            milliseconds.append((time.process_time() - start) * 1e3)
        yield Row(f"one frame, N = {n_spots:,}", milliseconds, "ms", "at most", 20.0)
