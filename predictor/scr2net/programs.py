"""Expression programs: the directions in which the genes of a tissue vary together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

N_PROGRAMS = 20
NEGLIGIBLE = 1e-6  # of the largest program's standard deviation


def programs_of(values: Matrix, at_most: int = N_PROGRAMS) -> Matrix:
    """Return the leading principal components of expression, not centred.

    Parameters
    ----------
    values
        Standardised expression of spots around the level of their slide, (n, G).
    at_most
        How many components to keep; those without variance are left out.

    Returns
    -------
    ndarray of float64, shape (G, R)
        Orthonormal columns, the largest first.
    """
    n_genes = values.shape[1]
    if len(values) <= n_genes:
        _, size, right = np.linalg.svd(values, full_matrices=False)
        axes = right.T[:, :at_most]
    else:
        first = max(n_genes - at_most, 0)
        square, axes = eigh(values.T @ values, subset_by_index=[first, n_genes - 1])
        size, axes = np.sqrt(np.clip(square[::-1], 0, None)), axes[:, ::-1]
    return axes[:, size[:at_most] > NEGLIGIBLE * size.max(initial=1e-12)]
