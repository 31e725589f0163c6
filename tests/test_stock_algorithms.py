"""Stable-Baselines3 and sb3-contrib learn on SpotSampling-v0 as they come."""

from typing import Any

import numpy as np
import pytest
from episodes import MODES

from scr2st_env import CellReference, Slide, SpotSamplingEnv


def weights_of(model: Any) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel().copy() for p in model.policy.parameters()])


def wasted_while_learning(model: Any, n_steps: int) -> list[bool]:
    wasted: list[bool] = []

    def collect(seen: dict[str, Any], _: dict[str, Any]) -> bool:
        wasted.extend(info["wasted"] for info in seen["infos"])
        return True

    model.learn(n_steps, collect)
    return wasted


class TestStockAlgorithms:
    @pytest.mark.parametrize("mode", MODES)
    def test_maskable_ppo_trains_and_wastes_nothing(
        self, slides: list[Slide], reference: CellReference, mode: str
    ) -> None:
        from sb3_contrib import MaskablePPO

        env = SpotSamplingEnv(slides, reference, budget=8, observation=mode, feedback=True)
        model = MaskablePPO("MultiInputPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
        before = weights_of(model)
        wasted = wasted_while_learning(model, 64)
        assert wasted == [False] * 64
        assert not np.array_equal(weights_of(model), before)

    def test_ppo_trains_and_wastes_for_want_of_a_mask(
        self, slide: Slide, reference: CellReference
    ) -> None:
        from stable_baselines3 import PPO

        env = SpotSamplingEnv([slide], reference, budget=8, round_size=3)
        model = PPO("MultiInputPolicy", env, n_steps=128, batch_size=64, n_epochs=1, seed=0)
        before = weights_of(model)
        wasted = wasted_while_learning(model, 256)
        assert len(wasted) == 256
        assert any(wasted)
        assert not np.array_equal(weights_of(model), before)
