"""How new an embedding is beside those that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.reference import CellReference

    Matrix = NDArray[np.float64]


def newness(embedding: Matrix, known: Matrix, reference: CellReference | None) -> Matrix:
    """Return what each spot alone would add to what is known, (n,).

    With a reference, the rise of the mean over its cell states of the best Gaussian similarity,
    as the reward's term ``states`` counts it before scaling; without one, the distance to the
    nearest known embedding.

    Parameters
    ----------
    embedding
        (n, E).
    known
        (m, E), m at least 1.
    reference
        The atlas in whose space the embeddings are, or None.

    Raises
    ------
    InputError
        If the reference has another width.
    """
    if reference is None:
        nearest: Matrix = euclidean_distances(embedding, known).min(axis=1)
        return nearest
    if reference.n_dimensions != embedding.shape[1]:
        raise InputError(
            f"the reference has an embedding of width {reference.n_dimensions}, the measured "
            f"spots one of {embedding.shape[1]}; embed both with the same embedder"
        )
    best = _similarity(known, reference).max(axis=0)
    rise: Matrix = np.maximum(_similarity(embedding, reference) - best, 0).mean(axis=1)
    return rise


def _similarity(embedding: Matrix, reference: CellReference) -> Matrix:
    squares = euclidean_distances(embedding, reference.states, squared=True)
    similarity: Matrix = np.exp(-0.5 * squares / reference.bandwidth**2)
    return similarity
