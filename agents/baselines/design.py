"""Optimal design: buy where a Gaussian process learns most, before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.base import MaskAgent
from agents.baselines.growing import GrowingMatrix
from agents.baselines.low_rank import LowRankDesignGain, design_prior
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel
from scr2st_env.inducing_points import DENSE_UP_TO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]

TIE = 1e-6
ROUGH = Kernel(length=5.0, noise=0.3, shape="rough")


class DesignGain:
    """What measuring each spot would take from the mean posterior variance, spot by spot.

    With the posterior covariance C = K - V' V, spot i adds the row v = C_i / sqrt(C_ii + s) to V,
    and |C_j|^2 falls by 2 v_j (C v)_j - v_j^2 |v|^2: one product with K, and C is never formed.

    Parameters
    ----------
    covariance
        Prior covariance K, (N, N); kept, not copied or changed.
    noise
        Noise variance s of a measured spot.
    """

    def __init__(self, covariance: Matrix, noise: float) -> None:
        self.covariance = covariance
        self.noise = noise
        self.variance = covariance.diagonal().copy()  # C_jj
        self.squares = np.einsum("ij,ij->i", covariance, covariance)  # |C_j|^2
        self._factor = GrowingMatrix(len(covariance))

    def observe(self, index: int) -> None:
        """Condition on one spot."""
        known = self._factor.rows
        row = self.covariance[index] - known[:, index] @ known
        row /= np.sqrt(row[index] + self.noise)
        spread = self.covariance @ row - (known @ row) @ known
        self.squares -= row * (2 * spread - row * (row @ row))
        self.variance -= row**2
        self._factor.append(row)

    @property
    def gain(self) -> Matrix:
        """Fall of the mean posterior variance if a spot were measured, (N,)."""
        falls: Matrix = self.squares / (self.variance + self.noise) / len(self.squares)
        return falls


class DesignAgent(MaskAgent):
    """Buys the available spot that lowers the mean posterior variance of all spots most.

    Greedy A-optimal design: argmax over i of (1/N) sum_j C_ij^2 / (C_ii + s), with C the
    posterior covariance after what is bought, initial and pending spots included. The mean runs
    over every spot of the slide, also over those that cannot be bought. A pick costs O(N^2).
    Gains equal within one part in a million are drawn from at random.

    On slides of more than ``dense_up_to`` spots the prior is one of low rank m
    (:func:`~scr2st_env.inducing_points.inducing_factor`): a pick then costs O(N m), and memory is
    4 N m bytes. ``docs/agents.md`` says what is lost by it.

    Parameters
    ----------
    kernel
        Prior covariance of the expression of two spots; give it a ``feature_weight`` to let the
        image decide too.
    rank
        m, on large slides; at least twice the budget, or an :class:`InputError` is raised.
    dense_up_to
        Number of spots up to which the covariance of all spots is kept, 8 N^2 bytes.

    References
    ----------
    Krause, Singh & Guestrin, Near-optimal sensor placements in Gaussian processes, 2008.
    """

    name = "design"

    def __init__(
        self, kernel: Kernel | None = None, *, rank: int = 1024, dense_up_to: int = DENSE_UP_TO
    ) -> None:
        if rank < 1:
            raise InputError(f"rank must be at least 1, got {rank}")
        self.kernel = Kernel() if kernel is None else kernel
        self.rank = rank
        self.dense_up_to = dense_up_to

    def prepare(self, slide: PublicSlide) -> None:
        """Set the posterior back to the prior."""
        noise = self.kernel.noise
        self.posterior: DesignGain | LowRankDesignGain
        if slide.n_spots <= self.dense_up_to:
            self.posterior = DesignGain(self.kernel.for_slide(slide), noise)
        else:
            factor = design_prior(self.kernel, slide, self.rank, self.budget)
            self.posterior = LowRankDesignGain(factor, noise)
        self.observed = np.zeros(slide.n_spots, bool)

    def choose(self, slide: PublicSlide, bought: BoolArray, available: BoolArray) -> int:
        """Return the available spot with the largest design gain."""
        del slide
        for spot in np.flatnonzero(bought & ~self.observed):
            self.posterior.observe(int(spot))
        self.observed = bought.copy()
        candidates = np.flatnonzero(available)
        gain = self.posterior.gain[candidates]
        return int(self.rng.choice(candidates[gain >= gain.max() * (1 - TIE)]))


class RoughDesignAgent(DesignAgent):
    """A-optimal design for surfaces with detail at every scale, which spots show well.

    The kernel is near those of the leading expression programs of HER2ST: exponential, 5 pitches,
    noise .3. A kernel fitted gene by gene, long and noisy, buys in clumps and is worse.

    Parameters
    ----------
    kernel, rank, dense_up_to
        See :class:`DesignAgent`.
    """

    name = "design:rough"

    def __init__(
        self, kernel: Kernel = ROUGH, *, rank: int = 1024, dense_up_to: int = DENSE_UP_TO
    ) -> None:
        super().__init__(kernel, rank=rank, dense_up_to=dense_up_to)
