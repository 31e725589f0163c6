"""What the spot policy knows of a slide in the middle of an episode."""

from __future__ import annotations

from typing import NamedTuple

import torch

from agents.policy.inputs import ROUGH_NOISE, FeatureProjection, InputSettings, SlideInputs

N_DYNAMIC = 5
N_PROGRESS = 2
PRIORS = ("design", "spread", "cover", "distance")
COVERED = 1e-4  # share of the tissue below which a spot shows nothing new


class SpotBatch(NamedTuple):
    """Everything the network looks at, for B observations of at most N spots.

    Padding is where ``real`` is False.
    """

    inputs: torch.Tensor  # (B, N, F)
    prior: torch.Tensor  # (B, N, 4), standardised: design, spread, cover, distance
    real: torch.Tensor  # (B, N), bool
    bought: torch.Tensor  # (B, N), bool
    progress: torch.Tensor  # (B, 2), share of the budget left and of the round filled


def design_gain(
    factor: torch.Tensor, mask: torch.Tensor, noise: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the A-optimal design gain and the posterior variance after each selection.

    With the prior K = U U' and the rows S bought, A = I + U_S' U_S / s and C = U A^-1 U'
    (Rasmussen & Williams 2006, section 2.1.2: a Gaussian process seen in weight space), so that
    the gain |C_i|^2 / (C_ii + s) / N of all spots costs O(N r^2).

    Parameters
    ----------
    factor
        U, (N, r), with orthogonal columns as :func:`scr2st_env.gaussian_process.low_rank` makes
        them.
    mask
        Selection masks, (B, N), 0 or 1.
    noise
        Noise variance s.

    Returns
    -------
    gain, variance
        Each (B, N).
    """
    rank = factor.shape[1]
    weighted = factor * mask.unsqueeze(-1)  # (B, N, r)
    precision = torch.eye(rank) + factor.T @ weighted / noise  # (B, r, r)
    spread = factor @ torch.cholesky_inverse(torch.linalg.cholesky(precision))  # (B, N, r)
    variance = (spread * factor).sum(-1)
    squares = spread.square() @ factor.square().sum(0)
    return squares / (variance + noise) / len(factor), variance


def posterior_variance(covariance: torch.Tensor, mask: torch.Tensor, noise: float) -> torch.Tensor:
    """Return the exact posterior variance of all spots after each selection.

    K_ii - |L^-1 K_Si|^2 with L L' = K_SS + s I (Rasmussen & Williams 2006, eq. 2.26); O(k^2 N).

    Parameters
    ----------
    covariance
        Prior covariance K, (N, N).
    mask
        Selection masks of at most k spots, (B, N), 0 or 1.
    noise
        Noise variance s.

    Returns
    -------
    torch.Tensor
        (B, N).
    """
    most = int(mask.sum(1).max())
    prior = covariance.diagonal().expand(len(mask), -1)
    if most == 0:
        return prior
    is_bought, spots = mask.topk(most, dim=1)  # (B, k), rows with fewer spots are filled up
    across = covariance[spots] * is_bought.unsqueeze(-1)  # (B, k, N)
    within = across.gather(2, spots.unsqueeze(1).expand(-1, most, -1)) * is_bought.unsqueeze(1)
    diagonal = noise + 1 - is_bought  # keeps the rows that fill up regular
    factor = torch.linalg.cholesky(within + torch.diag_embed(diagonal))
    explained = torch.linalg.solve_triangular(factor, across, upper=False)
    return prior - explained.square().sum(1)


def standardise(values: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
    """Return values with mean 0 and variance 1 in each row over the entries in ``over``."""
    weight = over.float()
    count = weight.sum(-1, keepdim=True).clamp(min=1)
    centred = values - (values * weight).sum(-1, keepdim=True) / count
    variance = (centred.square() * weight).sum(-1, keepdim=True) / count
    return centred / variance.sqrt().clamp(min=1e-4)


def spot_context(
    slide: SlideInputs, noise: float, mask: torch.Tensor, available: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inputs of every spot and what the prior of the policy makes of it.

    Parameters
    ----------
    slide
        Static inputs of the slide of all observations.
    noise
        Of the design kernel.
    mask, available
        (B, N), 0 or 1.

    Returns
    -------
    inputs
        (B, N, F + 2 L + 5): static inputs; at each length scale, the logarithms of what is unseen
        of the spot and of how much unseen it would show; design, posterior variance, spread,
        mask, available.
    prior
        (B, N, 4), the logarithms, standardised over what is available, of *design*, the fall of
        the mean posterior variance; *spread*, the spot's own posterior variance under the rough
        kernel, which rises far from purchases; *cover*, the tissue within reach of the spot and
        of no purchase; *distance*, to the nearest purchase.
    """
    batch, n_spots = mask.shape
    gain, variance = design_gain(slide.factor, mask, noise)
    design = standardise(gain.clamp(min=1e-12).log(), available > 0)
    rough = posterior_variance(slide.rough, mask, ROUGH_NOISE)
    spread = standardise(rough.clamp(min=1e-6).log(), available > 0)
    log_unseen = (mask @ slide.unseen).view(batch, -1, n_spots).transpose(0, 1)  # (L, B, N)
    novelty = log_unseen.exp() @ slide.similarity  # (L, B, N)
    covered = (log_unseen[0].exp() * slide.tissue) @ slide.similarity[0]
    cover = standardise((covered / slide.tissue.sum() + COVERED).log(), available > 0)
    nearest = torch.where(mask.unsqueeze(1) > 0, slide.away, torch.inf).amin(-1)
    distance = standardise(nearest.clamp(min=0.1, max=1e3).log(), available > 0)
    typical = slide.similarity.sum(-1).mean(-1)[:, None, None]
    novelty = torch.log(novelty / typical + 0.02).permute(1, 2, 0)
    own = log_unseen.clamp(min=-3).permute(1, 2, 0)
    dynamic = torch.stack([design, variance, spread, mask, available], dim=-1)
    static = slide.static.expand(batch, -1, -1)
    inputs = torch.cat([static, own, novelty, dynamic], dim=-1)
    return inputs, torch.stack([design, spread, cover, distance], dim=-1)


def n_spot_inputs(settings: InputSettings, projection: FeatureProjection) -> int:
    """Return how many inputs a spot has: features, its surroundings, tissue, and what changes."""
    n_components = projection.n_components
    n_scales = (
        1 + len(settings.space_lengths) + (len(settings.feature_lengths) if n_components else 0)
    )
    return n_components + 3 * n_scales + 1 + N_DYNAMIC
