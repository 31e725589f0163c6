"""Geometric sketching: even sampling of the space that spots occupy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from agents.baselines.planned import PlannedAgent
from agents.baselines.space import check_feature_weight, metric_space
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide


class GeometricSketchAgent(PlannedAgent):
    """Buys a geometric sketch of the available spots, in random order.

    It wraps ``geosketch``: equal boxes cover the points, boxes are drawn, and a spot from each.
    Initial spots do not enter. On a small regular lattice no box size gives as many boxes as
    wanted, of which the library's warning is left out; it then draws from the closest number.

    Parameters
    ----------
    feature_weight
        Share of the features in squared distances; see
        :func:`agents.baselines.space.metric_space`.

    References
    ----------
    Hie, Cho, DeMeo, Bryson & Berger, Geometric sketching compactly summarizes the single-cell
    transcriptomic landscape, 2019.
    """

    name = "geosketch"

    def __init__(self, feature_weight: float = 0.5) -> None:
        if find_spec("geosketch") is None:
            raise InputError(
                "agent 'geosketch' needs geosketch; run: pip install 'scr2st[baselines]'"
            )
        self.feature_weight = check_feature_weight(feature_weight)

    def lay(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, n_wanted: int
    ) -> NDArray[np.int64]:
        """Return the sketch."""
        from geosketch import gs

        del bought
        candidates = np.flatnonzero(available)
        points = metric_space(slide, self.feature_weight)[candidates]
        with _global_numpy_seed(int(self.rng.integers(2**31))), redirect_stderr(StringIO()):
            sketch = gs(points, n_wanted, replace=False)
        return self.rng.permutation(candidates[sketch])


@contextmanager
def _global_numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, the only one geosketch knows, and put it back after."""
    before = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(seed)  # noqa: NPY002
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
