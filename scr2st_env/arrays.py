"""Checks that every array passes on its way in."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from scr2st_env.errors import InputError

_AT_ONCE = 2**24  # entries of an array that are tested together: what a test takes is bounded

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


class Shared:
    """Immutable, so that a copy is the object itself: workers and wrappers share the arrays."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Freeze the arrays again: pickling to a worker loses that they are read-only."""
        for value in state.values():
            freeze_in_place(value)
        self.__dict__.update(state)

    def __copy__(self) -> Self:
        """Return the object itself."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the object itself."""
        return self


def freeze_in_place(value: Any) -> None:
    """Make an array, or the arrays of a CSR matrix, read-only; leave anything else alone."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif sparse.issparse(value):
        for part in (value.data, value.indices, value.indptr):
            part.setflags(write=False)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous, read-only array; one that is writeable is copied, never frozen."""
    array = np.ascontiguousarray(array)
    if array.flags.writeable:
        array = array.copy()
        freeze_in_place(array)
    return array


def is_count(value: Any, least: int) -> bool:
    """Return whether ``value`` is a whole number, no bool, of at least ``least``."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return bool(is_whole and value >= least)


def every(values: NDArray[Any], test: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> bool:
    """Return whether every entry of a one-dimensional array passes a vectorised test."""
    starts = range(0, len(values), _AT_ONCE)
    return all(test(values[start : start + _AT_ONCE]).all() for start in starts)


def finite_matrix(values: ArrayLike, name: str, n_rows: int | None = None) -> FloatArray:
    """Check and freeze a finite two-dimensional float32 array.

    Parameters
    ----------
    values
        Anything array-like of shape (n, d).
    name
        What the array is, for the error message.
    n_rows
        The number of rows that it must have, where that is known.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Read-only; a copy, save where the input is such an array already. The input is never
        touched.

    Raises
    ------
    InputError
        If the shape is wrong or a value is not a finite number.
    """
    copy = None if isinstance(values, np.ndarray) and not values.flags.writeable else True
    try:
        with np.errstate(over="ignore"):  # what is too large is found below
            array = np.array(values, dtype=np.float32, order="C", copy=copy)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a table of numbers ({error})") from error
    if array.ndim != 2:
        raise InputError(f"{name} must have two dimensions, got shape {array.shape}")
    if n_rows is not None and array.shape[0] != n_rows:
        raise InputError(f"{name} has {array.shape[0]} rows, but there are {n_rows} spots or cells")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise InputError(
            f"{name} has NaN or infinite values in {bad.size} rows (first: row {bad[0]}); "
            "remove or fill these rows"
        )
    freeze_in_place(array)
    return array
