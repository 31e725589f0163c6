"""The layers that spots pass, a few observations at a time, and their gradients."""

import pytest
import torch
from torch.nn import functional

from agents.policy import layers as module
from agents.policy.layers import Layers, Spots, pooled_layers

WIDTH, N_PROGRESS = 5, 2


def layers(n_dynamic: int) -> Layers:
    shapes = [(WIDTH, n_dynamic), (WIDTH, WIDTH), (WIDTH,), (WIDTH, WIDTH), (WIDTH,)]
    shapes += [(WIDTH, 3 * WIDTH + N_PROGRESS), (WIDTH,)]
    return Layers(*(torch.randn(shape, dtype=torch.double) for shape in shapes))


def spots(n_slides: int, n_observations: int, n_spots: int, n_dynamic: int) -> Spots:
    """Return observations of slides of which all but the first are padded."""
    real = torch.ones(n_slides, n_spots, dtype=torch.bool)
    real[1:, -2:] = False
    which = torch.arange(n_observations) % n_slides
    bought = (torch.rand(n_observations, n_spots) < 0.4) & real[which]
    bought[0] = False
    dynamic = torch.randn(n_observations, n_spots, n_dynamic, dtype=torch.double)
    progress = torch.rand(n_observations, N_PROGRESS, dtype=torch.double)
    return Spots(dynamic, which, real, bought, progress)


def plainly(first: torch.Tensor, spots: Spots, layers: Layers) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same one observation and one pool after the other."""
    residuals, pools = [], []
    for row, slide in enumerate(spots.which):
        real = spots.real[slide]
        early = (first[slide] + spots.dynamic[row] @ layers.dynamic.T).relu()
        hidden = functional.linear(early, layers.second, layers.second_bias).relu()
        bought = spots.bought[row]
        none = torch.zeros(WIDTH, dtype=hidden.dtype)
        purchases = hidden[bought].mean(0) if bought.any() else none
        pooled = [hidden[real].mean(0), hidden[real].amax(0), purchases, spots.progress[row]]
        pools.append(torch.cat(pooled))
        hidden = hidden * real.unsqueeze(1)
        own = functional.linear(hidden, layers.mix_spot, layers.mix_bias)
        residuals.append((own + layers.mix_pool @ pools[-1]).relu() @ layers.residual)
    return torch.stack(residuals), torch.stack(pools)


@pytest.mark.parametrize("n_slides", [1, 3])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_observations_at_once_pass_as_one_by_one(
    n_slides: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(n_slides)
    n_spots = 6
    monkeypatch.setattr(module, "IN_CACHE", at_once * n_spots * WIDTH)
    seen, network = spots(n_slides, 7, n_spots, 2), layers(2)
    first = torch.randn(n_slides, n_spots, WIDTH, dtype=torch.double)
    for found, right in zip(
        pooled_layers(first, seen, network), plainly(first, seen, network), strict=True
    ):
        torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_slides", [1, 3])
@pytest.mark.parametrize("at_once", [1, 2])
def test_gradients_are_those_of_finite_differences(
    n_slides: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(10 + n_slides)
    n_spots = 5
    monkeypatch.setattr(module, "IN_CACHE", at_once * n_spots * WIDTH)
    seen, network = spots(n_slides, 5, n_spots, 2), layers(2)
    first = torch.randn(n_slides, n_spots, WIDTH, dtype=torch.double)
    learned = [tensor.requires_grad_() for tensor in (first, *network)]

    def passed(first: torch.Tensor, *network: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return pooled_layers(first, seen, Layers(*network))

    assert torch.autograd.gradcheck(passed, learned)


def test_spots_that_are_alike_share_the_gradient_of_the_maximum() -> None:
    torch.manual_seed(2)
    seen, network = spots(1, 2, 4, 2), layers(2)
    seen.dynamic[:] = 1.0
    seen.bought[:] = False
    first = torch.ones(1, 4, WIDTH, dtype=torch.double, requires_grad=True)
    pooled = pooled_layers(first, seen, network)[1]
    (gradient,) = torch.autograd.grad(pooled.sum(), first)
    assert gradient.abs().sum() > 0
    torch.testing.assert_close(gradient, gradient[:, :1].expand_as(first))
