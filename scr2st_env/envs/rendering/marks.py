"""Marks for spots, stamped many at a time: discs and rings, diamonds, crosses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.envs.rendering.colours import FAINT, INK, WHITE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Matrix = NDArray[np.float64]
    Shape = Callable[[Matrix, Matrix], Matrix]  # how much of the pixels at x, y it covers, 0..1
    Layer = tuple[Shape, tuple[int, int, int] | None]  # None: the chosen colour

MARGIN = 26  # of a canvas around the centres of marks: the largest one fits
_ROOM_FOR_RIM, _ROOM_FOR_TWO_RIMS = 3.0, 6.0  # pixels of radius


@dataclass(frozen=True)
class Mark:
    """A small picture with one colour to choose, cut out along its smooth edge.

    Parameters
    ----------
    across, down
        Places of its pixels relative to its centre, (p,).
    kept
        How much of the ground shows through, (p,).
    painted
        What it adds in fixed colours, (p, 3).
    share
        How much it adds of the chosen colour, (p,).
    """

    across: NDArray[np.int64]
    down: NDArray[np.int64]
    kept: NDArray[np.float32]
    painted: NDArray[np.float32]
    share: NDArray[np.float32]

    def stamp(self, canvas: NDArray[np.uint8], places: ArrayLike, colours: ArrayLike = 0) -> None:
        """Draw the mark at each of ``places``, (k, 2), in ``colours``, (k, 3); the last on top."""
        pixels = canvas.view()
        pixels.shape = (-1, 3)  # unlike reshape, never a copy
        centres = np.asarray(places).reshape(-1, 2) @ (1, canvas.shape[1])
        covered = centres[:, None] + (self.across + self.down * canvas.shape[1])
        chosen = np.broadcast_to(np.asarray(colours, np.float32), (len(centres), 3))
        drawn = pixels[covered] * self.kept[:, None]
        drawn += self.painted + 0.5  # what follows rounds down
        drawn += self.share[:, None] * chosen[:, None]
        pixels[covered] = drawn.astype(np.uint8)


def measured_mark(radius: float) -> Mark:
    """Return a disc of the chosen colour; a rim keeps it apart from any ground."""
    return _mark(radius, _framed(radius))


def pending_mark(radius: float) -> Mark:
    """Return a ring of the chosen colour around white."""
    hole: list[Layer] = [(_disc(max(0.8, 0.42 * radius)), WHITE)]
    if radius >= _ROOM_FOR_TWO_RIMS:
        hole.insert(0, (_disc(0.42 * radius + 1.2), INK))
    return _mark(radius, [*_framed(radius), *hole])


def latest_mark(radius: float) -> Mark:
    """Return a thick ring to lay around a spot."""
    inner = radius + 1.5
    return _mark(inner + 4, [(_ring(inner, inner + 4), INK), (_ring(inner + 1, inner + 3), WHITE)])


def initial_mark(radius: float) -> Mark:
    """Return a white diamond."""
    wide = max(2.5, 1.15 * radius)
    rim = 1.4 if radius < _ROOM_FOR_TWO_RIMS else 3.6
    return _mark(wide, [(_diamond(wide), INK), (_diamond(wide - rim), WHITE)])


def closed_mark(radius: float) -> Mark:
    """Return a cross: not for sale."""
    arm, width = max(1.0, 0.62 * radius), 0.5 + 0.06 * radius
    if radius < _ROOM_FOR_RIM:
        return _mark(radius, [(_cross(arm, width), FAINT)])
    return _mark(radius, [(_cross(arm + 1, width + 1), WHITE), (_cross(arm, width), FAINT)])


def open_mark(radius: float) -> Mark:
    """Return a thin, pale circle: for sale, on an image."""
    outer = 0.6 if radius < _ROOM_FOR_RIM else radius
    return _mark(radius, [(_ring(outer - 1.2, outer, 0.6), WHITE)])


def _mark(radius: float, layers: Sequence[Layer]) -> Mark:
    """Lay shapes over each other, each with its fixed colour or None for the chosen one."""
    x, y = _grid(radius)
    kept = np.ones(x.shape)
    share = np.zeros(x.shape)
    painted = np.zeros((*x.shape, 3))
    for shape, colour in layers:
        cover = shape(x, y)
        kept *= 1 - cover
        share *= 1 - cover
        painted *= 1 - cover[..., None]
        if colour is None:
            share += cover
        else:
            painted += cover[..., None] * np.asarray(colour, np.float64)
    seen = kept < 1
    return Mark(
        x[seen].astype(np.int64),
        y[seen].astype(np.int64),
        kept[seen].astype(np.float32),
        painted[seen].astype(np.float32),
        share[seen].astype(np.float32),
    )


def _grid(radius: float) -> tuple[Matrix, Matrix]:
    half = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    return x, y


def _disc(radius: float) -> Shape:
    return lambda x, y: np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)


def _ring(inner: float, outer: float, strength: float = 1.0) -> Shape:
    return lambda x, y: strength * (_disc(outer)(x, y) - _disc(inner)(x, y))


def _diamond(radius: float) -> Shape:
    return lambda x, y: np.clip((radius - np.abs(x) - np.abs(y)) / np.sqrt(2) + 0.5, 0, 1)


def _cross(arm: float, width: float) -> Shape:
    def shape(x: Matrix, y: Matrix) -> Matrix:
        off = np.abs(np.abs(x) - np.abs(y)) / np.sqrt(2)
        return np.clip(width + 0.5 - off, 0, 1) * np.clip(arm + 0.5 - np.hypot(x, y), 0, 1)

    return shape


def _framed(radius: float) -> list[Layer]:
    if radius < _ROOM_FOR_RIM:
        return [(_disc(radius), None)]
    if radius < _ROOM_FOR_TWO_RIMS:
        return [(_disc(radius), INK), (_disc(radius - 1.0), None)]
    return [(_disc(radius), INK), (_disc(radius - 1.2), WHITE), (_disc(radius - 2.6), None)]
