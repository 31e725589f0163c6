"""How long a newcomer waits for the import and for the first environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.speed.rows import Row

MEASURE = """
import time
start = time.perf_counter()
import scr2st_env
imported = time.perf_counter()
import gymnasium
gymnasium.make("SpotSampling-v0")
print(imported - start, time.perf_counter() - imported)
"""


def startup_rows(repetitions: int) -> Iterator[Row]:
    """Measure both in fresh processes."""
    _measure()  # the first process fills the disk cache
    imports, makes = zip(*(_measure() for _ in range(repetitions)), strict=True)
    yield Row("import scr2st_env, fresh process", imports, "s", "at most", 1.5)
    yield Row('first gym.make("SpotSampling-v0")', makes, "s", "at most", 1.0)


def _measure() -> tuple[float, float]:
    """Seconds of ``import scr2st_env`` and of the first ``gym.make`` in a new process."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    imported, made = result.stdout.split()
    return float(imported), float(made)
