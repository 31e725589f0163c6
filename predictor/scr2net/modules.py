"""The trainable parts: an adapter on frozen features, a regression head, two projection heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Sizes:
    """Widths of a network.

    Parameters
    ----------
    n_features
        D.
    n_genes
        G.
    width
        Of the image encoding z.
    projection
        Of the space that images and expression share.
    dropout
        Share of activations dropped in training.
    """

    n_features: int
    n_genes: int
    width: int = 128
    projection: int = 256
    dropout: float = 0.2


class Encoder(nn.Module):
    """Adapter on frozen patch features: x -> z = A x + f(LayerNorm(A x))."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.entry = nn.Linear(sizes.n_features, sizes.width)
        self.block = nn.Sequential(
            nn.LayerNorm(sizes.width),
            nn.Linear(sizes.width, sizes.width),
            nn.GELU(),
            nn.Dropout(sizes.dropout),
            nn.Linear(sizes.width, sizes.width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return z, (n, width), of features (n, D)."""
        entered = self.entry(features)
        return cast("Tensor", entered + self.block(entered))


class RegressionHead(nn.Module):
    """z -> standardised expression of G genes."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(sizes.width),
            nn.Linear(sizes.width, sizes.width),
            nn.GELU(),
            nn.Dropout(sizes.dropout),
            nn.Linear(sizes.width, sizes.n_genes),
        )

    def forward(self, encoded: Tensor) -> Tensor:
        """Return (n, G) of z (n, width)."""
        return cast("Tensor", self.layers(encoded))


class ProjectionHead(nn.Module):
    """Into the shared space: p = L x, then unit(LayerNorm(p + f(p)))."""

    def __init__(self, n_inputs: int, sizes: Sizes) -> None:
        super().__init__()
        self.entry = nn.Linear(n_inputs, sizes.projection)
        self.block = nn.Sequential(
            nn.GELU(),
            nn.Linear(sizes.projection, sizes.projection),
            nn.Dropout(sizes.dropout),
        )
        self.norm = nn.LayerNorm(sizes.projection)

    def forward(self, values: Tensor) -> Tensor:
        """Return unit vectors, (n, projection)."""
        entered = self.entry(values)
        return functional.normalize(self.norm(entered + self.block(entered)), dim=1)


class Network(nn.Module):
    """All trainable parts of SCR2Net, so that one optimiser cannot miss one of them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = Encoder(sizes)
        self.regression = RegressionHead(sizes)
        self.image_projection = ProjectionHead(sizes.width, sizes)
        self.expression_projection = ProjectionHead(sizes.n_genes, sizes)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(0.1)))
        self.register_buffer("skip_mean", torch.zeros(sizes.n_features))
        self.register_buffer("skip_coefficients", torch.zeros(sizes.n_features, sizes.n_genes))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the head adds to the skip path (n, G), and unit vectors (n, projection)."""
        encoded = self.encoder(features)
        return self.regression(encoded), self.image_projection(encoded)

    def skip(self, features: Tensor) -> Tensor:
        """Return the linear skip path around the network, fitted in closed form, (n, G)."""
        mean, coefficients = self.get_buffer("skip_mean"), self.get_buffer("skip_coefficients")
        return (features - mean) @ coefficients

    @property
    def temperature(self) -> Tensor:
        """The learned temperature of the contrastive loss, kept within [0.01, 1]."""
        return self.log_temperature.exp().clamp(0.01, 1.0)
