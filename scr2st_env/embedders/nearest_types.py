"""What cell types a spot is made of, by the cells that lie nearest to it in the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from scr2st_env.anndata_io import cell_type_labels, read_h5ad
from scr2st_env.arrays import FloatArray, finite_matrix
from scr2st_env.embedders.composition import TypeComposition
from scr2st_env.embedders.storage import kind_of, load_arrays, save_arrays
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from scr2st_env.embedders.base import CellEmbedder

KIND = "NearestTypes"


class SpotTyping(Protocol):
    """Shares of the atlas's cell types in each spot."""

    type_names: tuple[str, ...]

    def fit(
        self,
        reference: AnnData | str | Path,
        slides: Sequence[AnnData | str | Path] = (),
        cell_type: str = "cell_type",
    ) -> Self:
        """Learn from labelled cells and the training slides."""
        ...

    def transform(self, source: AnnData | str | Path) -> FloatArray:
        """Return shares, float32 (n, T); rows sum to 1."""
        ...

    def save(self, path: str | Path) -> None:
        """Write everything learned to one ``.safetensors`` file."""
        ...


class NearestTypes:
    """Share of each type among a spot's nearest cells, each type given the same chance.

    An atlas holds as many cells of a type as were caught, which says nothing about the tissue at
    hand: a neighbour counts one over the number of its type's cells.

    Parameters
    ----------
    embedder
        Fitted; its space is searched, by Euclidean distance.
    n_neighbors
        Cells per spot, at most as many as there are.

    Attributes
    ----------
    type_names
        T names, sorted.
    """

    def __init__(self, embedder: CellEmbedder, n_neighbors: int = 50) -> None:
        if n_neighbors < 1:
            raise InputError(f"n_neighbors must be at least 1, got {n_neighbors}")
        self.embedder = embedder
        self.n_neighbors = n_neighbors

    def fit(
        self,
        reference: AnnData | str | Path,
        slides: Sequence[AnnData | str | Path] = (),
        cell_type: str = "cell_type",
    ) -> Self:
        """Embed the labelled cells.

        Parameters
        ----------
        reference
            Cells with raw counts and labels.
        slides
            Not needed: the embedder knows them already.
        cell_type
            ``obs`` column of the labels.

        Returns
        -------
        NearestTypes
            Itself.

        Raises
        ------
        InputError
            If a cell has no label, or there are fewer than two types.
        """
        del slides
        adata, where = read_h5ad(reference)
        labels = np.array(cell_type_labels(adata, cell_type, f"reference ({where})"))
        names, self._codes = np.unique(labels, return_inverse=True)
        self.type_names: tuple[str, ...] = tuple(names.tolist())
        if len(names) < 2:
            raise InputError(f"reference ({where}) needs at least two cell types")
        self._cells = self.embedder.transform(adata, "cells")
        return self

    def transform(self, source: AnnData | str | Path) -> FloatArray:
        """Return the composition of spots.

        Parameters
        ----------
        source
            AnnData or path with raw counts; never modified.

        Returns
        -------
        ndarray of float32, shape (n, T)
            Read-only; rows sum to 1.

        Raises
        ------
        InputError
            If it is not fitted, or the genes do not fit.
        """
        if not hasattr(self, "_cells"):
            raise InputError("this NearestTypes is not fitted; fit it on a reference first")
        from sklearn.neighbors import NearestNeighbors

        spots = self.embedder.transform(source)
        search = NearestNeighbors(n_neighbors=min(self.n_neighbors, len(self._cells)))
        nearest = search.fit(self._cells).kneighbors(spots, return_distance=False)
        n_types = len(self.type_names)
        chance = 1 / np.bincount(self._codes, minlength=n_types)
        counts = np.zeros((len(spots), n_types))
        np.add.at(counts, (np.arange(len(spots))[:, None], self._codes[nearest]), 1.0)
        shares = counts * chance
        return finite_matrix(shares / shares.sum(axis=1, keepdims=True), "spot types")

    def save(self, path: str | Path) -> None:
        """Write the embedded cells to one ``.safetensors`` file; the embedder is saved apart."""
        settings = {"n_neighbors": self.n_neighbors, "type_names": self.type_names}
        save_arrays(path, KIND, settings, {"cells": self._cells, "codes": self._codes})

    @classmethod
    def load(cls, path: str | Path, embedder: CellEmbedder) -> Self:
        """Return what :meth:`save` wrote, with the embedder that it was fitted with."""
        settings, arrays = load_arrays(path, KIND)
        types = cls(embedder, settings["n_neighbors"])
        types.type_names = tuple(settings["type_names"])
        types._cells, types._codes = arrays["cells"], arrays["codes"]
        return types


def load_types(path: str | Path, embedder: CellEmbedder) -> SpotTyping:
    """Return the fitted typing of spots, whichever was saved.

    Parameters
    ----------
    path
        What :class:`TypeComposition` or :class:`NearestTypes` saved.
    embedder
        The one that was saved beside it.

    Raises
    ------
    InputError
        If the file holds neither.
    """
    if kind_of(path) == KIND:
        return NearestTypes.load(path, embedder)
    typing: SpotTyping = TypeComposition.load(path)
    return typing
