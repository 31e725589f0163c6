"""The layers that every spot of every observation passes, a few observations at a time."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_CACHE = 2**17  # values of one layer that a processor core keeps at hand


class Spots(NamedTuple):
    """Where the B observations of a minibatch stand; nothing in it is learned."""

    dynamic: torch.Tensor  # (B, N, G)
    which: torch.Tensor  # (B,), int64, the slide of each observation
    real: torch.Tensor  # (S, N), bool
    bought: torch.Tensor  # (B, N), bool
    progress: torch.Tensor  # (B, P)


class Layers(NamedTuple):
    """Weights, each out x in, and biases of the layers."""

    dynamic: torch.Tensor  # (H, G), the part of the first layer for what changes
    second: torch.Tensor  # (H, H)
    second_bias: torch.Tensor  # (H,)
    mix_spot: torch.Tensor  # (H, H)
    mix_bias: torch.Tensor  # (H,)
    mix_pool: torch.Tensor  # (H, 3 H + P)
    residual: torch.Tensor  # (H,)


def pooled_layers(
    first: torch.Tensor, spots: Spots, layers: Layers
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pass two layers with each spot, pool over the slide and mix the pools into each spot.

    Parameters
    ----------
    first
        What the first layer makes of the static inputs, (S, N, H).
    spots, layers
        Gradients flow to ``first`` and ``layers`` alone.

    Returns
    -------
    residual
        Logits without their bias, (B, N).
    pooled
        Mean and maximum over the spots of the slide, mean over the bought ones and the progress,
        (B, 3 H + P).
    """
    apply: Any = _PooledLayers.apply
    found: tuple[torch.Tensor, torch.Tensor] = apply(first, *spots, *layers)
    return found


