"""How new an embedding is beside those that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.metrics.pairwise import euclidean_distances

from scr2st_env.cell_states import state_shares
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scr2st_env.reference import CellReference

    Matrix = NDArray[np.float64]


def newness(embedding: Matrix, known: Matrix, reference: CellReference | None) -> Matrix:
    """Return what each spot alone would add to what is known, (n,).

    With a reference, how many more of its cell states are expected to be shown, as the reward's
    term ``states`` counts them before scaling; without one, the distance to the nearest known
    embedding.

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
    unseen = (1 - _shares(known, reference)).prod(axis=0)
    more: Matrix = _shares(embedding, reference) @ unseen
    return more


def _shares(embedding: Matrix, reference: CellReference) -> Matrix:
    return state_shares(embedding, reference.states, reference.sharing_width)
