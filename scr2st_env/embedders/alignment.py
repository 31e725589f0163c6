"""Cells and spots of a pretrained space brought together, as two platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.embedders.base import Platform

    Embedding = NDArray[np.float32]


class PlatformAlignment:
    """Puts the middle of each platform at zero, and gives spots the cells' total variance.

    A model that was trained on cells sees a spot, a mixture in another depth, as far from all of
    them, and all spots as near to each other. Each platform is centred on its own mean; principal
    components of the cells keep what tells cells apart; spots are stretched by one number that
    makes their total variance over the training slides that of the cells.

    Parameters
    ----------
    n_components
        Width after the alignment; None keeps that of the model.

    Attributes
    ----------
    components_
        float32, (n_components, D).
    stretch_
        Of spots; NaN when fitted without them.
    """

    def __init__(self, n_components: int | None) -> None:
        self.n_components = n_components

    def fit(self, cells: Embedding, spots: Embedding | None) -> Self:
        """Learn from embedded cells, (m, D), and spots of the training slides, (n, D).

        Raises
        ------
        InputError
            If there are fewer cells or dimensions than components, or the spots are all alike.
        """
        dim = cells.shape[1]
        if self.n_components is not None and self.n_components > min(len(cells), dim):
            raise InputError(
                f"{self.n_components} components of {len(cells)} cells and {dim} dimensions; ask "
                "for fewer"
            )
        self._centres = {"cells": cells.mean(axis=0, dtype=np.float64).astype(np.float32)}
        if self.n_components is None:
            self.components_: Embedding = np.eye(dim, dtype=np.float32)
        else:
            axes = np.linalg.svd((cells - self._centres["cells"]).astype(np.float64), False)[2]
            signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
            self.components_ = (axes * signs[:, None])[: self.n_components].astype(np.float32)
        self.stretch_ = float("nan")
        if spots is not None:
            self._centres["spots"] = spots.mean(axis=0, dtype=np.float64).astype(np.float32)
            spread = float(self._projected(spots, "spots").var(axis=0).sum())
            if spread == 0:
                raise InputError("the spots of the training slides are all alike")
            wanted = float(self._projected(cells, "cells").var(axis=0).sum())
            self.stretch_ = float(np.sqrt(wanted / spread))
        return self

    def transform(self, embedding: Embedding, platform: Platform) -> Embedding:
        """Return the aligned embedding, (n, n_components).

        Raises
        ------
        InputError
            If it is not fitted for this platform.
        """
        self.must_know(platform)
        aligned = self._projected(embedding, platform)
        return aligned * np.float32(self.stretch_) if platform == "spots" else aligned

    def must_know(self, platform: Platform) -> None:
        """Raise InputError unless it is fitted for this platform."""
        if platform not in getattr(self, "_centres", {}):
            how = "fit it with training slides" if hasattr(self, "_centres") else "fit it"
            raise InputError(f"this embedder knows no statistics of {platform}; {how} first")

    @property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Everything learned, by name."""
        centres = {f"{platform}_centre": centre for platform, centre in self._centres.items()}
        stretch = np.array([self.stretch_], np.float64)
        return {"components": self.components_, "stretch": stretch, **centres}

    @classmethod
    def of(cls, n_components: int | None, arrays: dict[str, NDArray[np.float32]]) -> Self:
        """Return the alignment of which :attr:`arrays` was taken."""
        alignment = cls(n_components)
        alignment.components_ = arrays["components"]
        alignment.stretch_ = float(arrays["stretch"][0])
        alignment._centres = {
            platform: arrays[f"{platform}_centre"]
            for platform in ("cells", "spots")
            if f"{platform}_centre" in arrays
        }
        return alignment

    def _projected(self, embedding: Embedding, platform: Platform) -> Embedding:
        projected: Embedding = (embedding - self._centres[platform]) @ self.components_.T
        return projected
