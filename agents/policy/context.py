"""What the spot policy knows of a slide in the middle of an episode."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch.nn import functional

from agents.policy.feedback import (
    LEAST_NOVELTY,
    N_FEEDBACK,
    Atlas,
    Feedback,
    feedback_inputs,
)
from agents.policy.inputs import ROUGH_NOISE, FeatureProjection, InputSettings, SlideInputs
from agents.policy.purchases import Purchases, nearest_purchase

N_PROGRESS = 2
PRIORS = ("design", "spread", "cover", "distance", "plan")
COVERED = 1e-4  # share of the tissue below which a spot shows nothing new
TOTAL = partial(torch.sum, dim=0)
FAR = 100.0  # distance to the nearest purchase, at most; what it is before the first


class SpotBatch(NamedTuple):
    """Everything the network looks at, for B observations of at most N spots on S slides.

    What does not change on a slide is there once, whatever the number of observations. Padding is
    where ``real`` is False.
    """

    static: torch.Tensor  # (S, N, F)
    which: torch.Tensor  # (B,), int64, the slide of each observation among the S
    dynamic: torch.Tensor  # (B, N, G); G is 0 for a policy on static inputs alone
    prior: torch.Tensor  # (B, N, 5), standardised, in the order of PRIORS
    real: torch.Tensor  # (S, N), bool
    bought: torch.Tensor  # (B, N), bool
    progress: torch.Tensor  # (B, 2), share of the budget left and of the round filled

    @property
    def is_static(self) -> bool:
        """Whether nothing that a spot is described by changes."""
        return self.dynamic.shape[-1] == 0


def design_gain(
    factor: torch.Tensor, bought: Purchases, noise: float
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
    bought
        By B observations.
    noise
        Noise variance s.

    Returns
    -------
    gain, variance
        Each (B, N).
    """
    n_spots, rank = factor.shape

    def information(rows: torch.Tensor) -> torch.Tensor:
        return rows.T @ rows / noise

    unit = torch.eye(rank, dtype=factor.dtype)
    precision = bought.accumulate(unit, factor.__getitem__, torch.add, information)  # (B, r, r)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(precision))
    lengths = factor.square().sum(0)
    gain, variance = factor.new_empty(2, bought.n_observations, n_spots)
    spread = factor.new_empty(n_spots, rank)  # written over: it stays in the processor's cache
    for row, covariance in enumerate(inverse):
        torch.mm(factor, covariance, out=spread)
        torch.linalg.vecdot(spread, factor, out=variance[row])
        torch.mv(spread.square_(), lengths, out=gain[row])
    return gain / (variance + noise) / n_spots, variance


def posterior_variance(covariance: torch.Tensor, bought: Purchases, noise: float) -> torch.Tensor:
    """Return the exact posterior variance of all spots after each selection.

    K_ii - |L^-1 K_Si|^2 with L L' = K_SS + s I (Rasmussen & Williams 2006, eq. 2.26); O(k^2 N) for
    an episode, as the first rows of L^-1 K_S are those of its earlier observations.

    Parameters
    ----------
    covariance
        Prior covariance K, (N, N).
    bought
        At most k spots, by B observations.
    noise
        Noise variance s.

    Returns
    -------
    torch.Tensor
        (B, N).
    """

    def explained(spots: torch.Tensor) -> torch.Tensor:
        across = covariance[spots]  # (k, N)
        unit = torch.eye(len(spots), dtype=across.dtype)
        root = torch.linalg.cholesky(across[:, spots] + noise * unit)
        # Inverting the small matrix and multiplying is twice as fast as solving for all spots.
        inverse = torch.linalg.solve_triangular(root, unit, upper=False)
        return (inverse @ across).square_()

    return bought.accumulate(covariance.diagonal(), explained, torch.sub, TOTAL)


