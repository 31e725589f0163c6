"""What SCR2Net minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(
    images: Tensor, expressions: Tensor, temperature: Tensor | float, matches: Tensor | None = None
) -> Tensor:
    """Return the symmetric contrastive loss of unit vectors.

    -1/2 mean_i sum_j m_ij [ log softmax_j(u_i v_j / t) + log softmax_j(v_i u_j / t) ]

    Parameters
    ----------
    images, expressions
        Unit vectors u and v of the same spots, (n, d).
    temperature
        t.
    matches
        m, how far spot j is a match of spot i, rows summing to 1, (n, n); default: every spot
        matches itself alone.

    Returns
    -------
    Tensor
        Scalar; log n when nothing is aligned.

    References
    ----------
    Radford et al., Learning transferable visual models (ICML 2021), figure 3.
    """
    logits = images @ expressions.T / temperature
    if matches is None:
        matches = torch.eye(len(logits), device=logits.device, dtype=logits.dtype)
    rows = functional.cross_entropy(logits, matches)
    columns = functional.cross_entropy(logits.T, matches)
    return (rows + columns) / 2


def matching(targets: Tensor, temperature: float) -> Tensor:
    """Return how far spots match: softmax over spots of the cosine of their profiles, (n, n).

    Neighbouring spots are near copies of each other; to push their images apart, as matching each
    spot with itself alone does, ruins the retrieval (HER2ST, 10 % of a slide: .13 against .17).

    Parameters
    ----------
    targets
        Standardised expression, (n, G).
    temperature
        Small: only like profiles match.
    """
    unit = functional.normalize(targets, dim=1)
    return torch.softmax(unit @ unit.T / temperature, dim=1)


def pearson_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return 1 - r over the spots of the batch, mean over genes; (n, G) each, n >= 2."""
    predicted = predicted - predicted.mean(dim=0)
    target = target - target.mean(dim=0)
    scale = (predicted.square().sum(dim=0) * target.square().sum(dim=0) + 1e-6).sqrt()
    return 1 - ((predicted * target).sum(dim=0) / scale).mean()


def soft_label_loss(predicted: Tensor, soft_labels: Tensor, confidence: Tensor) -> Tensor:
    """Return the squared distance to retrieved profiles, each spot weighted by its confidence.

    The weight multiplies the error of its own spot, before the mean over spots is taken.

    Parameters
    ----------
    predicted, soft_labels
        (n, G), both standardised.
    confidence
        (n,) in [0, 1].

    Returns
    -------
    Tensor
        Scalar.
    """
    per_spot = (predicted - soft_labels).square().mean(dim=1)
    return (confidence * per_spot).mean()
