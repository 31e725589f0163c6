"""A convolutional network small enough to be trained on a laptop's processor."""

from __future__ import annotations

import torch
from torch import nn


class SmallNetwork(nn.Module):
    """Stages of one residual block each, halving the side; features are the last map's mean.

    Parameters
    ----------
    widths
        Channels of each stage; the last is the number of features.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = widths
        first = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(first)
        )
        self.stages = nn.Sequential(
            *(
                _Stage(before, after)
                for before, after in zip((first, *widths), widths, strict=False)
            )
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features, (n, widths[-1]), of pixels, (n, 3, side, side)."""
        maps: torch.Tensor = self.stages(torch.relu(self.stem(pixels)))
        return maps.mean(dim=(2, 3))


class _Stage(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after)
        )
        self.block = nn.Sequential(
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        lowered = torch.relu(self.down(maps))
        return torch.relu(lowered + self.block(lowered))
