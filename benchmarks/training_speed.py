"""How fast the spot policy trains, beside sb3-contrib's own, and what a rollout step takes.

Run ``python -m benchmarks.training_speed``. A slide of 1,000 spots with 64 features, a budget of
a tenth, 8 environments of 64 steps, one thread. sb3-contrib's ``MultiInputPolicy`` sees the full
observation, the spot policy the compact one with more and more inputs; both learn with
``MaskablePPO`` from the same number of frames with the same numbers: sb3-contrib's, for which the
bars are meant, and those of ``train_spot_agent``. Ratios are of frames per CPU second, in one run,
the best of three of each in turn. Memory is that of all arrays of the rollout buffer.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from agents.policy.bank import SlideBank
from agents.policy.inputs import InputSettings, describe
from agents.policy.sb3 import SpotPolicy
from agents.rollouts import SpotRolloutBuffer
from agents.start import untrained_agent
from agents.vec_env import SpotSamplingVecEnv
from scr2st_env import CellReference, Slide

N_SPOTS, N_FEATURES, WIDTH, BUDGET = 1_000, 64, 32, 100
N_ENVS, N_STEPS, REPEATS = 8, 64, 3
STOCK_NUMBERS = "batches of 64, 10 epochs"
NUMBERS: dict[str, dict[str, Any]] = {  # of PPO
    STOCK_NUMBERS: {"batch_size": 64, "n_epochs": 10},
    "batches of 256, 4 epochs": {"batch_size": 256, "n_epochs": 4},
}
STATIC = InputSettings(seen=False, posterior=False, prior=False)


class Rival(NamedTuple):
    """Inputs of the spot policy, and how many times as fast as the stock one it has to be."""

    settings: InputSettings
    bar: float | None


RIVALS = {
    "static features": Rival(STATIC, 6.0),
    "and distances": Rival(replace(STATIC, distances=True), 2.0),
    "and the posterior": Rival(replace(STATIC, distances=True, posterior=True), 1.0),
    "the default": Rival(InputSettings(), None),
}


def tissue() -> tuple[Slide, CellReference]:
    """Return a hexagonal slide with random features and embeddings, and an atlas for it."""
    rng = np.random.default_rng(0)
    row, column = np.divmod(np.arange(N_SPOTS), 32)
    place = np.stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2], axis=1)
    slide = Slide.make(
        "big",
        100 * place,
        features=rng.normal(size=(N_SPOTS, N_FEATURES)),
        counts=rng.poisson(5, (N_SPOTS, 2)),
        genes=["a", "b"],
        embedding=rng.normal(size=(N_SPOTS, WIDTH)),
        pitch=100.0,
    )
    cells = rng.normal(size=(200, WIDTH))
    return slide, CellReference.make(cells, ["a", "b"] * 100, n_states=50)


def environments(slide: Slide, reference: CellReference, **options: Any) -> SpotSamplingVecEnv:
    """Return the environments that both policies learn in."""
    reward = {"states": 0, "types": 0, "density": 1}
    return SpotSamplingVecEnv(
        N_ENVS, slides=[slide], reference=reference, budget=BUDGET, reward=reward, **options
    )


def stock(slide: Slide, reference: CellReference, **numbers: Any) -> MaskablePPO:
    """Return sb3-contrib's policy on the full observation."""
    envs = environments(slide, reference, observation="full")
    return MaskablePPO("MultiInputPolicy", envs, n_steps=N_STEPS, device="cpu", seed=0, **numbers)


def ours(
    slide: Slide,
    reference: CellReference,
    settings: InputSettings,
    *,
    feedback: bool = False,
    **numbers: Any,
) -> MaskablePPO:
    """Return the spot policy on the compact observation."""
    envs = environments(slide, reference, observation="compact", feedback=feedback)
    agent = untrained_agent([slide.public], settings)
    described = describe(slide.public, BUDGET, settings, agent.projection)
    return MaskablePPO(
        SpotPolicy,
        envs,
        n_steps=N_STEPS,
        rollout_buffer_class=SpotRolloutBuffer,
        policy_kwargs={"network": agent.network, "bank": SlideBank([described], settings)},
        device="cpu",
        seed=0,
        **numbers,
    )


def seconds(model: MaskablePPO) -> float:
    """Return the CPU seconds of one rollout and the updates from it."""
    started = time.process_time()
    model.learn(N_ENVS * N_STEPS, reset_num_timesteps=False)
    return time.process_time() - started


def bytes_per_step(model: MaskablePPO, n_steps: int = N_ENVS * N_STEPS) -> float:
    """Return what the rollout buffer holds per step and environment, of ``n_steps`` in all."""
    buffer = model.rollout_buffer
    arrays = [*vars(buffer).values(), *vars(buffer)["observations"].values()]
    memory = {id(array): array.nbytes for array in arrays if isinstance(array, np.ndarray)}
    return sum(memory.values()) / n_steps


def print_speed(slide: Slide, reference: CellReference) -> bool:
    """Print a table of ratios; return whether all bars are met."""
    met = True
    print(f"{'PPO':26s} {'inputs':20s} {'ours, frames/s':>15s} {'stock':>7s} ratio   bar")
    for name, numbers in NUMBERS.items():
        models = {"stock": stock(slide, reference, **numbers)}
        models |= {
            inputs: ours(slide, reference, rival.settings, **numbers)
            for inputs, rival in RIVALS.items()
        }
        taken: dict[str, list[float]] = {inputs: [] for inputs in models}
        for _ in range(REPEATS):
            for inputs, model in models.items():
                taken[inputs].append(seconds(model))
        rate = {inputs: N_ENVS * N_STEPS / min(times) for inputs, times in taken.items()}
        for inputs, (_, bar) in RIVALS.items():
            ratio = rate[inputs] / rate["stock"]
            is_met = bar is None or name != STOCK_NUMBERS or ratio >= bar
            met &= is_met
            verdict = "" if bar is None or name != STOCK_NUMBERS else f"{bar:.0f}"
            verdict += "" if is_met else " MISSED"
            print(
                f"{name:26s} {inputs:20s} {rate[inputs]:15.0f} {rate['stock']:7.0f} "
                f"{ratio:5.2f}   {verdict}"
            )
    return met


def print_memory(slide: Slide, reference: CellReference) -> bool:
    """Print the bytes of a rollout step; return whether the bars are met."""
    plain = 5 * N_SPOTS + 64
    bars = {False: plain, True: plain + 4 * BUDGET * (WIDTH + 1)}
    met = True
    for feedback, bar in bars.items():
        taken = bytes_per_step(ours(slide, reference, InputSettings(), feedback=feedback))
        kind = "with" if feedback else "without"
        met &= taken <= bar
        print(f"a rollout step {kind} feedback takes {taken:.0f} bytes, bar {bar}")
    return met


if __name__ == "__main__":
    torch.set_num_threads(1)
    with threadpool_limits(1):
        parts = tissue()
        all_met = [print_speed(*parts), print_memory(*parts)]
    sys.exit(0 if all(all_met) else 1)
