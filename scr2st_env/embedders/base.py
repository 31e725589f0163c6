"""What a cell embedder is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from scr2st_env.arrays import FloatArray

Platform = Literal["spots", "cells"]


@runtime_checkable
class CellEmbedder(Protocol):
    """Puts single cells and spots into one space, so that a spot can be near a cell state.

    Whatever is estimated on spots comes from the slides given to :meth:`fit`, the training
    slides: statistics of the slide at hand would leak expression that was not yet bought.
    """

    n_components: int

    def fit(
        self, reference: AnnData | str | Path, slides: Sequence[AnnData | str | Path] = ()
    ) -> Self:
        """Learn from the atlas, and the scale of spots from the training slides."""
        ...

    def transform(self, source: AnnData | str | Path, platform: Platform = "spots") -> FloatArray:
        """Return the embedding, float32 (n, n_components); a row depends on that row alone."""
        ...