def standardise(values: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
    """Return values with mean 0 and variance 1 in each row over the entries in ``over``."""
    weight = over.float()
    count = weight.sum(-1, keepdim=True).clamp(min=1)
    centred = values - (values * weight).sum(-1, keepdim=True) / count
    variance = (centred.square() * weight).sum(-1, keepdim=True) / count
    return centred / variance.sqrt().clamp(min=1e-4)


def spot_context(
    slide: SlideInputs,
    settings: InputSettings,
    mask: torch.Tensor,
    available: torch.Tensor,
    weights: torch.Tensor,
    known: tuple[Atlas, Feedback] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what changes of every spot and what the prior of the policy makes of it.

    Parameters
    ----------
    slide
        Static inputs of the slide of all observations.
    settings
        Which inputs there are, and the noise of the design kernel.
    mask, available
        (B, N), 0 or 1.
    weights
        Of the priors, (5,); those of weight 0 are left at 0 where no input needs them.
    known
        The atlas and what came back, where ``settings.feedback``.

    Returns
    -------
    dynamic
        (B, N, G). Where ``settings.seen``: at each length scale, the logarithms of what is unseen
        of the spot and of how much unseen it would show. Where ``settings.posterior``: design,
        posterior variance, spread. Where ``settings.distances``: logarithms of the distances to
        the nearest purchase. Where any of them or ``known``: mask, available. Where ``known``:
        :func:`agents.policy.feedback.feedback_inputs`, its novelty as the designs are.
    prior
        (B, N, 5), standardised over what is available: the logarithms of *design*, the fall of
        the mean posterior variance; *spread*, the spot's own posterior variance under the rough
        kernel, which rises far from purchases; *cover*, the tissue within reach of the spot and
        of no purchase; *distance*, to the nearest purchase. *Plan* is left at 0: the bank, which
        keeps the plans, fills it in.
    """
    wanted = dict(zip(PRIORS, (weights != 0).tolist(), strict=True))
    guess = dict.fromkeys(PRIORS, torch.zeros_like(mask))
    groups: list[torch.Tensor] = []
    bought = Purchases.of(mask)
    if settings.posterior or wanted["design"]:
        gain, variance = design_gain(slide.factor, bought, settings.kernel.noise)
        guess["design"] = standardise(gain.clamp(min=1e-12).log(), available > 0)
    if settings.posterior or wanted["spread"]:
        rough = posterior_variance(slide.rough, bought, ROUGH_NOISE)
        guess["spread"] = standardise(rough.clamp(min=1e-6).log(), available > 0)
    if settings.seen or wanted["cover"]:
        log_unseen = _log_unseen(slide, bought)
    if wanted["cover"]:
        covered = (log_unseen[0].exp() * slide.tissue) @ slide.similarity[0]
        guess["cover"] = standardise((covered / slide.tissue.sum() + COVERED).log(), available > 0)
    if settings.distances or wanted["distance"]:
        nearest = nearest_purchase(slide.away, bought)
        guess["distance"] = standardise(nearest.clamp(min=0.1, max=1e3).log(), available > 0)
    if settings.seen:
        typical = slide.typical[:, None, None]
        novelty = log_unseen.exp() @ slide.similarity  # (L, B, N)
        groups += [*log_unseen.clamp(min=-3), *torch.log(novelty / typical + 0.02)]
    if settings.posterior:
        groups += [guess["design"], variance, guess["spread"]]
    if settings.distances:
        groups.append(nearest.clamp(min=0.1, max=FAR).log())
        groups += [
            nearest_purchase(unlike, bought).clamp(min=0.1, max=FAR).log()
            for unlike in slide.unlike
        ]
    groups += [mask, available] if groups or known else []
    if known:
        groups += _shown(slide, settings.belief.noise, mask, available, *known)
    dynamic = torch.stack(groups, dim=-1) if groups else mask.new_empty(*mask.shape, 0)
    return dynamic, torch.stack([guess[name] for name in PRIORS], dim=-1)


def _shown(
    slide: SlideInputs,
    noise: float,
    mask: torch.Tensor,
    available: torch.Tensor,
    atlas: Atlas,
    feedback: Feedback,
) -> list[torch.Tensor]:
    """Return what feedback says, 8 tensors (B, N)."""
    found = [
        feedback_inputs(slide, noise, atlas, mask[row], Feedback(*episode))
        for row, episode in enumerate(zip(*feedback, strict=True))
    ]
    novelty = torch.stack([gain for _, gain in found]).clamp(min=LEAST_NOVELTY).log()
    inputs = torch.stack([inputs for inputs, _ in found])
    return [*inputs.unbind(-1), standardise(novelty, available > 0)]


def _log_unseen(slide: SlideInputs, bought: Purchases) -> torch.Tensor:
    """Return the logarithm of what remains unseen of each spot, (L, B, N)."""

    def total(spots: torch.Tensor) -> torch.Tensor:
        return functional.embedding_bag(spots.unsqueeze(0), slide.unseen, mode="sum")[0]

    # Summed as they are gathered: as a copy, the rows of many purchases would be half of all.
    everything = torch.zeros_like(slide.unseen[0])
    summed = bought.accumulate(everything, torch.as_tensor, torch.add, total)
    return summed.view(bought.n_observations, -1, slide.n_spots).transpose(0, 1)


def n_spot_inputs(settings: InputSettings, projection: FeatureProjection) -> int:
    """Return how many inputs a spot has: features, its surroundings, tissue, and what changes."""
    n_components = projection.n_components
    has_image = n_components > 0
    n_scales = 1 + len(settings.space_lengths) + has_image * len(settings.feature_lengths)
    n_groups = 2 * n_scales * settings.seen + 3 * settings.posterior
    n_groups += (1 + has_image) * settings.distances + N_FEEDBACK * settings.feedback
    return n_components + n_scales + 1 + n_groups + (2 if n_groups else 0)
