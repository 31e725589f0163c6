"""Oracles that know the pattern in the tissue but not the noise of its measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agents.oracle import PredictionOracle, RewardOracle
from scr2st_env.arrays import frozen
from scr2st_env.gaussian_process import Kernel, posterior_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.public_slide import PublicSlide
    from scr2st_env.reference import CellReference
    from scr2st_env.rewards.weights import RewardWeights
    from scr2st_env.slide import Slide


class DenoisedPredictionOracle(PredictionOracle):
    """The prediction oracle, with :func:`denoised` expression taken for the truth.

    Genes are scaled by their spread before denoising, so that those without a pattern count less.
    What lies between this oracle and the other one is knowledge of the noise of single spots,
    which no agent can have.

    Parameters
    ----------
    kernel, genes, n_genes
        As of :class:`~agents.oracle.PredictionOracle`; the kernel denoises, too.
    """

    name = "oracle:denoised"

    def believed(
        self, expression: NDArray[np.float64], slide: Slide, purchasable: BoolArray
    ) -> NDArray[np.float64]:
        """Return what is taken for the truth, (N, G): the pattern in the purchasable spots."""
        return denoised(expression, slide.public, purchasable, self.kernel)


class DenoisedRewardOracle(RewardOracle):
    """The reward oracle, with :func:`denoised` embeddings and cell types taken for the truth.

    Parameters
    ----------
    reference, reward, terms
        As of :class:`~agents.oracle.RewardOracle`. Terms that read counts read the measured ones.
    kernel
        By which spots are alike.
    """

    name = "reward-oracle:denoised"

    def __init__(
        self,
        reference: CellReference | None = None,
        reward: RewardWeights | Mapping[str, float] | Literal["released"] | None = None,
        terms: Sequence[Any] = (),
        kernel: Kernel | None = None,
    ) -> None:
        super().__init__(reference, reward, terms)
        self.kernel = Kernel() if kernel is None else kernel

    def believed(self, slide: Slide, purchasable: BoolArray) -> Slide:
        """Return what is taken for the truth: the pattern in the purchasable spots."""
        if slide.hidden is None:
            return slide
        embedding, types = slide.hidden.embedding, slide.hidden.types
        if embedding is not None:
            pattern = denoised(embedding, slide.public, purchasable, self.kernel)
            embedding = frozen(pattern.astype(np.float32))
        if types is not None:
            shares = denoised(types, slide.public, purchasable, self.kernel).clip(0)
            total = shares.sum(axis=1, keepdims=True)
            shares = np.divide(shares, total, out=shares, where=total > 0)
            types = frozen(shares.astype(np.float32))
        return replace(slide, hidden=replace(slide.hidden, embedding=embedding, types=types))


def denoised(
    values: ArrayLike, slide: PublicSlide, purchasable: BoolArray, kernel: Kernel
) -> NDArray[np.float64]:
    """Return the posterior mean of a Gaussian process at the purchasable spots, given all of them.

    f_P = mean(y_P) + K_PP (K_PP + s I)^-1 (y_P - mean(y_P)), P the purchasable spots

    Parameters
    ----------
    values
        y, (N, G).
    slide
        Where the spots are, and how they look.
    purchasable
        (N,); all other rows are neither read nor changed.
    kernel
        K and s.
    """
    pattern = np.array(values, np.float64)
    covariance = kernel.for_slide(slide)[np.ix_(purchasable, purchasable)]
    mean = pattern[purchasable].mean(axis=0)
    pattern[purchasable] = mean + posterior_mean(
        covariance, covariance, pattern[purchasable] - mean, kernel.noise
    )
    return pattern
