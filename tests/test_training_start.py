"""Training that goes on from an agent that was trained before, on other slides."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import toy_reference, toy_slide
from safetensors.torch import load_file
from stable_baselines3.common.callbacks import BaseCallback

from agents import SpotAgent, evaluate, train_spot_agent
from agents.policy.inputs import InputSettings
from scr2st_env import InputError, Kernel, Slide, SpotSamplingEnv

SYNTHETIC = [toy_slide("s1", 6, 1), toy_slide("s2", 7, 2)]
REAL = [toy_slide("r1", 8, 3), toy_slide("r2", 6, 4)]


def train(slides: list[Slide], **options: Any) -> SpotAgent:
    defaults = {"budget": 0.2, "total_steps": 64, "n_envs": 2, "n_steps": 16, "progress": False}
    return train_spot_agent(slides, toy_reference(), **(defaults | options))


def restless(agent: SpotAgent) -> SpotAgent:
    """As if training had moved every weight."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in agent.network.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return agent


def state(agent: SpotAgent) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in agent.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_it_begins_where_the_start_ended_and_leaves_it_as_it_was() -> None:
    start = restless(train(SYNTHETIC, width=8))
    before = state(start)
    agent = train(REAL, start=start)
    assert same(state(start), before)
    assert agent.network is not start.network
    env = SpotSamplingEnv(REAL, toy_reference(), budget=0.2)
    earned = evaluate({"start": start, "agent": agent}, env).groupby("agent")["reward"].mean()
    assert agent.record is not None
    assert agent.record.score_before == pytest.approx(earned["start"])
    assert agent.record.score_after == pytest.approx(earned["agent"])
    assert earned["agent"] >= earned["start"]


def test_what_is_learned_is_added_to_the_weights_of_the_start(tmp_path: Path) -> None:
    """The network in training, as its last checkpoint shows it, has the start's prior."""
    start = restless(train(SYNTHETIC, width=8))
    start.network.prior.copy_(start.network.prior.roll(1))
    checkpoint, kept = tmp_path / "progress.safetensors", tmp_path / "kept.safetensors"

    class Keep(BaseCallback):
        def _on_step(self) -> bool:
            if checkpoint.exists():
                kept.write_bytes(checkpoint.read_bytes())
            return True

    train(REAL, start=start, checkpoint=checkpoint, callback=Keep(), total_steps=128)
    progress = load_file(kept)
    assert torch.equal(progress["network/prior"], start.network.prior)
    moved = (progress["network/direct.weight"] - start.network.direct.weight).abs().max()
    assert 0 < moved < 0.2


def test_the_record_keeps_what_the_start_has_seen() -> None:
    start = train(SYNTHETIC)
    agent = train(REAL, start=start)
    assert agent.record is not None
    assert agent.record.slides == ("s1", "s2", "r1", "r2")
    assert start.record is not None
    assert set(start.record.patients) <= set(agent.record.patients)
    assert {slide.patient for slide in REAL} <= set(agent.record.patients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": InputSettings()}, "brings its own inputs"),
        ({"kernel": Kernel()}, "brings its own inputs"),
        ({"feedback": True}, "without feedback; pass feedback=False"),
    ],
)
def test_what_the_start_decided_cannot_be_asked_for_anew(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(REAL, start=train(SYNTHETIC), **options)


def test_a_start_of_another_encoder_is_refused() -> None:
    start = train(SYNTHETIC)
    other = [replace(slide, public=replace(slide.public, encoder="another")) for slide in REAL]
    with pytest.raises(InputError, match="another"):
        train(other, start=start)


def test_a_checkpoint_of_another_start_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "progress.safetensors"

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            raise KeyboardInterrupt

    start = train(SYNTHETIC)
    with pytest.raises(KeyboardInterrupt):
        train(REAL, start=start, checkpoint=checkpoint, callback=Stop())
    with pytest.raises(InputError, match="its start differs"):
        train(REAL, start=restless(train(SYNTHETIC)), checkpoint=checkpoint)
    train(REAL, start=start, checkpoint=checkpoint)
    assert not checkpoint.exists()
