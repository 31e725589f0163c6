"""The static inputs of several slides, kept where the policy finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from agents.policy.context import N_DYNAMIC, PRIORS, SpotBatch, spot_context
from agents.policy.inputs import SlideInputs
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

TENSORS = ("static", "similarity", "unseen", "factor", "rough", "away", "tissue")


class SlideBank(nn.Module):
    """Static inputs of slides, in non-persistent buffers: no checkpoint holds a slide.

    Parameters
    ----------
    slides
        In the order in which observations number them.
    noise
        Of the design kernel.
    """

    def __init__(self, slides: Sequence[SlideInputs], noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.keys = tuple((slide.fingerprint, slide.n_measured) for slide in slides)
        for row, slide in enumerate(slides):
            for name in TENSORS:
                self.register_buffer(f"{name}_{row}", getattr(slide, name), persistent=False)

    def row(self, fingerprint: str, n_measured: int) -> int:
        """Return where the inputs for a slide and a number of measured spots are.

        Raises
        ------
        InputError
            If they are not in the bank: another slide of the same name or size never stands in.
        """
        if (fingerprint, n_measured) not in self.keys:
            raise InputError(
                f"the bank of {len(self.keys)} slides has none with the fingerprint "
                f"{fingerprint[:12]} for {n_measured} measured spots; build the bank anew"
            )
        return self.keys.index((fingerprint, n_measured))

    def slide(self, row: int) -> SlideInputs:
        """Return the static inputs in a row."""
        fingerprint, n_measured = self.keys[row]
        tensors = [self.get_buffer(f"{name}_{row}") for name in TENSORS]
        return SlideInputs(fingerprint, n_measured, *tensors)

    def forward(
        self,
        rows: torch.Tensor,
        mask: torch.Tensor,
        available: torch.Tensor,
        progress: torch.Tensor,
    ) -> SpotBatch:
        """Return the inputs of B observations, padded to the width of ``mask``.

        Parameters
        ----------
        rows
            Which slide each observation is of, int64, (B,).
        mask, available
            (B, N), 0 or 1, N at least the spots of the largest slide.
        progress
            Share of the budget left and of the round filled, (B, 2).

        Returns
        -------
        SpotBatch
        """
        batch, width = mask.shape
        first = self.slide(0)
        n_inputs = first.static.shape[1] + 2 * len(first.similarity) + N_DYNAMIC
        inputs = mask.new_zeros(batch, width, n_inputs)
        prior = mask.new_zeros(batch, width, len(PRIORS))
        real = torch.zeros(batch, width, dtype=torch.bool)
        for row in sorted(set(rows.tolist())):
            slide = self.slide(row)
            which = rows == row
            n_spots = slide.n_spots
            found, guess = spot_context(
                slide, self.noise, mask[which, :n_spots], available[which, :n_spots]
            )
            inputs[which, :n_spots] = found
            prior[which, :n_spots] = guess
            real[which, :n_spots] = True
        return SpotBatch(inputs, prior, real, mask > 0, progress)
