"""How long a newcomer waits for the import and for the first environment.

Run ``python -m benchmarks.bars``; each number is the median of five fresh processes.
"""

import statistics
import subprocess
import sys

REPEATS = 5
IMPORT_BAR = 1.5
MAKE_BAR = 1.0
MEASURE = """
import time
start = time.perf_counter()
import scr2st_env
imported = time.perf_counter()
import gymnasium
gymnasium.make("SpotSampling-v0")
print(imported - start, time.perf_counter() - imported)
"""


def measure() -> tuple[float, float]:
    """Return seconds of ``import scr2st_env`` and of the first ``gym.make`` in a new process."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    imported, made = result.stdout.split()
    return float(imported), float(made)


def main() -> int:
    """Print both times beside their bars; return 1 if one is above its bar."""
    measure()  # the first process fills the disk cache
    imports, makes = zip(*(measure() for _ in range(REPEATS)), strict=True)
    passed = True
    for name, seconds, bar in (
        ("import scr2st_env", statistics.median(imports), IMPORT_BAR),
        ('first gym.make("SpotSampling-v0")', statistics.median(makes), MAKE_BAR),
    ):
        verdict = "ok" if seconds < bar else "TOO SLOW"
        passed &= seconds < bar
        print(f"{name:<36}{seconds:6.2f} s   bar {bar:.1f} s   {verdict}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
