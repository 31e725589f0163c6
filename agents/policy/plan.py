"""Where a whole budget would best lie: a planned covering of the tissue, as a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.policy.inputs import SlideInputs

    Matrix = NDArray[np.floating]
    Spots = NDArray[np.int64]

N_STARTS = 4  # of k-means
MAX_ROUNDS = 100
TIE = 1e-9  # of the tissue
SHUT = 1.0  # what a purchase takes from the rest of its cell, in widths of a cell


class CoveringPlans:
    """The plans of slides, each made once for what was for sale when its episode began.

    Greedy covering cannot take back its first purchases, which costs most where the budget is
    small. A plan places all of them together: as many spots as will be measured, so that the
    tissue within reach of one is most (:func:`planned_covering`). The spots nearest to a planned
    one are its cell, and a purchase anywhere in a cell shuts it.
    """

    def __init__(self) -> None:
        self._plans: dict[tuple[str, int, bytes], tuple[torch.Tensor, torch.Tensor]] = {}

    def closeness(
        self, slide: SlideInputs, mask: torch.Tensor, available: torch.Tensor
    ) -> torch.Tensor:
        """Return how close each spot is to the planned spot of its cell, less where it is shut.

        Parameters
        ----------
        slide
            Static inputs of the slide of all observations.
        mask, available
            (B, N), 0 or 1.

        Returns
        -------
        torch.Tensor
            (B, N), in widths of a cell, 0 at most.
        """
        on_sale = ((mask + available) > 0).numpy()
        found = []
        for row, sold in enumerate(on_sale):
            cell, away = self._plan(slide, sold)
            is_shut = torch.zeros(int(cell.max()) + 1)
            is_shut[cell[mask[row] > 0]] = SHUT
            found.append(-away - is_shut[cell])
        return torch.stack(found)

    def _plan(self, slide: SlideInputs, sold: NDArray[np.bool_]) -> tuple[torch.Tensor, ...]:
        """Return the cell of each spot and how far it lies from the planned spot, each (N,)."""
        key = slide.fingerprint, slide.n_measured, sold.tobytes()
        if key not in self._plans:
            place = slide.place.double().numpy()
            planned = planned_covering(
                slide.similarity[0].numpy(),
                slide.tissue.double().numpy(),
                place,
                np.flatnonzero(sold),
                slide.n_measured,
            )
            away, cell = cKDTree(place[planned]).query(place)
            width = np.sqrt(len(place) / len(planned))
            self._plans[key] = (
                torch.from_numpy(np.asarray(cell, np.int64)),
                torch.from_numpy(((away / width) ** 2).astype(np.float32)),
            )
        return self._plans[key]


def planned_covering(
    within: Matrix, tissue: Matrix, place: Matrix, candidates: Spots, n_spots: int
) -> Spots:
    """Return spots that together have much tissue within reach.

    The maximal covering location problem [1]_ by interchange [2]_: from greedy covering, and from
    the centres of k-means, spots move one by one to where they cover most, until none gains by
    moving; the best end is kept. Ties go by place, so the order of the spots has no say.

    Parameters
    ----------
    within
        Whether two spots are within reach of each other, (N, N), 0 or 1, symmetric.
    tissue
        At each spot, (N,).
    place
        Coordinates in pitches, (N, 2).
    candidates
        Spots that can be chosen.
    n_spots
        How many to choose; all candidates where there are fewer.

    Returns
    -------
    ndarray of int64
        Ascending.

    References
    ----------
    .. [1] Church & ReVelle, The maximal covering location problem, 1974.
    .. [2] Teitz & Bart, Heuristic methods for estimating the generalized vertex median of a
       weighted graph, 1968.
    """
    by_place = candidates[np.lexsort(place[candidates].T)]
    n_chosen = min(n_spots, len(by_place))
    everywhere = np.lexsort(place.T)
    starts = [np.zeros(0, np.int64)]
    starts += [
        _centres(place, tissue, by_place, everywhere, n_chosen, seed) for seed in range(N_STARTS)
    ]
    ends = [_Covering(within, tissue / tissue.sum(), by_place, start) for start in starts]
    for covering in ends:
        covering.fill(n_chosen)
        covering.interchange()
    shares = np.array([covering.share for covering in ends])
    best = ends[int(np.argmax(shares > shares.max() - TIE))]
    return np.sort(best.chosen)


def _centres(
    place: Matrix, tissue: Matrix, candidates: Spots, order: Spots, n_centres: int, seed: int
) -> Spots:
    """Return the candidates nearest to the centres of k-means, each once, (at most n_centres,)."""
    from sklearn.cluster import KMeans

    fitted = KMeans(n_centres, n_init=1, random_state=seed).fit(
        place[order], sample_weight=tissue[order]
    )
    nearest = cKDTree(place[candidates]).query(fitted.cluster_centers_)[1]
    return candidates[np.unique(nearest)]


class _Covering:
    """Chosen spots, and what each spot would add to the tissue within their reach."""

    def __init__(self, within: Matrix, weight: Matrix, candidates: Spots, chosen: Spots) -> None:
        self.within = within
        self.weight = weight
        self.candidates = candidates
        self.chosen = list(chosen)
        self.count = within[chosen].sum(axis=0)  # how many of the chosen reach a spot
        self.gain = within @ (weight * (self.count == 0))

    @property
    def share(self) -> float:
        """Share of the tissue within reach."""
        return float(self.weight[self.count > 0].sum())

    def fill(self, n_chosen: int) -> None:
        """Choose greedily until there are enough."""
        while len(self.chosen) < n_chosen:
            worth = self.gain.copy()
            worth[self.chosen] = -1
            best = self._best(worth)
            self._change(self.within[best])
            self.chosen.append(best)

    def interchange(self) -> None:
        """Move chosen spots until none gains by it."""
        for _ in range(MAX_ROUNDS):
            moved = [self._move(position) for position in range(len(self.chosen))]
            if not any(moved):
                return

    def _move(self, position: int) -> bool:
        spot = self.chosen[position]
        alone = np.flatnonzero((self.within[spot] > 0) & (self.count == 1))
        worth = self.gain + self.weight[alone] @ self.within[alone]  # once the spot is given up
        best = self._best(worth)
        if worth[best] <= worth[spot] + TIE:
            return False
        self._change(self.within[best] - self.within[spot])
        self.chosen[position] = best
        return True

    def _best(self, worth: Matrix) -> int:
        of_candidates = worth[self.candidates]
        return int(self.candidates[np.argmax(of_candidates > of_candidates.max() - TIE)])

    def _change(self, change: Matrix) -> None:
        before = self.count == 0
        self.count = self.count + change
        turned = (self.count == 0).astype(np.float64) - before
        spots = np.flatnonzero(turned)
        self.gain = self.gain + (self.weight[spots] * turned[spots]) @ self.within[spots]
