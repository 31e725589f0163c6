"""The picture of an episode, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from scr2st_env.envs.rendering.colours import order_colours
from scr2st_env.envs.rendering.marks import latest_mark, measured_mark, pending_mark
from scr2st_env.envs.rendering.panel import Panel, Progress
from scr2st_env.envs.rendering.tissue import Tissue
from scr2st_env.rewards.density import SLACK, reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray, IntArray
    from scr2st_env.envs.ledger import Ledger
    from scr2st_env.slide import PublicSlide


class SlidePicture:
    """Pictures of episodes on one slide; what does not change between frames is drawn once.

    On the left the tissue: dark where no measured spot is within reach, in its own colours where
    one is; bought spots from dark blue (first) to yellow (last). On the right what was bought, what
    is left, the round, the share of the tissue within reach, and the legend. It depends on the
    public part of the slide and on the ledger, and on nothing else.

    Parameters
    ----------
    public
        What may be seen of the slide.
    purchasable
        Spots that can be bought, bool, (N,); the others are crossed out.
    initial
        Spots that are measured from the start, (n,).
    budget
        A count; colours run from dark to bright over it.
    """

    def __init__(
        self, public: PublicSlide, purchasable: BoolArray, initial: IntArray, budget: int
    ) -> None:
        self._tissue = Tissue(public, purchasable, initial)
        self._n_initial = len(initial)
        self._colours = order_colours(np.arange(budget) / max(1, budget - 1))
        self._reach = reach(public, budget + len(initial)) + SLACK * public.pitch
        self._pitch = public.pitch
        self._tree = cKDTree(public.coordinates)
        self._weights = public.tissue_density / public.tissue_density.sum(dtype=np.float64)
        self._darken()
        radius = _mark_radius(self._tissue, budget)
        self._measured, self._pending = measured_mark(radius), pending_mark(radius)
        self._latest = latest_mark(radius)
        has_closed = int(purchasable.sum()) + len(initial) < public.n_spots
        self._panel = Panel(public, budget, has_initial=len(initial) > 0, has_closed=has_closed)

    def draw(self, ledger: Ledger) -> NDArray[np.uint8]:
        """Return the picture after the picks so far, uint8, (SIDE, SIDE + panel, 3).

        It follows from the ledger alone; frames of one episode, in order, are drawn fastest.
        """
        measured = [int(spot) for spot in ledger.measured]
        if measured[: len(self._lit)] != self._lit:
            self._darken()
        self._light(measured[len(self._lit) :])
        n_back = len(measured) - self._n_initial
        tissue = self._ground.copy()
        places = self._tissue.places[ledger.purchases]
        colours = self._colours[: len(places)]
        self._measured.stamp(tissue, places[:n_back], colours[:n_back])
        self._pending.stamp(tissue, places[n_back:], colours[n_back:])
        self._latest.stamp(tissue, places[-1:])
        panel = self._panel.draw(
            Progress(
                n_bought=len(places),
                n_wasted=ledger.spent - len(places),
                n_pending=len(places) - n_back,
                in_round=ledger.in_round,
                round_size=ledger.round_size,
                in_reach=float(self._weights @ self._is_in_reach),
            )
        )
        return np.concatenate([tissue, panel], axis=1)

    def _darken(self) -> None:
        """Begin a picture on which nothing is measured."""
        self._is_in_reach = np.zeros(len(self._weights), bool)
        self._ground = self._tissue.dim.copy()
        self._lit: list[int] = []

    def _light(self, spots: list[int]) -> None:
        """Show the surroundings of newly measured spots as they are."""
        nearest, lit = self._tissue.nearest, self._tissue.lit
        border = int(self._tissue.scale * (self._reach + self._pitch)) + 2
        for spot in spots:
            self._is_in_reach[self._tree.query_ball_point(self._tree.data[spot], self._reach)] = 1
        for x, y in self._tissue.places[spots].tolist():
            box = (
                slice(max(0, y - border), y + border),
                slice(max(0, x - border), x + border),
            )
            is_lit = self._is_in_reach[nearest[box]]
            np.copyto(self._ground[box], lit[box], where=is_lit[..., None])
        self._lit += spots


def _mark_radius(tissue: Tissue, budget: int) -> float:
    """Return a radius at which the marks of all purchases can be seen and told apart."""
    room = np.sqrt(np.count_nonzero((tissue.lit != tissue.dim).any(axis=2)) / budget)
    return max(tissue.radius, min(4.0, 0.25 * room))
