"""Nearest rows by inner product: exact among few, coarse codes first among very many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import faiss
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Indices = NDArray[np.int64]

EXACT_ROWS = 200_000  # up to which all rows are compared: 10,000 queries then take seconds
CANDIDATES = 10  # of the coarse search, per neighbour that is wanted
TRAINING_ROWS = 20_000
BLOCK = 50_000  # rows coded at once, so that no second copy of all of them is made


class NearestRows:
    """Finds the rows of a matrix with the largest inner product.

    Up to ``exact_rows`` rows it compares all of them. Beyond, rows are turned at random, which
    makes any unit vector look Gaussian, and kept as codes of 2 bits per dimension that the
    processor compares 32 at a time [1]_; the best ``CANDIDATES`` per neighbour are compared again
    at half precision. Neighbourhoods need no structure for it: graphs and inverted lists, which
    visit few rows, lose most neighbours where the rows do not cluster.

    Parameters
    ----------
    rows
        (m, d), unit vectors where there are many.
    exact_rows
        See above.

    References
    ----------
    .. [1] Andre, Kermarrec & Le Scouarnec (2015), PVLDB 9(4), 288-299.
    """

    def __init__(self, rows: Array, exact_rows: int = EXACT_ROWS) -> None:
        self.exact = len(rows) <= exact_rows
        self._n_rows = len(rows)
        self._index = _exact_index(rows) if self.exact else _coarse_index(rows)

    def search(self, queries: Array, n_wanted: int) -> tuple[Array, Indices]:
        """Return inner products and row numbers, the largest first, (n, n_wanted) each."""
        if self.exact:
            return self._index.search(queries, n_wanted)
        options = faiss.IndexRefineSearchParameters()
        options.k_factor = min(CANDIDATES, self._n_rows / n_wanted)
        return self._index.search(queries, n_wanted, params=options)


def _exact_index(rows: Array) -> faiss.Index:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def _coarse_index(rows: Array) -> faiss.Index:
    width = rows.shape[1] + rows.shape[1] % 2
    recipe = f"RR{width},PQ{width // 2}x4fs,Refine(SQfp16)"
    index = faiss.index_factory(rows.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:: max(1, len(rows) // TRAINING_ROWS)])
    for start in range(0, len(rows), BLOCK):
        index.add(rows[start : start + BLOCK])
    return index
