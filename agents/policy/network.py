"""The learned part of the spot policy: a small network, the same for every spot."""

from __future__ import annotations

import torch
from torch import nn

from agents.policy.context import N_PROGRESS, PRIORS, SpotBatch


class SpotNetwork(nn.Module):
    """Logits of all spots and the value of the state, for any number of spots in any order.

    Each spot passes the same two layers; what they give is pooled over the slide (mean and
    maximum over its spots, mean over the bought ones) and handed back to each spot, as in
    DeepSets. The logits are ``prior_strength`` times a prior, corrected linearly by the inputs,
    plus a residual of what the layers give. The prior is a weighted mean of the four standardised
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
        real = batch.real.unsqueeze(-1).float()
        bought = batch.bought.unsqueeze(-1).float()
        hidden = self.spot(batch.inputs) * real
        everywhere = hidden.sum(1) / real.sum(1).clamp(min=1)
        purchases = (hidden * bought).sum(1) / bought.sum(1).clamp(min=1)
        pooled = torch.cat([everywhere, hidden.amax(1), purchases, batch.progress], dim=-1)
        return hidden, pooled

    def _logits(self, batch: SpotBatch, hidden: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        mixed = torch.relu(self.mix_spot(hidden) + self.mix_pool(pooled).unsqueeze(1))
        greedy = batch.prior @ self.prior + self.direct(batch.inputs).squeeze(-1)
        return self.prior_strength * greedy + self.residual(mixed).squeeze(-1)
