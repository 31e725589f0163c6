"""Information gain and prediction gain: what a Gaussian process learns from the measured spots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, Posterior
from scr2st_env.rewards.base import Potential, Setting, Term, shared_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray, IntArray
    from scr2st_env.slide import Slide

DEFAULT_KERNEL = Kernel(feature_weight=0.5)


@dataclass(frozen=True)
class InformationGain(Term):
    """Share of the prior variance of all spots that the measured spots remove.

    Phi(S) = 1 - tr(K_posterior(S)) / tr(K), a function of public data alone. A purchase costs
    O(N^2).

    Parameters
    ----------
    weight
        See :class:`Term`.
    kernel
        Covariance of features and coordinates; on a slide without an image, of coordinates.
    """

    name: ClassVar[str] = "information"

    kernel: Kernel = DEFAULT_KERNEL

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        return _InformationGain(_covariance(self.kernel, setting.slide), self.kernel.noise)


class _InformationGain:
    def __init__(self, covariance: NDArray[np.float64], noise: float) -> None:
        self._covariance = covariance  # (N, N)
        self._noise = noise

    def reset(self, initial: IntArray) -> None:
        self._posterior = Posterior(self._covariance, self._noise)
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            self._posterior.observe(spot)

    @property
    def value(self) -> float:
        left = self._posterior.variance.sum() / self._covariance.diagonal().sum()
        return float(1 - left)


@dataclass(frozen=True)
class PredictionGain(Term):
    """Share of the squared error over the purchasable spots that prediction removes.

    Phi(S) = 1 - sum_i |y_i - m_i(S)|^2 / sum_i |y_i - mean(y)|^2, and 0 for an empty S, with y
    the log1p(CP10k) of the genes that vary most over the purchasable spots and m(S) the posterior
    mean of a Gaussian process around the mean of S; m(S) reads measured spots alone. Phi compares
    it with the truth, so the term is *privileged*: it trains agents on retrospective slides, and
    its parts are kept from them. Not monotone. A purchase costs O(N^2 + N G).

    Parameters
    ----------
    weight
        See :class:`Term`.
    kernel
        Covariance of features and coordinates.
    n_genes
        G.
    """

    name: ClassVar[str] = "prediction"
    privileged: ClassVar[bool] = True

    kernel: Kernel = DEFAULT_KERNEL
    n_genes: int = field(default=50)

    def __post_init__(self) -> None:
        """Check the weight and the number of genes."""
        super().__post_init__()
        if self.n_genes < 1:
            raise InputError(f"reward term 'prediction': n_genes must be >= 1, got {self.n_genes}")

    def bind(self, setting: Setting) -> Potential:
        """Return the potential on one slide."""
        return _PredictionGain(
            _covariance(self.kernel, setting.slide),
            self.kernel.noise,
            most_variable_expression(setting.slide, setting.purchasable, self.n_genes),
            setting.purchasable,
        )


def _covariance(kernel: Kernel, slide: Slide) -> NDArray[np.float64]:
    return shared_table(slide, kernel, lambda: kernel.for_slide(slide.public))


def most_variable_expression(slide: Slide, spots: BoolArray, n_genes: int) -> NDArray[np.float64]:
    """Return log1p(CP10k) of the genes that vary most over some spots of a slide.

    Parameters
    ----------
    slide
        A retrospective slide.
    spots
        Where the variance is taken, bool, (N,).
    n_genes
        How many genes, at most all.

    Returns
    -------
    ndarray of float64, shape (N, min(n_genes, G))
    """
    if slide.hidden is None:
        raise InputError(f"slide {slide.name!r} is live: reward term 'prediction' needs expression")
    expression = slide.expression(slide.hidden.genes.tolist()).astype(np.float64)
    variance = expression[spots].var(axis=0)
    chosen = np.sort(np.argsort(-variance, kind="stable")[:n_genes])
    return expression[:, chosen]


class _PredictionGain:
    def __init__(
        self,
        covariance: NDArray[np.float64],
        noise: float,
        expression: NDArray[np.float64],
        purchasable: BoolArray,
    ) -> None:
        self._covariance = covariance  # (N, N)
        self._noise = noise
        self._expression = expression  # (N, G)
        self._purchasable = purchasable  # (N,)
        truth = expression[purchasable]
        self._prior_error = float(((truth - truth.mean(axis=0)) ** 2).sum())

    def reset(self, initial: IntArray) -> None:
        # The last quantity is 1 everywhere: what the process makes of a constant, which is how
        # the mean of the measured spots enters without starting over at every purchase.
        n_spots, n_genes = self._expression.shape
        self._posterior = Posterior(self._covariance, self._noise, np.zeros((n_spots, n_genes + 1)))
        self._sum = np.zeros(n_genes)
        self._n_measured = 0
        self.add(initial.tolist())

    def add(self, spots: Sequence[int]) -> None:
        for spot in spots:
            self._posterior.observe(spot, np.append(self._expression[spot], 1.0))
            self._sum += self._expression[spot]
            self._n_measured += 1

    @property
    def value(self) -> float:
        if self._n_measured == 0 or self._prior_error == 0 or self._posterior.mean is None:
            return 0.0
        zero_mean = self._posterior.mean[self._purchasable]  # (n, G + 1)
        share = 1 - zero_mean[:, -1:]
        predicted = zero_mean[:, :-1] + share * (self._sum / self._n_measured)
        error = ((self._expression[self._purchasable] - predicted) ** 2).sum()
        return float(1 - error / self._prior_error)
