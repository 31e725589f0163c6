"""How the embedding of a spot relates to the cell states of a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray

    Embedding = NDArray[np.float32] | NDArray[np.float64]

SHARED_BY = 0.1  # share of the other states that take part in a typical cell
_CELLS_LOOKED_AT = 4_096
_ROWS_AT_ONCE = 65_536
_FLOAT32_BITS = 24


def nearest_states(embedding: FloatArray, states: FloatArray) -> NDArray[np.intp]:
    """Return the index of the nearest cell state of each spot, (N,)."""
    return np.concatenate(
        [cdist(rows, states, "sqeuclidean").argmin(axis=1) for rows in _blocks(embedding)]
    )


def state_similarity(embedding: FloatArray, states: FloatArray, bandwidth: float) -> FloatArray:
    """Return exp(-|e_i - mu_c|^2 / (2 h^2)), float32, (N, C).

    Rounded to a step of 2^-17 for 100 states, and of C / 2^24 in general, so that a float32 sum
    over the states is exact in any order: on every machine, alone or in a batch, it is the same.

    Parameters
    ----------
    embedding
        e, (N, E).
    states
        mu, (C, E).
    bandwidth
        h, in units of the embedding.
    """
    similarity = np.empty((len(embedding), len(states)), np.float32)
    steps = 2.0 ** np.floor(_FLOAT32_BITS - np.log2(len(states)))
    start = 0
    for rows in _blocks(embedding):
        exact = np.exp(-0.5 * cdist(rows, states, "sqeuclidean") / bandwidth**2)
        similarity[start : start + len(rows)] = np.rint(exact * steps) / steps
        start += len(rows)
    return similarity


def _blocks(embedding: Embedding) -> Iterator[Embedding]:
    for start in range(0, len(embedding), _ROWS_AT_ONCE):
        yield embedding[start : start + _ROWS_AT_ONCE]


def state_shares(embedding: Embedding, states: FloatArray, width: float) -> NDArray[np.float64]:
    """Return softmax_c(-|e_i - mu_c|^2 / (2 h^2)): how a spot is shared by the states, (N, C).

    What all distances of a spot have in common drops out, so a spot that lies far from every
    state (a mixture of cells, a noisy measurement) still says which states it is nearest to.

    Parameters
    ----------
    embedding
        e, (N, E).
    states
        mu, (C, E).
    width
        h, in units of the embedding.
    """
    shares = np.empty((len(embedding), len(states)))
    start = 0
    for rows in _blocks(embedding):
        shares[start : start + len(rows)] = _softmax(cdist(rows, states, "sqeuclidean"), width)
        start += len(rows)
    return shares


def sharing_width(cells: FloatArray, states: FloatArray, shared_by: float = SHARED_BY) -> float:
    """Return the h at which a cell is shared by a tenth of the states.

    exp(mean over cells of H(p)) = 1 + s (C - 1), p the :func:`state_shares` of a cell and H
    their entropy, which grows with h; t-SNE sets its widths so, point by point (van der Maaten &
    Hinton 2008). At most 4,096 cells, evenly spaced, are looked at.

    Parameters
    ----------
    cells
        Embedding of the reference, (M, E).
    states
        mu, (C, E).
    shared_by
        s, the share of the other states that take part.
    """
    from scipy.optimize import brentq
    from scipy.special import entr

    step = -(-len(cells) // _CELLS_LOOKED_AT)
    squares = cdist(cells[::step], states, "sqeuclidean")
    squares -= squares.min(axis=1, keepdims=True)
    typical = float(np.sqrt(squares.mean()))
    if typical == 0:  # a single state
        return 1.0
    wanted = np.log(1 + shared_by * (len(states) - 1))

    def excess(log_width: float) -> float:
        return float(entr(_softmax(squares, np.exp(log_width))).sum(axis=1).mean() - wanted)

    # Forty times narrower than the smallest gap, no state but the nearest takes part.
    narrowest = float(np.log(np.sqrt(squares[squares > 0].min()) / 40))
    if excess(narrowest) >= 0:  # cells exactly halfway between states are shared at any width
        return float(np.exp(narrowest))
    return float(np.exp(brentq(excess, narrowest, np.log(typical) + 7, xtol=1e-6)))


def _softmax(squares: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    likelihood = np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True)) / width**2)
    shares: NDArray[np.float64] = likelihood / likelihood.sum(axis=1, keepdims=True)
    return shares
