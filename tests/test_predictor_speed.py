"""The command that measures the predictor's speed measures what it says, against a true twin."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import predictor_speed
from benchmarks.predictor_speed import label_row, loop_of_labels, search_alone, unit_rows
from benchmarks.speed.rows import HEAD
from predictor.scr2net.retrieval import MemoryBank


def test_the_command_writes_every_row(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    result = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.predictor_speed", "--output", str(page),
            "--repetitions", "1", "--spots", "200", "--profiles", "2000", "--queries", "30",
        ],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    text = page.read_text(encoding="utf-8")
    for what in (
        "loop with Counter / majority filter", "training epoch with retrieval / without",
        "30 queries from 2,000 profiles", "recall@50", "peak memory", "100 measured spots",
    ):  # fmt: skip
        assert what in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 8
    assert all(line.count("|") == len(HEAD) + 1 for line in table)


def test_the_loop_is_the_vectorised_filter_and_a_wrong_one_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert label_row(200, 1).values[0] > 0
    monkeypatch.setattr(MemoryBank, "soft_labels", lambda *_: np.zeros((200, 300), np.float32))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        label_row(200, 1)


def test_the_loop_keeps_the_frequent_types_only() -> None:
    keys = np.eye(3, predictor_speed.WIDTH, dtype=np.float32)
    bank = MemoryBank(keys, np.diag([1.0, 2.0, 9.0]).astype(np.float32), np.array([0, 1, 2]))
    indices, similarity = np.array([[0, 1, 2]]), np.zeros((1, 3), np.float32)
    np.testing.assert_allclose(loop_of_labels(bank, indices, similarity), [[0.5, 1.0, 0.0]])


def test_profiles_are_heavy_tailed_unit_vectors() -> None:
    rows = unit_rows(3_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    kurtosis = np.mean((rows / rows.std()) ** 4)
    assert kurtosis > 5  # a normal has 3


def test_recall_and_memory_are_measured() -> None:
    found = search_alone(1_000, 20)
    assert found["recall"] == 1.0  # few rows are searched exactly
    assert 0.1 < found["peak"] < 6
    assert 0 < found["seconds"] < 10
