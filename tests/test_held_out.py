"""Prediction on held-out spots of retrospective slides, as training judges by it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import toy_slide

from agents.held_out import _cosine, held_out_correlations, spread_part
from agents.policy.context import PRIORS
from agents.start import untrained_agent
from scr2st_env import Slide


def gradient_slide(name: str, sign: float) -> Slide:
    """Two genes that change evenly across the tissue, and one that keeps the depth the same."""
    slide = toy_slide(name, 10, 3)
    rise = np.arange(100) % 10
    up = 1000 + sign * 100 * rise
    return Slide.make(
        name,
        slide.public.coordinates,
        features=slide.public.features,
        counts=np.column_stack([up, 3000 - up, np.full(100, 5000)]).astype(int),
        genes=["a", "b", "c"],
        encoder="toy",
    )


def test_a_gradient_is_predicted_better_than_noise() -> None:
    slides = [gradient_slide("up", 1.0), toy_slide("noise", 10, 3)]
    agent = untrained_agent([slide.public for slide in slides])
    found = held_out_correlations(agent, slides, budget=0.2, round_size=1)
    assert found.shape == (2,)
    assert found[0] > 0.6  # the gene that does not vary counts as 0
    assert found[1] < found[0] - 0.2


def test_what_is_excluded_is_neither_bought_nor_scored() -> None:
    slide = gradient_slide("up", 1.0)
    assert slide.hidden is not None
    agent = untrained_agent([slide.public])
    spoilt_counts = slide.hidden.counts.tolil()
    spoilt_counts[:20] = 0
    spoilt_counts[:20, 2] = 9000
    spoilt = replace(slide, hidden=replace(slide.hidden, counts=spoilt_counts.tocsr()))
    excluded = {"up": range(20)}
    scores = [
        held_out_correlations(agent, [one], budget=0.2, round_size=1, excluded=excluded)[0]
        for one in (slide, spoilt)
    ]
    assert scores[0] == pytest.approx(scores[1])


def test_parts_are_a_spread_quarter_and_repeat_themselves() -> None:
    place = toy_slide("one", 8).public.pitch_coordinates.astype(float)
    candidates = np.arange(4, 64)
    parts = [spread_part(place, candidates, [0, part]) for part in (0, 0, 1)]
    assert parts[0].tolist() == parts[1].tolist() != parts[2].tolist()
    assert len(set(parts[0].tolist())) == 15
    assert set(parts[0].tolist()) <= set(candidates.tolist())
    chosen = place[parts[0]]
    gaps = np.linalg.norm(chosen[:, None] - chosen[None], axis=-1)[np.triu_indices(15, 1)]
    assert gaps.min() > 1.0  # random quarters hold neighbours


def test_the_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30, 4))
    second[:, 3] = 1.0
    expected = [np.corrcoef(first[:, k], second[:, k])[0, 1] for k in range(3)]
    np.testing.assert_allclose(_cosine(first, second), [*expected, 0.0], atol=1e-12)


def test_priors_are_told_apart() -> None:
    slide = gradient_slide("up", 1.0)
    agent = untrained_agent([slide.public])
    found = set()
    for weights in torch.eye(len(PRIORS)):
        agent.network.prior.copy_(weights)
        found.add(held_out_correlations(agent, [slide], budget=0.1, round_size=1)[0])
    assert len(found) > 1
