"""Which measured spots support a prediction, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from predictor.scr2net.search import EXACT_ROWS, NearestRows
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Indices = NDArray[np.int64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Neighbourhood:
    """The neighbours of n queries, the most similar first.

    Parameters
    ----------
    indices
        Rows of the memory bank, (n, k).
    weights
        How much each counts, (n, k); rows sum to 1, 0 for neighbours that were dropped.
    confidence
        Weighted similarity of the kept neighbours, times the share that was kept, in [0, 1], (n,).
    """

    indices: Indices
    weights: Array
    confidence: Array


class MemoryBank:
    """Measured spots that can be retrieved.

    Parameters
    ----------
    keys
        Unit vectors, (m, d).
    profiles
        What a spot contributes to a soft label, on the target's scale, (m, G).
    types
        Cell type of each spot as 0, 1, ..., (m,); None: no majority filter.
    """

    def __init__(self, keys: Array, profiles: Array, types: Indices | None = None) -> None:
        self.keys = np.ascontiguousarray(keys, np.float32)
        self.profiles = np.ascontiguousarray(profiles, np.float32)
        self.types = types
        self._nearest_rows = NearestRows(self.keys, EXACT_ROWS)

    def retrieve(
        self,
        queries: Array,
        n_neighbors: int,
        *,
        n_types: int = 2,
        temperature: float = 0.1,
        own: Indices | None = None,
    ) -> Neighbourhood:
        """Find the most similar spots, drop those of minority types, and weigh the rest.

        Parameters
        ----------
        queries
            Unit vectors, (n, d).
        n_neighbors
            k, at most as many as there are.
        n_types
            Most frequent cell types of a neighbourhood that are kept.
        temperature
            Of the softmax over similarities that gives the weights.
        own
            Row of the bank that each query is itself, never to be retrieved, (n,); -1 for none.

        Returns
        -------
        Neighbourhood

        Raises
        ------
        InputError
            If nothing is left to retrieve.
        """
        indices, similarity = self._nearest(queries, n_neighbors, own)
        return self.weigh(indices, similarity, n_types, temperature)

    def weigh(
        self, indices: Indices, similarity: Array, n_types: int, temperature: float
    ) -> Neighbourhood:
        """Drop neighbours of minority types and weigh the rest; see :meth:`retrieve`."""
        kept = np.ones(indices.shape, bool)
        if self.types is not None:
            kept = majority(self.types[indices], n_types)
        weights = softmax_of_kept(similarity, kept, temperature)
        likeness = (weights * similarity).sum(axis=1).clip(0, 1)
        return Neighbourhood(indices, weights, likeness * kept.mean(axis=1, dtype=np.float32))

    def soft_labels(self, found: Neighbourhood) -> Array:
        """Return the weighted mean profile of each neighbourhood, (n, G)."""
        # sums as it gathers, so that no (n, k, G) array is ever made
        labels = embedding_bag(
            torch.from_numpy(found.indices),
            torch.from_numpy(self.profiles),
            per_sample_weights=torch.from_numpy(found.weights),
            mode="sum",
        )
        return labels.numpy()

    def spread(self, found: Neighbourhood) -> Array:
        """Return the weighted variance of the profiles, mean over genes, (n,)."""
        squares = (self.profiles**2).mean(axis=1)
        second_moment = (found.weights * squares[found.indices]).sum(axis=1)
        first_moment = (self.soft_labels(found) ** 2).mean(axis=1)
        return np.clip(second_moment - first_moment, 0, None)

    def _nearest(
        self, queries: Array, n_neighbors: int, own: Indices | None
    ) -> tuple[Indices, Array]:
        available = len(self.keys) - (own is not None)
        if available < 1:
            raise InputError("retrieval needs at least one spot other than the query itself")
        wanted = min(n_neighbors, available)
        queries = np.ascontiguousarray(queries, np.float32)
        similarity, indices = self._nearest_rows.search(queries, wanted + (own is not None))
        if own is None:
            return indices, similarity
        left_out = indices == own[:, None]
        left_out[~left_out.any(axis=1), -1] = True  # the query itself, or one too many
        return indices[~left_out].reshape(-1, wanted), similarity[~left_out].reshape(-1, wanted)


def majority(types: Indices, n_types: int) -> Mask:
    """Return which neighbours are of one of the most frequent types of their neighbourhood.

    Of equally frequent types the one met first, that is of the more similar neighbour, goes first.

    Parameters
    ----------
    types
        Type of each neighbour as 0, 1, ..., the most similar first, (n, k).
    n_types
        How many types to keep per neighbourhood.

    Returns
    -------
    ndarray of bool, shape (n, k)
    """
    n_queries, n_neighbours = types.shape
    n_kinds = int(types.max(initial=0)) + 1
    if n_types >= n_kinds:
        return np.ones(types.shape, bool)
    rows = np.arange(n_queries)[:, None]
    cells = (rows * n_kinds + types).ravel()
    frequency = np.bincount(cells, minlength=n_queries * n_kinds).reshape(n_queries, n_kinds)
    first_met = np.full(n_queries * n_kinds, n_neighbours)
    np.minimum.at(first_met, cells, np.tile(np.arange(n_neighbours), n_queries))
    priority = frequency * (n_neighbours + 1) - first_met.reshape(n_queries, n_kinds)
    least = np.partition(priority, n_kinds - n_types, axis=1)[:, n_kinds - n_types, None]
    return np.take_along_axis(priority >= least, types, axis=1)


def softmax_of_kept(similarity: Array, kept: Mask, temperature: float) -> Array:
    """Return exp(similarity / temperature) over the kept neighbours, rows summing to 1."""
    scaled = np.where(kept, similarity / temperature, -np.inf)
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
