"""The rollout buffer: the same training as with sb3-contrib's own, in a third of the memory."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from sb3_contrib import MaskablePPO

from agents import SpotSamplingVecEnv
from agents.policy.sb3 import SpotPolicy
from agents.rollouts import SpotRolloutBuffer
from agents.spot_policy import spot_policy_kwargs
from agents.start import untrained_agent
from benchmarks.training_speed import bytes_per_step
from scr2st_env.envs.spot_sampling import SpotSamplingEnv

N_ENVS, N_STEPS = 3, 16


def model(buffer: Any, feedback: bool = False) -> MaskablePPO:
    slides = [toy_slide("one", 6, 1), toy_slide("two", 5, 2)]
    torch.manual_seed(0)
    agent = untrained_agent([slide.public for slide in slides])
    options: dict[str, Any] = {"budget": 7, "observation": "compact", "feedback": feedback}
    bank = spot_policy_kwargs(agent, SpotSamplingEnv(slides, toy_reference(), **options))["bank"]
    return MaskablePPO(
        SpotPolicy,
        SpotSamplingVecEnv(N_ENVS, slides=slides, reference=toy_reference(), **options),
        n_steps=N_STEPS,
        batch_size=10,
        n_epochs=2,
        rollout_buffer_class=buffer,
        policy_kwargs={"network": agent.network, "bank": bank},
        seed=0,
        device="cpu",
    )


@pytest.mark.parametrize("feedback", [False, True])
def test_training_is_the_same_bit_for_bit(feedback: bool) -> None:
    models = [model(buffer, feedback).learn(96) for buffer in (None, SpotRolloutBuffer)]
    plain, small = (trained.policy.state_dict() for trained in models)
    for name, value in plain.items():
        assert torch.equal(value, small[name]), name
    untouched = model(None).policy.state_dict()
    assert any(not torch.equal(value, untouched[name]) for name, value in plain.items())


@pytest.mark.parametrize("feedback", [False, True])
def test_what_a_step_takes(feedback: bool) -> None:
    trained = model(SpotRolloutBuffer, feedback).learn(N_ENVS * N_STEPS)
    arrays = {**vars(trained.rollout_buffer), **trained.rollout_buffer.observations}.values()
    memory = {id(a): a.nbytes for a in arrays if isinstance(a, np.ndarray)}
    assert sum(memory.values()) == N_ENVS * N_STEPS * (2 * 36 + 48 + feedback * 4 * 7 * (4 + 1))
    assert bytes_per_step(trained, N_ENVS * N_STEPS) == sum(memory.values()) / (N_ENVS * N_STEPS)
