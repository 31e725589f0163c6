"""Single cells that a predicted spot can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from scr2st_env.arrays import FloatArray, Shared, finite_matrix, frozen
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from predictor.base import Matrix

    Names = NDArray[np.str_]

BLOCK = 1000  # spots compared at once, so that memory does not grow with the slide


@dataclass(frozen=True)
class NearestCells:
    """The cells most like the predictions of n spots, the most similar first.

    Parameters
    ----------
    indices
        Rows of the reference, (n, k).
    similarity
        Cosine of the two standardised profiles, (n, k).
    names, types
        Of the cells, (n, k).
    """

    indices: NDArray[np.int64]
    similarity: NDArray[np.float32]
    names: Names
    types: Names


@dataclass(frozen=True, eq=False)
class ReferenceCells(Shared):
    """Labelled single cells.

    Parameters
    ----------
    expression
        (M, G), log1p(CP10k).
    cell_types
        M labels.
    genes
        G names; none where the columns are those of the predictor.
    names
        M names; default "0".."M-1".

    Raises
    ------
    InputError
        If an array has the wrong shape or is not finite, or there is no cell.
    """

    expression: FloatArray
    cell_types: ArrayLike
    genes: Sequence[str] = ()
    names: ArrayLike | None = None

    def __post_init__(self) -> None:
        """Check and freeze the arrays."""
        expression = finite_matrix(self.expression, "reference cells")
        n_cells = len(expression)
        if n_cells == 0:
            raise InputError("the reference has no cells; leave cells= out")
        names = np.arange(n_cells) if self.names is None else np.asarray(self.names)
        types = np.asarray(self.cell_types)
        for what, values in (("cell types", types), ("names", names)):
            if values.shape != (n_cells,):
                raise InputError(f"{n_cells} reference cells have {what} of shape {values.shape}")
        genes = tuple(map(str, self.genes))
        if genes and len(genes) != expression.shape[1]:
            raise InputError(
                f"reference cells have {len(genes)} gene names for {expression.shape[1]} columns"
            )
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "cell_types", frozen(types.astype(str)))
        object.__setattr__(self, "genes", genes)
        object.__setattr__(self, "names", frozen(names.astype(str)))

    @classmethod
    def from_anndata(
        cls, source: AnnData | str | Path, genes: Sequence[str], cell_type: str = "cell_type"
    ) -> Self:
        """Take those of some genes that an atlas has.

        Parameters
        ----------
        source
            An AnnData object or the path of an ``.h5ad`` file, with raw counts (TPM in some rows is
            understood).
        genes
            Names, as given to the predictor.
        cell_type
            Column of ``obs`` with the labels.

        Returns
        -------
        ReferenceCells

        Raises
        ------
        InputError
            If the atlas has none of the genes, no counts or no labels.
        """
        from scr2st_env.anndata_io import cell_type_labels, read_h5ad
        from scr2st_env.embedders.profiles import Profiles

        adata, where = read_h5ad(source)
        labels = cell_type_labels(adata, cell_type, where)
        values, present = Profiles.read(adata, "cells").log_of(genes)
        if not present.any():
            raise InputError(f"{where} has none of the {len(genes)} genes; are they symbols?")
        shared = np.asarray(genes)[present].tolist()
        return cls(values[:, present], labels, shared, adata.obs_names.to_numpy(str))

    def nearest(
        self, profiles: Matrix, spread: Matrix, genes: Sequence[str], n_cells: int
    ) -> NearestCells:
        """Return the cells most like some spots.

        Levels differ between platforms, so cells are centred on their own mean, as the spots are.

        Parameters
        ----------
        profiles
            Standardised expression of the spots, (n, G).
        spread
            What one standard deviation of a gene is, (G,).
        genes
            Names of the spots' genes; none: they are those of the cells, in the same order.
        n_cells
            k, at most as many as there are.

        Returns
        -------
        NearestCells

        Raises
        ------
        InputError
            If spots and cells share no gene, or k is below 1.
        """
        if n_cells < 1:
            raise InputError(f"n_cells must be at least 1, got {n_cells}")
        ours, theirs = self._shared_columns(genes, profiles.shape[1])
        cells = self.expression[:, theirs].astype(np.float64)
        cells = _unit((cells - cells.mean(axis=0)) / spread[ours])
        spots = _unit(profiles[:, ours])
        n_cells = min(n_cells, len(cells))
        indices = np.empty((len(spots), n_cells), np.int64)
        similarity = np.empty((len(spots), n_cells), np.float32)
        for start in range(0, len(spots), BLOCK):
            rows = slice(start, start + BLOCK)
            cosine = spots[rows] @ cells.T
            indices[rows] = np.argsort(-cosine, axis=1, kind="stable")[:, :n_cells]
            similarity[rows] = np.take_along_axis(cosine, indices[rows], axis=1)
        names, types = np.asarray(self.names), np.asarray(self.cell_types)
        return NearestCells(indices, similarity, names[indices], types[indices])

    def _shared_columns(
        self, genes: Sequence[str], n_genes: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not genes or not self.genes:
            if self.expression.shape[1] != n_genes:
                raise InputError(
                    f"reference cells have {self.expression.shape[1]} genes, the predictor "
                    f"{n_genes}; name the genes on both sides"
                )
            return np.arange(n_genes), np.arange(n_genes)
        column = {gene: index for index, gene in enumerate(self.genes)}
        ours = [index for index, gene in enumerate(genes) if gene in column]
        if not ours:
            raise InputError("the reference cells and the predictor share no gene")
        return np.array(ours), np.array([column[genes[index]] for index in ours])


def _unit(values: Matrix) -> Matrix:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)
