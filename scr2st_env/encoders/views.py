"""Two looks at the same tissue: what a trained encoder must not notice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import affine_grid, grid_sample

from scr2st_env.encoders.histology import UNMIX

DARKEST = 1 / 255


@dataclass(frozen=True)
class Views:
    """Random views of H&E patches: turned, mirrored, enlarged, with other strengths of stain.

    Attributes
    ----------
    smallest
        Side of the smallest part that is shown, as a share of the patch.
    stain
        Each stain's absorbance is multiplied by 1 plus or minus this, and shifted by a tenth of
        it [1]_.

    References
    ----------
    .. [1] Tellez et al. (2019), Medical Image Analysis 58, 101544.
    """

    smallest: float = 0.6
    stain: float = 0.3

    def __call__(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return one view of each patch.

        Parameters
        ----------
        pixels
            Float32 (n, 3, side, side), 0..1.
        generator
            Of all randomness, on the CPU.

        Returns
        -------
        Tensor
            Of the same shape, 0..1.
        """
        n, device = len(pixels), pixels.device

        def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
            return (low + (high - low) * torch.rand(n, *shape, generator=generator)).to(device)

        angle = uniform(0, 2 * math.pi)
        scale = uniform(self.smallest, 1)
        mirror = torch.where(uniform(-1, 1) < 0, -1.0, 1.0)
        turns = torch.zeros(n, 2, 3, device=device)
        turns[:, 0, 0], turns[:, 0, 1] = mirror * scale * angle.cos(), -scale * angle.sin()
        turns[:, 1, 0], turns[:, 1, 1] = mirror * scale * angle.sin(), scale * angle.cos()
        turns[:, :, 2] = uniform(-1, 1, 2) * (1 - scale)[:, None]
        grid = affine_grid(turns, list(pixels.shape), align_corners=False)
        turned = grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
        unmix = torch.tensor(UNMIX, dtype=torch.float32, device=device)
        absorbance = -turned.clamp(DARKEST, 1).log().movedim(1, -1) @ unmix
        strength = uniform(1 - self.stain, 1 + self.stain, 1, 1, 3)
        shift = uniform(-self.stain / 10, self.stain / 10, 1, 1, 3)
        mixed = (absorbance * strength + shift) @ torch.linalg.inv(unmix)
        return (-mixed).exp().clamp(0, 1).movedim(-1, 1)
