"""What a lab does today: a regular grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from agents.baselines.planned import PlannedAgent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

SHRINK = 0.98
FINEST = 0.25  # spacing in pitches; a lattice this fine would take every spot of a regular slide


class GridAgent(PlannedAgent):
    """Buys the spots at the nodes of a square lattice laid over the tissue.

    The lattice is axis-parallel; its phase is drawn from the seed. Each node takes the nearest
    available spot within half a lattice spacing (at least one pitch). The spacing starts at the
    square root of tissue area over budget and shrinks by 2 % at a time until the nodes take at
    least as many spots as can be paid; of these, the ones nearest to their nodes are bought, in
    random order. So exactly the budget is spent, on a lattice with as few holes as possible. Where
    spots lie so close together that a lattice of a quarter of a pitch still takes too few, others
    are drawn from the rest.
    """

    name = "grid"

    def lay(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, n_wanted: int
    ) -> list[int]:
        """Return the spots nearest to the nodes of the lattice, in random order."""
        del bought
        candidates = np.flatnonzero(available)
        coordinates = slide.pitch_coordinates[candidates].astype(np.float64)
        tree = cKDTree(coordinates)
        phase = self.rng.random(2)
        spacing = float(np.sqrt(slide.n_spots / n_wanted))
        taken, distance = _snap(tree, coordinates, spacing, phase)
        while taken.size < n_wanted and spacing > FINEST:
            spacing *= SHRINK
            taken, distance = _snap(tree, coordinates, spacing, phase)
        chosen = candidates[taken[np.argsort(distance, kind="stable")[:n_wanted]]]
        if chosen.size < n_wanted:
            rest = np.setdiff1d(candidates, chosen)
            chosen = np.append(chosen, self.rng.choice(rest, n_wanted - chosen.size, replace=False))
        return self.rng.permutation(chosen).tolist()


def _snap(
    tree: cKDTree, coordinates: NDArray[np.float64], spacing: float, phase: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the spots that the nodes take, each once, and their distance to the node."""
    low, high = coordinates.min(axis=0) - spacing, coordinates.max(axis=0) + spacing
    axes = [
        np.arange(start + spacing * shift, stop, spacing)
        for start, stop, shift in zip(low, high, phase, strict=True)
    ]
    nodes = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    distance, spot = tree.query(nodes, distance_upper_bound=max(spacing / 2, 1.0))
    near = np.isfinite(distance)
    distance, spot = distance[near], spot[near]
    order = np.argsort(distance, kind="stable")
    taken, first = np.unique(spot[order], return_index=True)
    return taken, distance[order][first]
