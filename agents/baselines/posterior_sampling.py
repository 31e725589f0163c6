"""Posterior sampling: act as if one draw from what is believed were the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from agents.baselines.discovery import newness
from agents.baselines.feedback import FeedbackAgent, Returned
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, low_rank
from scr2st_env.inducing_points import DENSE_UP_TO, inducing_factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]


class PosteriorSamplingAgent(FeedbackAgent):
    """Buys the spot that is newest under one draw of the embeddings of all spots.

    Before every pick a field of embeddings is drawn from the posterior of a Gaussian process
    given the measured spots, one process for each dimension with the mean and the variance of
    the measured spots; bought spots whose round is not back count with their drawn embedding.
    The available spot with the newest drawn embedding (:func:`newness`) is bought.

    Parameters
    ----------
    reference
        The atlas in whose space the embeddings are: newness is then that of its cell states;
        without it, the distance to the nearest known embedding.
    kernel
        Prior covariance of the embeddings of two spots; default: coordinates and features at
        equal weights (coordinates alone where there are no features).
    rank
        Of the approximation of the prior: the best there is on slides of up to ``dense_up_to``
        spots, one from inducing spots on larger ones.
    dense_up_to
        Number of spots up to which the covariance of all spots is decomposed.

    References
    ----------
    Thompson, On the likelihood that one unknown probability exceeds another in view of the
    evidence of two samples, 1933; Russo et al., A tutorial on Thompson sampling, 2018.
    """

    name = "posterior-sampling"

    def __init__(
        self,
        reference: CellReference | None = None,
        kernel: Kernel | None = None,
        rank: int = 128,
        dense_up_to: int = DENSE_UP_TO,
    ) -> None:
        if rank < 1:
            raise InputError(f"rank must be at least 1, got {rank}")
        self.reference = reference
        self.kernel = Kernel(feature_weight=0.5) if kernel is None else kernel
        self.rank = rank
        self.dense_up_to = dense_up_to

    def prepare(self, slide: PublicSlide) -> None:
        """Factor the prior."""
        self.factor = (  # (N, r)
            low_rank(self.kernel.for_slide(slide), self.rank)
            if slide.n_spots <= self.dense_up_to
            else np.asarray(inducing_factor(self.kernel, slide, self.rank, np.float64), np.float64)
        )

    def choose(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, known: Returned
    ) -> int:
        """Return the available spot that is newest in a draw from the posterior."""
        del slide
        drawn = draw_field(self.factor, known, self.kernel.noise, self.rng)
        pending = np.setdiff1d(np.flatnonzero(bought), known.spots)
        seen = np.concatenate([known.embedding, drawn[pending]])
        candidates = np.flatnonzero(available)
        return int(candidates[newness(drawn[candidates], seen, self.reference).argmax()])


def draw_field(factor: Matrix, known: Returned, noise: float, rng: np.random.Generator) -> Matrix:
    """Draw the embeddings of all spots from their posterior, (N, E).

    With the prior K = U U' the field is U w; given the rows S of measured spots, w has the
    precision A = I + U_S' U_S / s and the mean A^-1 U_S' y / s (Rasmussen & Williams 2006,
    section 2.1), and m + L'^-1 z with L L' = A and z standard normal is a draw of it.

    Parameters
    ----------
    factor
        U, (N, r).
    known
        The measured spots.
    noise
        s, in units of the prior variance, which is that of the measured spots.
    rng
        Of z.
    """
    mean, scale = known.embedding.mean(axis=0), known.embedding.std(axis=0)
    observed = np.divide(
        known.embedding - mean, scale, out=np.zeros_like(known.embedding), where=scale > 0
    )
    rows = factor[known.spots]
    precision = np.eye(factor.shape[1]) + rows.T @ rows / noise
    root = np.linalg.cholesky(precision)
    pull = solve_triangular(root, rows.T @ observed / noise, lower=True)
    pull += rng.standard_normal(pull.shape)
    weights: Matrix = solve_triangular(root, pull, lower=True, trans="T")
    field: Matrix = mean + scale * (factor @ weights)
    return field
