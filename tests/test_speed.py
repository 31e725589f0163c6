"""The command that measures speed measures everything it says, and writes its page whole."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import scr2st_env  # noqa: F401 - registers the environment
from benchmarks.speed import stepping
from benchmarks.speed.rows import HEAD, Row, markdown
from benchmarks.speed.stepping import compare


def test_the_command_writes_every_row(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    result = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.speed", "--output", str(page), "--repetitions", "1",
            "--steps", "200", "--batched-steps", "5", "--num-envs", "4", "--largest", "2000",
            "--cells", "300", "--sizes", "200", "400", "800",
        ],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    text = page.read_text(encoding="utf-8")
    for what in (
        "import scr2st_env", "single, compact, default reward, N = 800", "hard states reward",
        "D = 1,536 / D = 64", "copy of the features / full", "batched x 4, picks, N = 400",
        "one frame, N = 800", "reward of one pick, compiled code off", "the published formula",
        "2,000 spots x 64 features", "env.spec",
        "a pickled factory",
    ):  # fmt: skip
        assert what in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.count("|") == len(HEAD) + 1 for line in table)


@pytest.mark.parametrize(
    ("sense", "values", "passes"),
    [
        ("at least", [0.7, 0.9, 1.0], True),
        ("at least", [0.7, 0.79, 1.0], False),
        ("at most", [2.0, 3.0, 1.0], True),
        ("at most", [2.1, 2.2, 1.0], False),
    ],
)
def test_the_median_meets_the_bar_or_not(sense: str, values: list[float], passes: bool) -> None:
    row = Row("x", values, sense=sense, bar=0.8 if sense == "at least" else 2.0)
    assert row.passes is passes
    assert ("missed" in markdown([row])) is not passes


def test_a_ratio_is_of_each_pair() -> None:
    ours, theirs = iter([1.0, 2.0, 4.0]), iter([3.0, 2.0, 2.0])
    row = compare("x", lambda: next(ours), lambda: next(theirs), 3)
    assert row.values == [3.0, 1.0, 0.5]


def test_seconds_of_a_batch_are_shared_by_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = gym.make_vec("SpotSampling-v0", num_envs=3, budget=9, observation="picks")
    seconds = iter([100.0, 112.0])
    monkeypatch.setattr(stepping.time, "process_time", lambda: next(seconds))
    assert stepping._play_batched(envs, np.zeros((4, 3), np.int64)) == pytest.approx(12 / 4 / 3)
