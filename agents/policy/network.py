"""The learned part of the spot policy: a small network, the same for every spot."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from agents.policy.context import N_PROGRESS, PRIORS, SpotBatch


class SpotNetwork(nn.Module):
    """Logits of all spots and the value of the state, for any number of spots in any order.

    Each spot passes the same two layers; what they give is pooled over the slide (mean and
    maximum over its spots, mean over the bought ones) and handed back to each spot, as in
    DeepSets. The logits are ``prior_strength`` times a prior, corrected linearly by the inputs,
    plus a residual of what the layers give. The prior is a weighted mean of the five standardised
    designs of :func:`agents.policy.context.spot_context`; its weights are chosen, not descended
    on. Both corrections start at zero: untrained, all weight is on the A-optimal design, the
    policy is a stochastic one, and its best guess is the design agent's.

    Parameters
    ----------
    n_inputs
        Inputs per spot.
    width
        Of the hidden layers.
    prior_strength
        Weight of the prior in the logits; larger explores less.

    References
    ----------
    Zaheer et al., Deep Sets, 2017.
    """

    def __init__(self, n_inputs: int, width: int = 32, prior_strength: float = 8.0) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.width = width
        self.prior_strength = prior_strength
        self.latent_dim_pi = self.latent_dim_vf = 1  # what Stable-Baselines3 asks of an extractor
        self.spot = nn.Sequential(
            nn.Linear(n_inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.mix_spot = nn.Linear(width, width)
        self.mix_pool = nn.Linear(3 * width + N_PROGRESS, width, bias=False)
        self.residual = nn.Linear(width, 1)
        self.direct = nn.Linear(n_inputs, 1, bias=False)
        self.value = nn.Sequential(
            nn.Linear(3 * width + N_PROGRESS, width), nn.ReLU(), nn.Linear(width, 1)
        )
        self.prior: torch.Tensor
        self.register_buffer("prior", torch.eye(len(PRIORS))[0])
        for layer in (self.residual.weight, self.residual.bias, self.direct.weight):
            nn.init.zeros_(layer)

    def forward(self, batch: SpotBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, N) and values (B, 1)."""
        hidden, pooled = self._pool(batch)
        return self._logits(batch, hidden, pooled), self.value(pooled)

    def forward_actor(self, batch: SpotBatch) -> torch.Tensor:
        """Return logits, (B, N); what they are at padding is for the action mask to hide."""
        return self._logits(batch, *self._pool(batch))

    def forward_critic(self, batch: SpotBatch) -> torch.Tensor:
        """Return values, (B, 1)."""
        return self.value(self._pool(batch)[1])

    def _pool(self, batch: SpotBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the two layers give, (B, N, H), and what is pooled of it, (B, 3 H + 2).

        Without dynamic inputs a spot gives the same in all observations of its slide: the first
        is then (S, N, H), and computed once.
        """
        hidden = self.spot[2](_linear(self.spot[0], batch).relu_()).relu_()
        real = batch.real if batch.is_static else batch.real[batch.which]
        if not real.all():
            hidden = hidden * real.unsqueeze(-1)
        everywhere = _weighted_sum(real, hidden) / real.sum(1, keepdim=True).clamp(min=1)
        # As amax() gives, but its gradient finds its way back without comparing all spots.
        largest = hidden.gather(1, hidden.detach().argmax(1, keepdim=True)).squeeze(1)
        bought = batch.bought.float()
        if batch.is_static:
            everywhere, largest = everywhere[batch.which], largest[batch.which]
            purchases = _sum_over(bought, hidden, batch.which)
        else:
            purchases = _weighted_sum(bought, hidden)
        purchases = purchases / bought.sum(1, keepdim=True).clamp(min=1)
        return hidden, torch.cat([everywhere, largest, purchases, batch.progress], dim=-1)

    def _logits(self, batch: SpotBatch, hidden: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        own, direct = self.mix_spot(hidden), _linear(self.direct, batch)
        if batch.is_static:
            own, direct = (_of_each(values, batch.which) for values in (own, direct))
        mixed = (own + self.mix_pool(pooled).unsqueeze(1)).relu_()
        greedy = batch.prior @ self.prior + direct.squeeze(-1)
        return self.prior_strength * greedy + self.residual(mixed).squeeze(-1)


def _linear(layer: Any, batch: SpotBatch) -> torch.Tensor:
    """Apply a layer to all inputs, (B, N, H), or to the static ones where there are no others.

    What the static inputs give is computed once for each of the S slides.
    """
    n_static = batch.static.shape[-1]
    of_slide = functional.linear(batch.static, layer.weight[:, :n_static], layer.bias)
    if batch.is_static:
        return of_slide
    own = functional.linear(batch.dynamic, layer.weight[:, n_static:])
    return own + _of_each(of_slide, batch.which)


def _of_each(of_slide: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Return the rows of S slides for each observation; one slide is left to broadcast."""
    return of_slide if len(of_slide) == 1 else of_slide[which]


def _weighted_sum(weights: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    return torch.bmm(weights.float().unsqueeze(1), hidden).squeeze(1)


def _sum_over(bought: torch.Tensor, hidden: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Sum what the spots of a slide give, (S, N, H), over those bought, (B, N)."""
    total = hidden.new_zeros(len(bought), hidden.shape[-1])
    for row, of_slide in enumerate(hidden):
        total[which == row] = bought[which == row] @ of_slide
    return total
