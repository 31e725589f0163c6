"""What buying a spot is expected to do for a predictor that knows less than the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agents.lookahead.posterior import TargetedPosterior
    from scr2st_env.arrays import BoolArray

    Matrix = NDArray[np.float64]


def expected_gain(
    predictor: TargetedPosterior,
    programs: Sequence[TargetedPosterior],
    targets: NDArray[np.int64],
    unmeasured: BoolArray,
) -> Matrix:
    """Return by how much a predictor's squared error is expected to fall if a spot were bought.

    The predictor would move its mean m of a program by c_i (y_i - m_i) / (c_ii + n), with c its
    posterior covariance and n its noise. To the agent the program is f ~ N(a, C), and
    y_i = f_i + noise of variance s. With H centring over the unmeasured targets, since only
    differences between spots count for a correlation, the expected fall is the sum over programs of

    2 [e_i (a - m)' H c_i + c_i' H C_i / (c_ii + n)] - |H c_i|^2 [e_i^2 + (C_ii + s) / (c_ii + n)^2]

    where e_i = (a_i - m_i) / (c_ii + n), spot i itself left out. Its first part is what the agent
    knows already and the predictor would miss: a predictor shrinks what it was told once, and is
    told again where that pays.

    Parameters
    ----------
    predictor
        Tracks the means of all P programs.
    programs
        P posteriors of the agent, one mean each, with the same targets.
    targets
        Spots to be predicted, (m,).
    unmeasured
        Which of them count, (m,).

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    weight = unmeasured / max(int(unmeasured.sum()), 1)
    centred = predictor.rows - weight @ predictor.rows  # (m, N)
    centred *= unmeasured[:, None]
    centred[np.arange(len(targets)), targets] = 0  # a bought spot need not be predicted
    total = predictor.variance + predictor.noise
    squares = np.einsum("tn,tn->n", centred, centred)
    gain = np.zeros(len(total))
    for program, expected in zip(programs, predictor.mean.T, strict=True):
        missed = program.mean[:, 0] - expected  # a - m
        step = missed / total
        known = step * (missed[targets] @ centred)
        learned = np.einsum("tn,tn->n", centred, program.rows) / total
        moved = step**2 + (program.variance + program.noise) / total**2
        gain += 2 * (known + learned) - squares * moved
    return gain
