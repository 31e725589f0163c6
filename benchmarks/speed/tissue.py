"""Slides of any size, made for speed alone: nothing on them means anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scr2st_env import CellReference, Slide

N_TYPES = 10
N_DIMENSIONS = 16
N_STATES = 100
TYPE_NAMES = [f"type {index}" for index in range(N_TYPES)]


def square(n_spots: int, pitch: float = 100.0) -> NDArray[Any]:
    """Return positions on a square lattice, (N, 2)."""
    side = int(np.ceil(np.sqrt(n_spots)))
    index = np.arange(n_spots)
    return pitch * np.stack([index % side, index // side], axis=1)


def make_slide(n_spots: int, n_features: int, seed: int = 0) -> Slide:
    """Return a retrospective slide with an embedding and types."""
    rng = np.random.default_rng(seed)
    return Slide.make(
        f"{n_spots} spots",
        square(n_spots),
        features=rng.standard_normal((n_spots, n_features), np.float32),
        counts=rng.poisson(3, (n_spots, 5)),
        genes=[f"gene {index}" for index in range(5)],
        embedding=rng.standard_normal((n_spots, N_DIMENSIONS), np.float32),
        types=rng.dirichlet(np.ones(N_TYPES), n_spots),
        type_names=TYPE_NAMES,
    )


def make_reference(n_cells: int = 2_000, seed: int = 0) -> CellReference:
    """Return an atlas of cells without structure."""
    rng = np.random.default_rng(seed)
    return CellReference.make(
        rng.standard_normal((n_cells, N_DIMENSIONS), np.float32),
        [TYPE_NAMES[index] for index in rng.integers(N_TYPES, size=n_cells)],
        n_states=N_STATES,
        type_names=TYPE_NAMES,
    )
