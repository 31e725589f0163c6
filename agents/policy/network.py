"""The learned part of the spot policy: a small network, the same for every spot."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from agents.policy.context import N_PROGRESS, PRIORS, SpotBatch
from agents.policy.layers import Layers, Spots, of_each, pooled_layers


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
        residual, pooled = self._pass(batch)
        return self._logits(batch, residual), self.value(pooled)

    def forward_actor(self, batch: SpotBatch) -> torch.Tensor:
        """Return logits, (B, N); what they are at padding is for the action mask to hide."""
        return self._logits(batch, self._pass(batch)[0])

    def forward_critic(self, batch: SpotBatch) -> torch.Tensor:
        """Return values, (B, 1)."""
        return self.value(self._pass(batch)[1])

    def _pass(self, batch: SpotBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the residual logits, (B, N), and what is pooled, (B, 3 H + 2)."""
        n_static = batch.static.shape[-1]
        layer: Any = self.spot[0]
        first = functional.linear(batch.static, layer.weight[:, :n_static], layer.bias)
        if batch.is_static:
            return self._pass_static(batch, first.relu_())
        spots = Spots(batch.dynamic, batch.which, batch.real, batch.bought, batch.progress)
        second: Any = self.spot[2]
        layers = Layers(
            layer.weight[:, n_static:],
            *(second.weight, second.bias),
            *(self.mix_spot.weight, self.mix_spot.bias, self.mix_pool.weight),
            self.residual.weight[0],
        )
        residual, pooled = pooled_layers(first, spots, layers)
        return residual + self.residual.bias, pooled

    def _pass_static(
        self, batch: SpotBatch, first: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pass the spots of each slide but once: they give the same in all its observations."""
        which, real, bought = batch.which, batch.real, batch.bought.float()
        hidden = self.spot[2](first).relu_()
        if not real.all():
            hidden = hidden * real.unsqueeze(-1)
        everywhere = _weighted_sum(real, hidden) / real.sum(1, keepdim=True).clamp(min=1)
        # As amax() gives, but its gradient finds its way back without comparing all spots.
        largest = hidden.gather(1, hidden.detach().argmax(1, keepdim=True)).squeeze(1)
        purchases = _sum_over(bought, hidden, which) / bought.sum(1, keepdim=True).clamp(min=1)
        pooled = torch.cat([everywhere[which], largest[which], purchases, batch.progress], dim=-1)
        own = of_each(self.mix_spot(hidden), which)
        mixed = (own + self.mix_pool(pooled).unsqueeze(1)).relu_()
        return self.residual(mixed).squeeze(-1), pooled

    def _logits(self, batch: SpotBatch, residual: torch.Tensor) -> torch.Tensor:
        n_static = batch.static.shape[-1]
        direct = self.direct.weight[0]
        linear = of_each(batch.static @ direct[:n_static], batch.which)
        greedy = batch.prior @ self.prior + batch.dynamic @ direct[n_static:] + linear
        return self.prior_strength * greedy + residual


def _weighted_sum(weights: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    return torch.bmm(weights.float().unsqueeze(1), hidden).squeeze(1)


def _sum_over(bought: torch.Tensor, hidden: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Sum what the spots of a slide give, (S, N, H), over those bought, (B, N)."""
    total = hidden.new_zeros(len(bought), hidden.shape[-1])
    for row, of_slide in enumerate(hidden):
        total[which == row] = bought[which == row] @ of_slide
    return total
