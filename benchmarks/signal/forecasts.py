"""What can be said of unmeasured spots: from places and feedback, from the image, from both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.linalg import eigh
from scipy.spatial import cKDTree
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import LeaveOneGroupOut

from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.signal.sections import Section

    Matrix = NDArray[np.float64]

Source = Literal["feedback", "features", "both"]
SOURCES: tuple[Source, ...] = ("feedback", "features", "both")
NEIGHBOURHOOD = 1.3  # pitches: the spots that touch
PENALTIES = np.logspace(0, 6, 9)
SHARES = (0.02, 0.95)
PRIOR_SPOTS = 20.0  # that the training patients' frequencies count for


@dataclass(frozen=True, eq=False)
class Forecaster:
    """Predicts Q quantities of a section's spots from the measured ones.

    Every source knows the mean over the measured spots; they differ in what tells spots apart.

    Parameters
    ----------
    shares
        Share of each quantity's variance that neighbouring spots have in common, (Q,).
    ridge
        From z-scored features to the deviation from a section's mean; None without images.
    """

    shares: Matrix
    ridge: Any

    @classmethod
    def fit(cls, training: Sequence[Section], values: Sequence[NDArray[Any]]) -> Forecaster:
        """Learn from other patients' sections and their quantities, each (N, Q)."""
        centred = [
            rows - rows[each.public.measurable].mean(axis=0)
            for each, rows in zip(training, values, strict=True)
        ]
        ridge = None
        if all(section.public.n_features for section in training):
            ridge = _ridge(training, np.concatenate(centred))
        return cls(shared_variance(training, centred), ridge)

    def predict(
        self,
        section: Section,
        measured: NDArray[np.intp],
        values: NDArray[Any],
        source: Source,
        level: NDArray[Any] | None = None,
    ) -> tuple[Matrix, Matrix]:
        """Return mean and variance of what measuring would show, each (N, Q).

        Parameters
        ----------
        section
            The section at hand.
        measured
            Spots that were measured, (m,).
        values
            Their quantities, (m, Q).
        source
            What may be used.
        level
            Mean of the quantities, (Q,); default the measured spots'.
        """
        base = np.zeros((section.public.n_spots, values.shape[1]))
        if source != "feedback":
            base = self.ridge.predict(section.public.standardised_features).reshape(base.shape)
        residual = values - base[measured]
        if level is None:
            level = residual.mean(axis=0)
        residual = residual - level
        spread = residual.var(axis=0) + 1e-12
        if source == "features":
            return base + level, np.broadcast_to(spread, base.shape)
        kernel = section.near if source == "feedback" else section.near_and_alike
        mean, remaining = _krige(kernel, measured, residual, self.shares)
        return base + level + mean, spread * (self.shares * remaining + 1 - self.shares)


def _ridge(training: Sequence[Section], values: NDArray[Any]) -> Any:
    """Ridge whose penalty is chosen for patients that it was not fitted on."""
    features = np.concatenate([section.public.standardised_features for section in training])
    patients = np.repeat(
        [section.public.patient for section in training],
        [section.public.n_spots for section in training],
    )
    splits = list(LeaveOneGroupOut().split(features, groups=patients))
    return RidgeCV(PENALTIES, scoring="neg_mean_squared_error", cv=splits).fit(features, values)


def shared_variance(sections: Sequence[Section], centred: Sequence[NDArray[Any]]) -> Matrix:
    """Return the share of variance that is common to neighbours, extrapolated to distance 0.

    rho = mean of y_i y_j over touching pairs / mean of y_i^2 / k(1 pitch), clipped to [.02, .95]
    """
    common = np.zeros(centred[0].shape[1])
    total = np.zeros_like(common)
    for section, rows in zip(sections, centred, strict=True):
        pairs = cKDTree(section.public.pitch_coordinates).query_pairs(
            NEIGHBOURHOOD, output_type="ndarray"
        )
        common += (rows[pairs[:, 0]] * rows[pairs[:, 1]]).mean(axis=0)
        total += (rows**2).mean(axis=0)
    at_one_pitch = np.exp(-0.5 / Kernel().length ** 2)
    return np.clip(common / np.maximum(total, 1e-12) / at_one_pitch, *SHARES)


def _krige(
    kernel: Matrix, measured: NDArray[np.intp], residual: Matrix, shares: Matrix
) -> tuple[Matrix, Matrix]:
    """Posterior mean, and share of the prior variance that is left, each (N, Q).

    Each quantity has its own noise s = (1 - rho) / rho, so the eigenvectors of the kernel serve
    all: K (K + s I)^-1 = U L / (L + s) U'.
    """
    strength, vectors = eigh(kernel[np.ix_(measured, measured)])
    noise = (1 - shares) / shares
    weights = 1 / (np.clip(strength, 0, None)[:, None] + noise)  # (m, Q)
    projected = kernel[:, measured] @ vectors  # (N, m)
    remaining = np.clip(1 - projected**2 @ weights, 0, 1)
    return projected @ (weights * (vectors.T @ residual)), remaining


def r_squared(truth: NDArray[Any], predicted: NDArray[Any]) -> tuple[Matrix, float]:
    """Return R2 of each quantity, (Q,), and of all together, weighted by their variance.

    Against the mean of the spots predicted, so a section's own level is no merit. What does
    not vary has R2 = NaN.
    """
    error = ((truth - predicted) ** 2).sum(axis=0)
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    each = np.full(len(total), np.nan)
    np.divide(error, total, out=each, where=total > 1e-9)
    varies = total.sum() > 1e-9
    return 1 - each, float(1 - error.sum() / total.sum()) if varies else float("nan")


def class_skill(
    truth: NDArray[np.intp], predicted: NDArray[Any], frequency: NDArray[Any]
) -> tuple[float, float]:
    """Return accuracy over the base rate, and the share of the log-loss that is removed.

    Parameters
    ----------
    truth
        Class of each spot, (n,).
    predicted
        Linear predictions of the indicators, (n, C); made probabilities here, none of them
        below a twentieth of the class's frequency.
    frequency
        Frequency of the classes known beforehand, (C,), positive.
    """
    odds = np.maximum(predicted, frequency / 20)
    odds /= odds.sum(axis=1, keepdims=True)
    gained = (odds.argmax(axis=1) == truth).mean() - (frequency.argmax() == truth).mean()
    loss = -np.log(odds[np.arange(len(truth)), truth]).mean()
    return float(gained), float(1 - loss / -np.log(frequency[truth]).mean())


def frequencies(training: NDArray[Any], measured: NDArray[Any]) -> Matrix:
    """Return class frequencies, (C,), of training indicators and those measured here."""
    prior = (training.sum(axis=0) + 1) / (len(training) + training.shape[1])
    return (PRIOR_SPOTS * prior + measured.sum(axis=0)) / (PRIOR_SPOTS + len(measured))
