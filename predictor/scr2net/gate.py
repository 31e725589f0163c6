"""How much to believe each expert, and each expression program, learned on held-out spots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls

from predictor.ridge import MIN_SPOTS
from predictor.scr2net.programs import programs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

SUM_TO_ONE = 1e3
LEAST_SLOPE = 0.5
PROGRAM_STRENGTH = 0.5
HIGHEST_GAIN = 2.0
POOLED_SPOTS = 8.0


def convex_weights(
    predictions: Sequence[Matrix], truth: Matrix, prior: Sequence[float], strength: float
) -> Matrix:
    """Return weights, not negative and summing to 1, of experts that never saw the truth.

    min_w |y / c - sum_k w_k p_k|^2 + strength P |w - prior|^2

    with P the experts' mean sum of squares and c the least-squares slope of y on the prior blend
    (at least 1/2): careful experts are small, and without c the weights would go to whichever
    happens to lean most towards the truth.

    Parameters
    ----------
    predictions
        K held-out predictions of like amplitude, (n, G) each, standardised per gene.
    truth
        y, (n, G).
    prior
        K weights to shrink to, summing to 1.
    strength
        How many times the evidence of all spots the prior counts.

    Returns
    -------
    ndarray of float64, shape (K,)
    """
    stacked = np.stack([np.ravel(values) for values in predictions], axis=1)
    return weights_from_products(stacked.T @ stacked, stacked.T @ np.ravel(truth), prior, strength)


def weights_from_products(
    gram: Matrix, target: Matrix, prior: Sequence[float], strength: float
) -> Matrix:
    """Return the weights of :func:`convex_weights` from inner products alone.

    Parameters
    ----------
    gram, target
        Of the predictions with each other, (K, K), and with the truth, (K,).
    prior, strength
        See :func:`convex_weights`.

    Returns
    -------
    ndarray of float64, shape (K,)
    """
    power = max(float(np.trace(gram)) / len(target), 1e-12)
    first = np.asarray(prior, np.float64)
    blended = float(first @ gram @ first)
    slope = max(float(target @ first) / blended, LEAST_SLOPE) if blended > 0 else 1.0
    gram = gram / power + strength * np.eye(len(target))
    target = target / power / slope + strength * first
    # the normal equations as a least-squares problem, with the sum as one heavy row
    root = np.linalg.cholesky(gram)
    rows = np.vstack([root.T, np.full(len(target), SUM_TO_ONE)])
    weights, _ = nnls(rows, np.append(np.linalg.solve(root, target), SUM_TO_ONE))
    return weights / weights.sum()


@dataclass(frozen=True)
class ProgramGate:
    """Gain of each expression program: some can be predicted from an image, most cannot.

    A program that was predicted well for held-out spots is kept, one that was not is turned down;
    what lies outside all programs is left as it is.

    Parameters
    ----------
    programs
        Orthonormal columns, (G, R).
    gains
        (R,), 1 where nothing is known.
    """

    programs: Matrix
    gains: Matrix

    @classmethod
    def open(cls, n_genes: int) -> ProgramGate:
        """Return the gate that leaves predictions as they are."""
        return cls(np.zeros((n_genes, 0)), np.zeros(0))

    @classmethod
    def fit(
        cls,
        held_out: Matrix,
        truth: Matrix,
        programs: Matrix | None = None,
        strength: float = PROGRAM_STRENGTH,
        highest: float = HIGHEST_GAIN,
    ) -> ProgramGate:
        """Learn the gains from held-out predictions.

        g = (t'p + s) / (p'p + s),  s = strength |t|^2 / sqrt(n),  clipped to [0, highest]

        Parameters
        ----------
        held_out, truth
            Prediction and truth of the measured spots, standardised, (n, G).
        programs
            Orthonormal columns, (G, R); default: those of the truth.
        strength
            How strongly gains are held at 1; the pull weakens with more spots.
        highest
            The largest gain.

        Returns
        -------
        ProgramGate
        """
        programs = programs_of(truth) if programs is None else programs
        found, predicted = truth @ programs, held_out @ programs
        pull = strength * (found**2).sum(axis=0) / np.sqrt(len(truth))
        pull = np.maximum(pull, 1e-12)  # of a program that no measured spot shows
        gains = ((found * predicted).sum(axis=0) + pull) / ((predicted**2).sum(axis=0) + pull)
        return cls(programs, np.clip(gains, 0, highest))

    def __call__(self, predictions: Matrix) -> Matrix:
        """Return predictions (n, G) with every program's gain applied."""
        return predictions + (predictions @ self.programs * (self.gains - 1)) @ self.programs.T


def held_out_error(predicted: Matrix, truth: Matrix, spread: Matrix) -> Matrix:
    """Return the standard deviation of a measurement of each gene around its prediction, (G,).

    s^2 = (n + 1) / (n - 1) [ (1 - w) e^2 + w mean over genes of e^2 ],  w = 8 / (n + 8)

    with e^2 the mean squared held-out error. The factor is for the level, which n spots leave
    uncertain and of which each held-out spot is a part; without w, genes that a dozen spots
    happened not to show would seem to be known exactly (HER2ST, 10 % of a slide and nothing else:
    the standardised residuals of such a gene spread over 6 instead of 2).

    Parameters
    ----------
    predicted, truth
        Of held-out spots, standardised, (n, G).
    spread
        What one standard deviation is, (G,); it is returned where fewer than four were held out.
    """
    n_spots = len(truth)
    if n_spots < MIN_SPOTS:
        return spread
    squared = ((truth - predicted) ** 2).mean(axis=0) * spread**2
    share = POOLED_SPOTS / (n_spots + POOLED_SPOTS)
    pooled = (1 - share) * squared + share * squared.mean()
    return np.sqrt(np.maximum(pooled, 1e-12) * (n_spots + 1) / (n_spots - 1))
