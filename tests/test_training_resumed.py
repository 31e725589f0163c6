"""Training that is killed and started again ends where it would have ended."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import toy_reference, toy_slide
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import SpotAgent, train_spot_agent
from scr2st_env import InputError

SCRIPT = """
import json, sys, time
from conftest import toy_reference, toy_slide
from stable_baselines3.common.callbacks import BaseCallback
from agents import train_spot_agent

class Slow(BaseCallback):
    def _on_step(self):
        time.sleep(0.01)
        return True

slides = [toy_slide("one", 5, 1), toy_slide("two", 6, 2)]
train_spot_agent(slides, toy_reference(), budget=json.loads(sys.argv[2]), total_steps=640,
                 n_envs=2, n_steps=16, width=16, seed=3, n_threads=1, n_evaluations=10,
                 checkpoint=sys.argv[1], callback=Slow(), progress=False)
"""


def train(checkpoint: Path | None = None, **options: Any) -> SpotAgent:
    settings: dict[str, Any] = {
        "budget": 0.15,
        "total_steps": 640,
        "n_envs": 2,
        "n_steps": 16,
        "width": 16,
        "seed": 3,
        "n_threads": 1,
        "n_evaluations": 10,
        "progress": False,
    }
    slides = [toy_slide("one", 5, 1), toy_slide("two", 6, 2)]
    return train_spot_agent(slides, toy_reference(), checkpoint=checkpoint, **(settings | options))


def kill_in_the_middle(checkpoint: Path, budget: float | list[float] = 0.15) -> None:
    """Train in another process and kill -9 it once several marks have been written."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(checkpoint), json.dumps(budget)],
        env=os.environ | {"PYTHONPATH": path},
    )
    seen: set[int] = set()
    deadline = time.monotonic() + 300
    while len(seen) < 4 and process.poll() is None and time.monotonic() < deadline:
        if checkpoint.exists():
            seen.add(checkpoint.stat().st_mtime_ns)
        time.sleep(0.005)
    assert process.poll() is None, "training ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("budget", [0.15, [0.1, 0.3]])
def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, budget: float | list[float]
) -> None:
    checkpoint = tmp_path / "progress.safetensors"
    kill_in_the_middle(checkpoint, budget)
    halfway = {
        key.removeprefix("network/"): value
        for key, value in load_file(checkpoint).items()
        if key.startswith("network/")
    }
    resumed, whole = train(checkpoint, budget=budget), train(budget=budget)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    assert resumed.record == whole.record
    assert not checkpoint.exists()
    started = train(total_steps=1)
    assert not torch.equal(halfway["spot.0.weight"], started.network.spot[0].weight)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "progress.safetensors"
    kill_in_the_middle(checkpoint)
    with pytest.raises(InputError, match="is of another training, its numbers differs"):
        train(checkpoint, seed=4)
    with pytest.raises(InputError, match="is of another training, its numbers differs"):
        train(checkpoint, budget=[0.15, 0.3])
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read; delete it"):
        train(checkpoint)


def test_training_ends_early_when_nothing_gets_better() -> None:
    full, early = train(), train(patience=1, learning_rate=1e-12)
    assert full.record is not None
    assert early.record is not None
    assert full.record.steps == 640
    assert early.record.steps < 320


def test_what_happens_is_logged_for_tensorboard(tmp_path: Path) -> None:
    train(log_folder=tmp_path)
    (folder,) = tmp_path.iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert len(events.Scalars("evaluation/reward")) >= 5
    assert {"train/loss", "evaluation/best", "time/fps"} <= set(events.Tags()["scalars"])


def test_without_tensorboard_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("agents.training.find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        train(log_folder=tmp_path)
