"""Saved agents: the same decisions after loading, and nothing but data in the file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from agents import SpotAgent, load_agent, run_episode
from agents.policy.inputs import InputSettings
from agents.record import TrainingRecord
from agents.saved import KEY
from agents.start import untrained_agent
from scr2st_env import InputError, Kernel
from scr2st_env.envs.spot_sampling import SpotSamplingEnv


def make_agent() -> SpotAgent:
    settings = InputSettings(Kernel(feature_weight=0.3), rank=20, n_components=3)
    torch.manual_seed(1)
    agent = untrained_agent([toy_slide("one").public], settings, width=16, prior_strength=2.0)
    with torch.no_grad():
        agent.network.residual.weight.normal_()
    return agent


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "agent.safetensors"
    make_agent().save(path)
    return path


def make_env(**options: Any) -> SpotSamplingEnv:
    return SpotSamplingEnv([toy_slide("new", 9, 5)], toy_reference(), **options)


def header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[KEY])


def rewritten(path: Path, change: dict[str, Any]) -> Path:
    save_file(load_file(path), path, metadata={KEY: json.dumps(header(path) | change)})
    return path


@pytest.mark.parametrize("budget", [1, 1.0, 30, 0.1])
def test_a_budget_stays_a_count_or_a_fraction(tmp_path: Path, budget: float) -> None:
    record = TrainingRecord(budget, 1, {"states": 1.0}, ("one",), 64, 0, 0.1, 0.2)
    path = tmp_path / "agent.safetensors"
    replace(make_agent(), record=record).save(path)
    loaded = SpotAgent.load(path).record
    assert loaded == record
    assert type(loaded.budget) is type(budget)


def test_a_loaded_agent_makes_the_same_decisions(saved: Path) -> None:
    for agent in (SpotAgent.load(saved), load_agent(saved), load_agent(str(saved))):
        assert agent.settings == make_agent().settings
        for deterministic in (True, False):
            episodes = [
                run_episode(player, make_env(), seed=2, deterministic=deterministic)
                for player in (make_agent(), agent)
            ]
            assert episodes[0].picks == episodes[1].picks


def test_the_header_says_what_the_agent_is(saved: Path) -> None:
    fields = header(saved)
    assert fields["encoder"] == "toy"
    assert fields["n_features"] == 6
    assert fields["settings"]["kernel"]["feature_weight"] == 0.3
    assert {"scr2st", "torch", "sb3-contrib"} <= set(fields["versions"])


def test_saving_replaces_the_file_and_leaves_nothing_else(saved: Path) -> None:
    make_agent().save(saved)
    assert [path.name for path in saved.parent.iterdir()] == ["agent.safetensors"]


def test_a_failed_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agents.saved.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        make_agent().save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["agent.safetensors"]


def test_a_slide_of_another_encoder_is_refused(saved: Path) -> None:
    other = toy_slide("new").with_features(np.ones((64, 6)), "uni")
    env = SpotSamplingEnv([other], toy_reference())
    with pytest.raises(InputError, match=r"encoder 'uni'.*trained on 6 by 'toy'"):
        run_episode(load_agent(saved), env)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        SpotAgent.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("length", [0, 4, 100, -10])
def test_a_file_cut_short_is_refused(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    assert "no whole safetensors file" in refusal(saved)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    text, weights = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    text.write_text("not an agent")
    assert "no whole safetensors file" in refusal(text)
    save_file({"weight": torch.zeros(3)}, weights)
    assert "holds no spot agent" in refusal(weights)
    assert "no saved agent" in refusal(tmp_path / "c.safetensors")


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / "agent.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    refusal(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"width": 8}, "does not fit its settings"),
        ({"width": 10**9}, "does not fit its settings"),
        ({"n_features": 7}, "feature projection"),
        ({"surprise": 1}, "header cannot be read"),
        ({"prior_strength": "strong"}, "header cannot be read"),
        ({"settings": {"kernel": {"length": -1.0}}}, "header cannot be read"),
    ],
)
def test_a_damaged_header_is_refused(saved: Path, change: dict[str, Any], message: str) -> None:
    assert message in refusal(rewritten(saved, change))


def test_missing_weights_are_refused(saved: Path) -> None:
    tensors = load_file(saved)
    del tensors["value.0.bias"]
    save_file(tensors, saved, metadata={KEY: json.dumps(header(saved))})
    assert "does not fit its settings" in refusal(saved)


def test_a_saved_agent_takes_no_options(saved: Path) -> None:
    with pytest.raises(InputError, match="takes no options"):
        load_agent(saved, width=3)
