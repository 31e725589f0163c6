"""The single-cell atlas that says what is novel."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.arrays import FloatArray, IntArray, finite_matrix, frozen, is_count
from scr2st_env.cell_states import sharing_width
from scr2st_env.errors import InputError
from scr2st_env.opening import FromFile, Origin, opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import ArrayLike

    from scr2st_env.sidecar import Tree

N_STATES = 100
MAX_ITERATIONS = 100  # of k-means: the 200 that noise would take on top are worth 0.1 % of inertia


@dataclass(frozen=True, eq=False)
class CellReference(FromFile):
    """A labelled single-cell atlas in an embedding space, with its cell states.

    Parameters
    ----------
    embedding
        Cells in the embedding space, float32, (M, E).
    cell_types
        Index into ``type_names`` of each cell, int32, (M,).
    type_names
        T names.
    states
        Cell states: k-means centroids of ``embedding``, float32, (C, E).
    bandwidth
        Root mean squared distance of a cell to its state: the width at which a measured spot
        counts as near to a state.
    """

    embedding: FloatArray  # (M, E)
    cell_types: IntArray  # (M,)
    type_names: tuple[str, ...]
    states: FloatArray  # (C, E)
    bandwidth: float
    origin: Origin | None = field(default=None, init=False, repr=False)  # never that of a copy

    @property
    def n_states(self) -> int:
        """Number of cell states, C."""
        return len(self.states)

    @property
    def n_dimensions(self) -> int:
        """Width of the embedding, E."""
        return int(self.embedding.shape[1])

    @cached_property
    def sharing_width(self) -> float:
        """Width at which a cell is shared by a tenth of the states."""
        return sharing_width(self.embedding, self.states)

    @classmethod
    def make(
        cls,
        embedding: ArrayLike,
        labels: Sequence[str],
        *,
        n_states: int = N_STATES,
        type_names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> CellReference:
        """Build a reference from arrays; its states are found by k-means.

        Parameters
        ----------
        embedding
            (M, E).
        labels
            Cell type of each cell, (M,); every cell has one.
        n_states
            Number of cell states, C.
        type_names
            Order of the types; default sorted.
        seed
            Of k-means (scikit-learn's: faiss's subsamples and ends 4-5 % worse).

        Returns
        -------
        CellReference

        Raises
        ------
        InputError
            If there are fewer different cells than states, fewer than two types, a cell without a
            label, or bad values.
        """
        return cls._build(embedding, labels, n_states, type_names, seed, "reference:")

    @classmethod
    def from_anndata(
        cls,
        source: AnnData | str | Path,
        *,
        embedding: str = "X_cell",
        cell_type: str = "cell_type",
        n_states: int = N_STATES,
        seed: int = 0,
    ) -> CellReference:
        """Build a reference from an AnnData object or an ``.h5ad`` file.

        Parameters
        ----------
        source
            An AnnData object or a path; never modified.
        embedding
            ``obsm`` key of the cells' embedding (``X_cell``, ``X_scgpt``, ``X_scvi``, ...).
        cell_type
            ``obs`` column of the labels.
        n_states, seed
            See :meth:`make`.

        Returns
        -------
        CellReference
            Of a file: memory-mapped through a sidecar (``docs/slides.md``), its states found once.

        Raises
        ------
        InputError
            Naming what is missing, in which file, and how to make it.
        """
        from scr2st_env.anndata_io import cell_type_labels, read_h5ad

        def read() -> CellReference:
            adata, where = read_h5ad(source)
            where = f"reference ({where})"
            if embedding not in adata.obsm:
                raise InputError(
                    f"{where} has no obsm[{embedding!r}]; run 'scr2st embed' or name a key with "
                    "embedding="
                )
            labels = cell_type_labels(adata, cell_type, where)
            return cls._build(adata.obsm[embedding], labels, n_states, None, seed, f"{where}:")

        if not isinstance(source, str | os.PathLike):
            return read()
        options = {
            "embedding": embedding,
            "cell_type": cell_type,
            "n_states": n_states,
            "seed": seed,
        }
        return opened(cls, source, options, read, cls._restored)

    @classmethod
    def _restored(cls, tree: Tree) -> CellReference:
        return cls(**tree | {"type_names": tuple(tree["type_names"])})

    @classmethod
    def _build(
        cls,
        embedding: ArrayLike,
        labels: Sequence[str],
        n_states: int,
        type_names: Sequence[str] | None,
        seed: int,
        where: str,
    ) -> CellReference:
        from sklearn.cluster import KMeans

        cells = finite_matrix(embedding, f"{where} embedding")
        codes, kinds = _coded(labels, type_names, len(cells), where)
        n_distinct = len(np.unique(cells, axis=0))
        if not is_count(n_states, 0):
            raise InputError(f"{where} n_states must be a count >= 1, got {n_states!r}")
        if not 1 <= n_states <= n_distinct:
            raise InputError(
                f"{where} n_states={n_states} but there are {len(cells)} cells, {n_distinct} of "
                f"them different; pass n_states= between 1 and {n_distinct}"
            )
        model = KMeans(n_states, n_init=4, max_iter=MAX_ITERATIONS, random_state=seed).fit(cells)
        spread = float(np.sqrt(model.inertia_ / len(cells)))
        return cls(
            embedding=cells,
            cell_types=codes,
            type_names=kinds,
            states=finite_matrix(model.cluster_centers_, f"{where} states"),
            bandwidth=spread if spread > 0 else 1.0,
        )


def _coded(
    labels: Sequence[str], type_names: Sequence[str] | None, n_cells: int, where: str
) -> tuple[IntArray, tuple[str, ...]]:
    """Index of each cell's type, (M,), and the names of the types."""
    given = list(labels)
    if len(given) != n_cells:
        raise InputError(f"{where} {len(given)} cell-type labels for {n_cells} cells")
    missing = [index for index, label in enumerate(given) if not isinstance(label, str)]
    if missing:
        raise InputError(
            f"{where} {len(missing)} of {n_cells} labels are no text (first: cell {missing[0]}, "
            f"{given[missing[0]]!r}); label these cells or leave them out"
        )
    kinds = tuple(type_names) if type_names is not None else tuple(sorted(set(given)))
    if len(set(kinds)) < len(kinds):
        raise InputError(f"{where} type_names repeat: {', '.join(kinds)}")
    if len(kinds) < 2:
        raise InputError(f"{where} needs at least two cell types, has {list(kinds)}")
    unknown = sorted(set(given) - set(kinds))
    if unknown:
        raise InputError(f"{where} cell type {unknown[0]!r} is not among type_names")
    code = {kind: index for index, kind in enumerate(kinds)}
    return frozen(np.array([code[label] for label in given], np.int32)), kinds
