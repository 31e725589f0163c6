"""Oracles: upper bounds that know what sequencing would reveal. They are no agents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from agents.base import SlideAgent
from scr2st_env.arrays import BoolArray, IntArray, frozen
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, Posterior
from scr2st_env.rewards.base import Setting
from scr2st_env.rewards.paying import BatchedReward
from scr2st_env.rewards.weights import RewardWeights, make_reward
from scr2st_env.slide import HiddenPart, Slide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scr2st_env.reference import CellReference

AT_ONCE = 64  # candidates, whose copies of the reward's state fit into memory


class Oracle(SlideAgent, ABC):
    """Decides with the hidden part of the spots that can be bought, never of the others.

    An oracle bounds what agents can reach and is no agent: it is labelled as an oracle wherever
    it appears, and no ranking of agents has it.
    """

    is_oracle = True
    revealed: Slide | None = None

    def reveal(self, slide: Slide, purchasable: BoolArray) -> None:
        """Get to know what the purchasable spots would show; called after ``begin_episode``.

        Parameters
        ----------
        slide
            Hidden rows of spots that are neither purchasable nor bought from the start are zero.
        purchasable
            (N,).
        """
        self.revealed = slide
        self.purchasable = purchasable
        self.study(slide, purchasable)

    @abstractmethod
    def study(self, slide: Slide, purchasable: BoolArray) -> None:
        """Set up what is needed for the episode."""

    @abstractmethod
    def gains(self, bought: BoolArray, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each candidate would add to what is bought, (n,)."""

    def predict(
        self,
        observation: Mapping[str, Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[int, Any]:
        """Return the spot that adds most, and ``state`` as it came.

        Raises
        ------
        InputError
            Before :meth:`reveal`.
        """
        del episode_start, deterministic
        bought, available = self.spots(observation)
        if self.revealed is None or self.revealed.public is not self.current_slide:
            raise InputError(
                f"oracle {self.name!r} was shown nothing of this slide; use agents.run_episode"
            )
        candidates = np.flatnonzero(available)
        return int(candidates[self.gains(bought, candidates).argmax()]), state


class PredictionOracle(Oracle):
    """Buys the spot with the largest true fall of the prediction error over purchasable spots.

    The error is the squared one of a Gaussian process that predicts log1p(CP10k) around the mean
    of the measured spots, summed over the purchasable spots and over the genes, each scaled to
    unit variance over the purchasable spots. A pick costs O(N^2), whatever the number of genes.

    Parameters
    ----------
    kernel
        Of the Gaussian process that predicts.
    genes
        Names of the genes; default: the ``n_genes`` with most counts in the purchasable spots.
    n_genes
        How many genes, where they are not named.

    Notes
    -----
    The prediction is m + h u', with m the posterior mean around zero, h = 1 - (what the process
    makes of the constant 1), and u the mean of the n measured spots. Let R = Y - m and
    w_j = C_ji / (C_ii + s). Buying spot i leaves at spot j the error

    |r_j - w_j r_i - (h_j - w_j h_i) u_i|^2,  u_i = (n u + y_i) / (n + 1),

    whose inner products are all found in R R', R Y' and Y Y', which buying changes by outer
    products of vectors.
    """

    name = "oracle"

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        genes: Sequence[str] | None = None,
        n_genes: int = 300,
    ) -> None:
        self.kernel = Kernel() if kernel is None else kernel
        self.genes = genes
        self.n_genes = n_genes

    def study(self, slide: Slide, purchasable: BoolArray) -> None:
        """Compute all inner products of the spots' expression."""
        expression = slide.expression(self._genes(slide, purchasable)).astype(np.float64)
        spread = expression[purchasable].std(axis=0)
        centred = self.believed(expression, slide, purchasable)
        centred -= centred[purchasable].mean(axis=0)
        scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
        self.truth = scaled @ scaled.T  # Y Y', (N, N)
        self.residual_truth = self.truth.copy()  # R Y'
        self.residual = self.truth.copy()  # R R'
        self.mean_share = np.ones(slide.n_spots)  # h
        self.posterior = Posterior(self.kernel.for_slide(slide.public), self.kernel.noise)
        self.measured: list[int] = []

    def believed(
        self, expression: NDArray[np.float64], slide: Slide, purchasable: BoolArray
    ) -> NDArray[np.float64]:
        """Return what is taken for the truth, (N, G): what sequencing would show."""
        del slide, purchasable
        return expression.copy()

    def gains(self, bought: BoolArray, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return minus the squared error that is left, up to a constant, (n,)."""
        for spot in sorted(set(np.flatnonzero(bought).tolist()) - set(self.measured)):
            self._observe(spot)
        scored, n_after = self.purchasable, len(self.measured) + 1
        total = self.posterior.variance[candidates] + self.kernel.noise
        weight = self.posterior.covariance[scored][:, candidates] / total  # w, (P, n)
        own = self.residual[candidates, candidates]
        cross = self.residual[scored][:, candidates]
        share = self.mean_share[scored][:, None] - weight * self.mean_share[candidates]
        known = self.residual_truth[:, self.measured].sum(axis=1)  # n R u
        mean_cross = (known[scored][:, None] + self.residual_truth[scored][:, candidates]) / n_after
        mean_own = (known[candidates] + self.residual_truth[candidates, candidates]) / n_after
        to_measured = self.truth[candidates][:, self.measured].sum(axis=1)
        among_measured = self.truth[np.ix_(self.measured, self.measured)].sum()
        mean_square = among_measured + 2 * to_measured + self.truth[candidates, candidates]
        error = weight * (weight * own - 2 * cross)
        error -= 2 * share * (mean_cross - weight * mean_own)
        error += share**2 * mean_square / n_after**2
        return -error.sum(axis=0)

    def _observe(self, spot: int) -> None:
        column = self.posterior.covariance[:, spot]
        weight = column / (column[spot] + self.kernel.noise)
        row = self.residual[spot].copy()
        self.residual -= np.outer(weight, row)
        self.residual -= np.outer(row - row[spot] * weight, weight)
        self.residual_truth -= np.outer(weight, self.residual_truth[spot])
        self.mean_share -= weight * self.mean_share[spot]
        self.posterior.observe(spot)
        self.measured.append(spot)

    def _genes(self, slide: Slide, purchasable: BoolArray) -> Sequence[str]:
        if self.genes is not None or slide.hidden is None:
            return self.genes or ()
        totals = np.asarray(slide.hidden.counts[purchasable].sum(axis=0)).ravel()
        most = np.sort(np.argsort(-totals, kind="stable")[: self.n_genes])
        return slide.hidden.genes[most].tolist()


class RewardOracle(Oracle):
    """Buys the spot with the largest true increase of the reward.

    What every candidate would be paid, as a round of its own, is computed at every pick.

    Parameters
    ----------
    reference
        The atlas, where a term needs one.
    reward, terms
        As the environment takes them.
    """

    name = "reward-oracle"

    def __init__(
        self,
        reference: CellReference | None = None,
        reward: RewardWeights | Mapping[str, float] | Literal["released"] | None = None,
        terms: Sequence[Any] = (),
    ) -> None:
        self.reference = reference
        self.reward = make_reward(reward, terms)

    def study(self, slide: Slide, purchasable: BoolArray) -> None:
        """Forget the last slide; the reward is bound when the initial spots are seen."""
        self.seen = self.believed(slide, purchasable)
        self.bound: BatchedReward | None = None

    def believed(self, slide: Slide, purchasable: BoolArray) -> Slide:
        """Return what is taken for the truth: what sequencing would show."""
        del purchasable
        return slide

    def gains(self, bought: BoolArray, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what buying each candidate, as a round of its own, pays, (n,)."""
        selection = frozen(np.flatnonzero(bought).astype(np.int32))
        if self.bound is None:
            self.bound = self._bind(selection)
        paid = np.empty(len(candidates))
        for start in range(0, len(candidates), AT_ONCE):
            spots = candidates[start : start + AT_ONCE].astype(np.intp)
            rows = np.arange(len(spots))
            self.bound.reset(rows, selection)  # a potential may not be copied within an episode
            parts = self.bound.settle(rows, [(rows, spots)])
            paid[start : start + len(spots)] = sum(parts.values())
        return paid

    def _bind(self, initial: IntArray) -> BatchedReward:
        setting = Setting(self.seen, self.reference, self.budget, self.purchasable, initial)
        self.reward.check(setting)
        return self.reward.bind_batched(setting, AT_ONCE)


def shown_to_oracles(slide: Slide, known: BoolArray) -> Slide:
    """Return a slide whose hidden rows are zero wherever ``known`` is False.

    Parameters
    ----------
    slide
        A retrospective slide.
    known
        Spots that can be bought or were from the start, (N,).

    Raises
    ------
    InputError
        If the slide is live.
    """
    hidden = slide.hidden
    if hidden is None:
        raise InputError(f"slide {slide.name!r} is live: there is nothing to show to an oracle")
    kept = known[:, None].astype(np.float32)
    counts = csr_matrix(diags_array(known.astype(np.float64)) @ hidden.counts)
    counts.eliminate_zeros()
    shown = HiddenPart(
        counts=counts.astype(hidden.counts.dtype),
        genes=hidden.genes,
        embedding=None if hidden.embedding is None else frozen(hidden.embedding * kept),
        types=None if hidden.types is None else frozen(hidden.types * kept),
        type_names=hidden.type_names,
    )
    return replace(slide, hidden=shown)
