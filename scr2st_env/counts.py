"""Counts: their checks, and the one normalisation that targets use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scr2st_env.arrays import FloatArray, every, finite_matrix, freeze_in_place, frozen
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

COUNTS_PER = 10_000.0
MIN_COUNTS = 5  # fewer, and a spot of the archive is taken as failed: buying it reveals nothing


def checked_counts(counts: Any, where: str) -> sparse.csr_matrix:
    """Return counts as CSR after checking that they are finite and not negative.

    Parameters
    ----------
    counts
        Dense or sparse, (n, G).
    where
        Beginning of an error message: what these counts belong to.

    Returns
    -------
    csr_matrix
        Sharing memory with the input where that was CSR already; never modified.

    Raises
    ------
    InputError
        If a count is NaN, infinite or negative, or the array is not two-dimensional.
    """
    if not sparse.issparse(counts):
        try:
            counts = np.asarray(counts)
        except ValueError as error:
            raise InputError(f"{where} counts must be a table of numbers ({error})") from error
        if counts.ndim != 2:
            raise InputError(f"{where} counts must have two dimensions, got {counts.shape}")
    if counts.dtype.kind not in "buif":
        raise InputError(f"{where} counts must be numbers, got {counts.dtype}")
    matrix = sparse.csr_matrix(counts)
    if not every(matrix.data, np.isfinite):
        raise InputError(f"{where} counts contain NaN or infinite values; give raw counts")
    if not every(matrix.data, lambda counts: counts >= 0):
        raise InputError(f"{where} counts contain negative values; give raw counts")
    return matrix


def frozen_counts(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return counts in canonical form (sorted columns, no duplicates), read-only.

    A copy, save where the input is such a matrix already.
    """
    parts = (matrix.data, matrix.indices, matrix.indptr)
    if matrix.has_canonical_format and not any(part.flags.writeable for part in parts):
        return matrix
    copy = matrix.copy()
    copy.sum_duplicates()
    freeze_in_place(copy)
    return copy


def mapped_counts(
    data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], columns: int
) -> sparse.csr_matrix:
    """Return the matrix that :func:`frozen_counts` made, from its parts; nothing is copied."""
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, columns))
    matrix.has_canonical_format = True  # asking the matrix would read all of it
    freeze_in_place(matrix)
    return matrix


def checked_types(
    types: ArrayLike, type_names: Sequence[str], n_spots: int, where: str
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the composition with rows summing to 1, and its column names.

    A row of zeros (a spot not measured yet, or without a count of any marker) says nothing: all
    types share it equally.

    Raises
    ------
    InputError
        If a share is negative, names repeat, or names and columns differ in number.
    """
    composition = finite_matrix(types, f"{where} types", n_spots)
    labels = tuple(str(label) for label in type_names)
    if len(labels) != composition.shape[1]:
        raise InputError(
            f"{where} {len(labels)} type names for {composition.shape[1]} columns of types"
        )
    if not labels:
        raise InputError(f"{where} types have no column; leave types out or give cell types")
    if len(set(labels)) < len(labels):
        raise InputError(f"{where} type names repeat: {', '.join(labels)}; name every type once")
    if (composition < 0).any():
        raise InputError(f"{where} types must be non-negative shares")
    totals = composition.sum(axis=1, keepdims=True)
    even = np.full_like(composition, 1 / len(labels))
    shares = np.divide(composition, totals, out=even, where=totals > 0)
    return frozen(shares.astype(np.float32)), labels


def log_normalise(counts: Any, totals: ArrayLike | None = None) -> NDArray[np.float32]:
    """Return log1p of counts per 10,000, dense.

    Parameters
    ----------
    counts
        Dense or sparse raw counts, (n, G).
    totals
        Counts of each row over **all** its genes, (n,), where ``counts`` holds only some of them;
        default: the row sums. A row without counts becomes zeros, never NaN.

    Returns
    -------
    ndarray of float32, shape (n, G)

    Examples
    --------
    >>> log_normalise([[1, 1], [0, 0]]).round(2)
    array([[8.52, 8.52],
           [0.  , 0.  ]], dtype=float32)
    """
    matrix = sparse.csr_matrix(counts, dtype=np.float64)
    row_sums = np.asarray(matrix.sum(axis=1)).ravel() if totals is None else np.asarray(totals)
    factors = np.divide(
        COUNTS_PER, row_sums, out=np.zeros(len(row_sums), np.float64), where=row_sums > 0
    )
    dense: NDArray[np.float64] = sparse.diags_array(factors).dot(matrix).toarray()
    return np.log1p(dense, out=dense).astype(np.float32)