class _PooledLayers(torch.autograd.Function):
    """:func:`pooled_layers` and its gradient.

    What the layers give is far larger than what goes in and comes out. It is computed for as many
    observations at a time as fit the processor's cache, and in the backward pass again, which is
    faster than keeping it in memory.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return residual logits and what is pooled."""
        first, spots, layers = _unpacked(arguments)
        width = first.shape[-1]
        shares = _shares(spots)
        pooled = first.new_empty(len(shares), layers.mix_pool.shape[1])
        pooled[:, 3 * width :] = spots.progress
        residual = first.new_empty(spots.bought.shape)
        for some, (early, hidden, mixed, _) in _in_turn(first, spots):
            _pass_twice(first, spots, layers, some, (early, hidden))
            means = torch.bmm(shares[some], hidden)
            pooled[some, : 3 * width] = torch.cat([means[:, 0], hidden.amax(1), means[:, 1]], dim=1)
            _mix(hidden, pooled[some], layers, mixed)
            torch.mv(_rows(mixed), layers.residual, out=residual[some].view(-1))
        ctx.save_for_backward(shares, pooled, *arguments)
        return residual, pooled

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of ``first`` and of all layers; the rest is not learned."""
        of_residual, of_pooled = outer
        shares, pooled, *arguments = ctx.saved_tensors
        first, spots, layers = _unpacked(arguments)
        width = first.shape[-1]
        of_first = torch.zeros_like(first)
        of_layers = Layers(*(torch.zeros_like(layer) for layer in layers))
        for some, (early, hidden, mixed, of_hidden) in _in_turn(first, spots):
            _pass_twice(first, spots, layers, some, (early, hidden))
            _mix(hidden, pooled[some], layers, mixed)
            of_logits = of_residual[some]
            of_layers.residual.addmv_(_rows(mixed).T, of_logits.flatten())
            # A rectified value's sign is the gradient of relu; here and below it is written over.
            of_mixed = mixed.sign_().mul_(layers.residual).mul_(of_logits.unsqueeze(-1))
            of_layers.mix_spot.addmm_(_rows(of_mixed).T, _rows(hidden))
            of_mix = of_mixed.sum(1)
            of_layers.mix_bias.add_(of_mix.sum(0))
            of_layers.mix_pool.addmm_(of_mix.T, pooled[some])
            of_inputs = of_pooled[some].addmm(of_mix, layers.mix_pool)[:, : 3 * width]
            everywhere, of_largest, purchases = torch.split(of_inputs, width, dim=1)
            of_means = torch.stack([everywhere, purchases], dim=1)
            torch.bmm(shares[some].mT, of_means, out=of_hidden)
            _rows(of_hidden).addmm_(_rows(of_mixed), layers.mix_spot)
            largest = pooled[some, width : 2 * width].unsqueeze(1)
            is_largest = torch.sub(hidden, largest, out=mixed).sign_().add_(1)
            of_hidden.addcmul_(is_largest, (of_largest / is_largest.sum(1)).unsqueeze(1))
            of_hidden.mul_(hidden.sign_())
            of_layers.second.addmm_(_rows(of_hidden).T, _rows(early))
            of_layers.second_bias.add_(of_hidden.sum(1).sum(0))
            torch.mm(_rows(of_hidden), layers.second, out=_rows(mixed))
            of_early = mixed.mul_(early.sign_())
            # Transposed, as a matrix product with few columns is slow.
            of_layers.dynamic.add_((_rows(spots.dynamic[some]).T @ _rows(of_early)).T)
            for slide, of_spots in zip(spots.which[some].tolist(), of_early, strict=True):
                of_first[slide].add_(of_spots)
        return of_first, *(None for _ in spots), *of_layers


class _Workspace(threading.local):
    """Memory that is written over again and again: what is new to a process is slow to come by."""

    def __init__(self) -> None:
        self.memory = torch.empty(0)

    def tensors(self, like: torch.Tensor, *shape: int) -> tuple[torch.Tensor, ...]:
        """Return shape[0] tensors of shape[1:], of any content."""
        size = math.prod(shape)
        if self.memory.numel() < size or self.memory.dtype != like.dtype:
            self.memory = like.new_empty(size)
        return self.memory[:size].view(shape).unbind(0)


_WORKSPACE = _Workspace()


def _unpacked(arguments: Any) -> tuple[torch.Tensor, Spots, Layers]:
    first, *others = arguments
    n_fields = len(Spots._fields)
    return first, Spots(*others[:n_fields]), Layers(*others[n_fields:])


def _in_turn(first: torch.Tensor, spots: Spots) -> Iterator[tuple[slice, tuple[torch.Tensor, ...]]]:
    """Yield observations that fit the cache together, and four tensors (b, N, H) for them."""
    n_observations = len(spots.which)
    size = min(max(1, IN_CACHE // first[0].numel()), n_observations)
    for start in range(0, n_observations, size):
        n_some = min(size, n_observations - start)
        yield (
            slice(start, start + n_some),
            _WORKSPACE.tensors(first, 4, n_some, *first.shape[1:]),
        )


def _shares(spots: Spots) -> torch.Tensor:
    """Return the weights of the spots in the means over the slide and the purchases, (B, 2, N)."""
    weights = torch.stack([spots.real[spots.which], spots.bought], dim=1).to(spots.dynamic.dtype)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1)


def _pass_twice(
    first: torch.Tensor,
    spots: Spots,
    layers: Layers,
    some: slice,
    out: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Write what each of the two layers gives for some observations, 0 at padding, (b, N, H)."""
    early, hidden = out
    which = spots.which[some]
    torch.mm(_rows(spots.dynamic[some]), layers.dynamic.T, out=_rows(early))
    early.add_(of_each(first, which)).relu_()
    torch.addmm(layers.second_bias, _rows(early), layers.second.T, out=_rows(hidden)).relu_()
    if not spots.real.all():
        hidden.mul_(spots.real[which].unsqueeze(-1))


def _mix(hidden: torch.Tensor, pooled: torch.Tensor, layers: Layers, out: torch.Tensor) -> None:
    """Write what each spot makes of itself and of what is pooled, (b, N, H)."""
    of_all = torch.addmm(layers.mix_bias, pooled, layers.mix_pool.T)
    torch.mm(_rows(hidden), layers.mix_spot.T, out=_rows(out))
    out.add_(of_all.unsqueeze(1)).relu_()


def _rows(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(0, 1)


def of_each(of_slide: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Return the rows of S slides for each observation; one slide is left to broadcast."""
    return of_slide if len(of_slide) == 1 else of_slide[which]
