"""A matrix that grows row by row without being copied each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


class GrowingMatrix:
    """Rows of equal length, appended one at a time.

    Parameters
    ----------
    n_columns
        Length of a row.
    """

    def __init__(self, n_columns: int) -> None:
        self._rows = np.empty((16, n_columns))
        self._n_rows = 0

    @property
    def rows(self) -> Matrix:
        """What was appended so far, (n, n_columns)."""
        return self._rows[: self._n_rows]

    def append(self, row: Matrix) -> None:
        """Add a row."""
        if self._n_rows == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._n_rows] = row
        self._n_rows += 1
