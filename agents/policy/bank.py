"""The static inputs of several slides, kept where the policy finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from agents.policy.context import PRIORS, SpotBatch, spot_context, standardise
from agents.policy.feedback import Atlas, Feedback
from agents.policy.inputs import InputSettings, SlideInputs
from agents.policy.plan import CoveringPlans
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAN = PRIORS.index("plan")
TENSORS = (
    "static",
    "place",
    "similarity",
    "typical",
    "unseen",
    "factor",
    "rough",
    "away",
    "unlike",
    "tissue",
    "belief",
    "neighbours",
)


class SlideBank(nn.Module):
    """Static inputs of slides, in non-persistent buffers: no checkpoint holds a slide.

    Parameters
    ----------
    slides
        In the order in which observations number them.
    settings
        How they are described.
    atlas
        The cell states to look for, where ``settings.feedback``.

    Notes
    -----
    Plans of a whole budget (:class:`agents.policy.plan.CoveringPlans`) are made where their weight
    asks for them, and kept.
    """

    def __init__(
        self,
        slides: Sequence[SlideInputs],
        settings: InputSettings,
        atlas: Atlas | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.atlas = atlas
        self.plans = CoveringPlans()
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
        weights: torch.Tensor,
        feedback: Feedback | None = None,
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
        weights
            Of the priors, (5,); those of weight 0 may be left at 0.
        feedback
            What came back, for a bank with an atlas.

        Returns
        -------
        SpotBatch
        """
        width = mask.shape[1]
        found, which = torch.unique(rows, return_inverse=True)
        slides = [self.slide(row) for row in found.tolist()]
        static = mask.new_zeros(len(slides), width, slides[0].static.shape[1])
        real = torch.zeros(len(slides), width, dtype=torch.bool)
        parts = []
        for number, slide in enumerate(slides):
            n_spots = slide.n_spots
            static[number, :n_spots] = slide.static
            real[number, :n_spots] = True
            own = which == number
            masks = mask[own, :n_spots], available[own, :n_spots]
            known = None
            if self.atlas is not None and feedback is not None:
                known = self.atlas, Feedback(feedback.picks[own], feedback.measured[own])
            parts.append(spot_context(slide, self.settings, *masks, weights, known))
            if weights[PLAN] != 0:
                closeness = self.plans.closeness(slide, *masks)
                parts[-1][1][..., PLAN] = standardise(closeness, masks[1] > 0)
        dynamic, prior = (_padded(tensors, which, width) for tensors in zip(*parts, strict=True))
        return SpotBatch(static, which, dynamic, prior, real, mask > 0, progress)


def _padded(parts: Sequence[torch.Tensor], which: torch.Tensor, width: int) -> torch.Tensor:
    """Return the rows of all slides, each (b, n, F), in the order of observations, (B, N, F)."""
    first = parts[0]
    if len(parts) == 1 and first.shape[1] == width:
        return first
    together = first.new_zeros(len(which), width, first.shape[-1])
    for number, part in enumerate(parts):
        together[which == number, : part.shape[1]] = part
    return together
