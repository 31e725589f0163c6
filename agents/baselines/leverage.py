"""Leverage scores, smoothed over the tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from agents.baselines.planned import PlannedAgent
from agents.baselines.space import metric_space
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

NEIGHBOUR = 1.5  # pitches: the eight around a spot of a square lattice, the six of a hexagonal one


def ridge_leverage(points: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return l_i = x_i' (X'X + r I)^-1 x_i of the centred points, (N,).

    Parameters
    ----------
    points
        X, (N, d).
    ridge
        r, in units of the mean eigenvalue of X'X.

    References
    ----------
    Alaoui & Mahoney, Fast randomized kernel ridge regression with statistical guarantees, 2015.
    """
    centred = points - points.mean(axis=0)
    gram = centred.T @ centred
    n_dimensions = len(gram)
    mean_eigenvalue = np.trace(gram) / n_dimensions or 1.0
    system = gram + ridge * mean_eigenvalue * np.eye(n_dimensions)
    scores: NDArray[np.float64] = (np.linalg.solve(system, centred.T).T * centred).sum(axis=1)
    return scores


def smooth(
    scores: NDArray[np.float64], place: NDArray[np.floating], times: int
) -> NDArray[np.float64]:
    """Average scores over each spot and its neighbours on the tissue, several times.

    Parameters
    ----------
    scores
        (N,).
    place
        Coordinates in pitches, (N, 2).
    times
        How often; 0 leaves the scores as they are.
    """
    n_spots = len(place)
    pairs = cKDTree(place).query_pairs(NEIGHBOUR, output_type="ndarray")
    rows = np.concatenate([pairs[:, 0], pairs[:, 1], np.arange(n_spots)])
    columns = np.concatenate([pairs[:, 1], pairs[:, 0], np.arange(n_spots)])
    graph = coo_array((np.ones(len(rows)), (rows, columns)), (n_spots, n_spots)).tocsr()
    degree = np.bincount(rows, minlength=n_spots)
    for _ in range(times):
        scores = (graph @ scores) / degree
    return scores


class LeverageAgent(PlannedAgent):
    """Buys spots by ridge leverage scores of their features, smoothed over neighbours.

    A spot with high leverage pulls a linear regression on the features; smoothing keeps single
    outliers, dust and folds, from being bought. On a slide without features the scores are those
    of the coordinates, which favour the rim of the tissue.

    Parameters
    ----------
    choice
        ``"sampled"``: drawn without replacement, with probability proportional to the score;
        ``"top"``: the highest scores.
    ridge
        In units of the mean eigenvalue.
    n_smoothings
        How often the scores are averaged over neighbouring spots.
    """

    name = "leverage"

    def __init__(
        self,
        choice: Literal["sampled", "top"] = "sampled",
        *,
        ridge: float = 0.1,
        n_smoothings: int = 1,
    ) -> None:
        if choice not in {"sampled", "top"}:
            raise InputError(f"choice={choice!r}: it is 'sampled' or 'top'")
        if not ridge > 0 or n_smoothings < 0:
            raise InputError(f"ridge={ridge} must be positive, n_smoothings={n_smoothings} >= 0")
        self.choice = choice
        self.ridge = ridge
        self.n_smoothings = n_smoothings

    def lay(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, n_wanted: int
    ) -> NDArray[np.int64]:
        """Return the spots in order of their scores, or of a draw by them."""
        del bought
        points = metric_space(slide, feature_weight=1.0 if slide.n_features else 0.0)
        scores = smooth(
            ridge_leverage(points, self.ridge), slide.pitch_coordinates, self.n_smoothings
        )
        candidates = np.flatnonzero(available)
        keys = np.log(np.maximum(scores[candidates], np.finfo(np.float64).tiny))
        if self.choice == "sampled":
            keys += self.rng.gumbel(size=keys.size)  # the largest are a draw without replacement
        return candidates[np.argsort(-keys, kind="stable")][:n_wanted]
