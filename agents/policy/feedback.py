"""What the spot policy makes of the embeddings of measured spots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch

if TYPE_CHECKING:
    from agents.policy.inputs import SlideInputs
    from scr2st_env.reference import CellReference

N_COMPONENTS = 4
N_FEEDBACK = N_COMPONENTS + 4
N_NEIGHBOURS = 6
LEAST_NOVELTY = 1e-4  # in cell states


class Feedback(NamedTuple):
    """What came back from the sequencer in B episodes; rows of zeros did not yet."""

    picks: torch.Tensor  # (B, k), int64
    measured: torch.Tensor  # (B, k, E)


@dataclass(frozen=True, eq=False)
class Atlas:
    """The cell states whose novelty a policy with feedback looks for.

    Parameters
    ----------
    states
        mu, float32, (C, E).
    width
        h of :func:`scr2st_env.cell_states.state_shares`.
    """

    states: torch.Tensor
    width: float
    scale: float = field(init=False)  # root mean squared distance of a state to their mean
    axes: torch.Tensor = field(init=False)  # (E, 4), principal axes over the states' spread

    def __post_init__(self) -> None:
        """Find the axes along which the states differ most; those without spread are zero."""
        centred = (self.states - self.states.mean(0)).double().numpy()
        _, values, directions = np.linalg.svd(centred, full_matrices=False)
        spread = values[:N_COMPONENTS] / np.sqrt(len(centred))
        axes = np.zeros((centred.shape[1], N_COMPONENTS))
        for column in np.flatnonzero(spread > 1e-6 * spread[0]):
            axes[:, column] = directions[column] / spread[column]
        object.__setattr__(self, "axes", torch.from_numpy(axes.astype(np.float32)))
        scale = float(np.sqrt(np.square(centred).sum(axis=1).mean())) or 1.0
        object.__setattr__(self, "scale", scale)

    @classmethod
    def of(cls, reference: CellReference) -> Self:
        """Return the cell states of a reference."""
        states = torch.from_numpy(np.array(reference.states, np.float32))
        return cls(states, float(reference.sharing_width))

    def shares(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return the share of every state in each spot, (n, C), of embeddings (n, E)."""
        squares = torch.cdist(embedding, self.states, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.softmax(-0.5 * squares.square() / self.width**2, dim=1)


def feedback_inputs(
    slide: SlideInputs, noise: float, atlas: Atlas, mask: torch.Tensor, feedback: Feedback
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the measured spots of one episode say of all spots.

    The embeddings are taken for a Gaussian process, one for each dimension, whose mean is that of
    the measured spots: with the prior U U' and the rows S measured, A = I + U_S' U_S / s, the
    posterior mean is m = y + U A^-1 U_S' (Y - y) / s and its variance that of U A^-1 U'
    (Rasmussen & Williams 2006, section 2.1).

    Parameters
    ----------
    slide
        With ``belief``, U.
    noise
        s, in units of the prior variance.
    atlas
        Whose states are looked for.
    mask
        The selection mask, (N,).
    feedback
        Of the episode, (k,) and (k, E).

    Returns
    -------
    inputs
        (N, 7): leading components of the posterior mean; its distance from the mean of the
        measured spots; how far it differs from that of its neighbours; posterior variance. All
        but the last are 0 before anything is measured.
    novelty
        (N,): how many more cell states the spot is expected to show at its posterior mean, as the
        reward's term ``states`` counts them; pending spots count with theirs.
    """
    factor = slide.belief
    is_back = feedback.measured.any(-1)
    spots, order = feedback.picks[is_back].sort()
    shown = feedback.measured[is_back][order]
    rows = factor[spots]
    precision = torch.eye(factor.shape[1]) + rows.T @ rows / noise
    root = torch.linalg.cholesky(precision)
    variance = torch.linalg.solve_triangular(root, factor.T, upper=False).square().sum(0)
    if len(spots) == 0:
        nothing = torch.zeros(len(factor), N_COMPONENTS + 2)
        return torch.cat([nothing, variance.unsqueeze(1)], 1), torch.ones(len(factor))
    level = shown.mean(0)
    departure = factor @ torch.cholesky_solve(rows.T @ (shown - level) / noise, root)  # (N, E)
    mean = level + departure
    components = (mean - atlas.states.mean(0)) @ atlas.axes
    contrast = (departure[slide.neighbours] - departure.unsqueeze(1)).square().sum(-1).mean(1)
    is_pending = mask > 0
    is_pending[spots] = False
    shares = atlas.shares(mean)
    unseen = (1 - atlas.shares(shown)).prod(0) * (1 - shares[is_pending]).prod(0)
    distance, contrast = (departure.norm(dim=1) / atlas.scale, contrast.sqrt() / atlas.scale)
    inputs = torch.cat([components, torch.stack([distance, contrast, variance], 1)], 1)
    return inputs, shares @ unseen
