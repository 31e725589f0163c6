"""An agent that looks for borders: it buys where neighbouring patches differ most."""

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env import PublicSlide


class BoundaryAgent:
    """Buys spots in the order of how much their patch differs from its neighbours'.

    Every other purchase is random, so that the inside of the tissue is not forgotten.

    Parameters
    ----------
    n_neighbors
        Spots that each spot is compared with.
    """

    name = "boundary"

    def __init__(self, n_neighbors: int = 6) -> None:
        self.n_neighbors = n_neighbors

    def begin_episode(
        self, public_slide: PublicSlide, budget: int, round_size: int, seed: int
    ) -> None:
        """Compare each patch with its neighbours; called before the first decision."""
        del budget, round_size
        self.rng = np.random.default_rng(seed)
        look = public_slide.standardised_features
        if look.shape[1] == 0:
            raise ValueError(f"slide {public_slide.name!r} has no features; run 'scr2st features'")
        tree = cKDTree(public_slide.coordinates)
        _, near = tree.query(public_slide.coordinates, k=self.n_neighbors + 1)
        self.contrast = np.linalg.norm(look - look[near[:, 1:]].mean(axis=1), axis=1)

    def predict(
        self,
        observation: dict[str, Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[int, Any]:
        """Return the spot to buy next; ``state`` counts the purchases."""
        del episode_start, deterministic
        n_bought = state or 0
        can_buy = np.flatnonzero(observation["available"])
        if n_bought % 2:
            return int(self.rng.choice(can_buy)), n_bought + 1
        return int(can_buy[self.contrast[can_buy].argmax()]), n_bought + 1
