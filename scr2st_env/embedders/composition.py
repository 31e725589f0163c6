"""What cell types a spot is made of: non-negative least squares on type signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.optimize import nnls

from scr2st_env.anndata_io import cell_type_labels, read_h5ad
from scr2st_env.arrays import FloatArray, finite_matrix
from scr2st_env.embedders.profiles import Profiles, shared_genes
from scr2st_env.embedders.storage import load_arrays, save_arrays
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

BACKGROUND = 0.1  # CP10k added to a gene's mean, so that rare genes do not weigh without bound
MIN_MARKERS = 0.5
KIND = "TypeComposition"


class TypeComposition:
    """Shares of the atlas's cell types in each spot.

    A spot's CP10k profile is a non-negative combination of the types' mean profiles, over marker
    genes, each gene's residual weighted by one over the square root of its mean expression
    (Poisson counts have that spread):

    minimise |W (S a - y)| subject to a >= 0; shares = a / sum(a)

    Parameters
    ----------
    n_markers
        Genes per type: those whose mean log1p(CP10k) exceeds that of every other type most.

    Attributes
    ----------
    type_names
        T names, sorted.
    genes_
        Names of the marker genes.
    signatures_
        Mean CP10k of each type, float64, (T, genes).
    """

    def __init__(self, n_markers: int = 200) -> None:
        self.n_markers = n_markers

    def fit(
        self,
        reference: AnnData | str | Path,
        slides: Sequence[AnnData | str | Path] = (),
        cell_type: str = "cell_type",
    ) -> Self:
        """Learn the signatures.

        Parameters
        ----------
        reference
            Cells with raw counts and labels.
        slides
            Training slides: markers are chosen among the genes that all of them have.
        cell_type
            ``obs`` column of the labels.

        Returns
        -------
        TypeComposition
            Itself.

        Raises
        ------
        InputError
            If a cell has no label, or there are fewer than two types, or too few shared genes.
        """
        adata, where = read_h5ad(reference)
        labels = np.array(cell_type_labels(adata, cell_type, f"reference ({where})"))
        cells = Profiles.read(adata, "cells")
        genes = shared_genes(cells, [Profiles.read(slide, "spots") for slide in slides])
        self.type_names: tuple[str, ...] = tuple(sorted(set(labels.tolist())))
        if len(self.type_names) < 2:
            raise InputError(f"reference ({where}) needs at least two cell types")
        profiles = cells.per_10k()[:, np.flatnonzero(np.isin(cells.genes, genes))]
        chosen = _markers(self._means(profiles.log1p(), labels), self.n_markers)
        self.genes_ = [genes[index] for index in chosen]
        self.signatures_: NDArray[np.float64] = self._means(profiles[:, chosen], labels)
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
            Read-only; rows sum to 1. A spot without a single count of a marker says nothing
            about its cells: all types share it equally.

        Raises
        ------
        InputError
            If it is not fitted, or half of the markers are missing.
        """
        if not hasattr(self, "signatures_"):
            raise InputError("this TypeComposition is not fitted; fit it on a reference first")
        spots = Profiles.read(source, "spots")
        logs, present = spots.log_of(self.genes_)
        if present.mean() < MIN_MARKERS:
            raise InputError(
                f"{spots.where} has {present.sum()} of {len(present)} marker genes (wanted like "
                f"{self.genes_[0]!r}, it has {spots.examples}); use one naming for both"
            )
        signatures = self.signatures_[:, present].T
        weights = 1 / np.sqrt(signatures.mean(axis=1) + BACKGROUND)
        # The rotation leaves distances, so the small triangular system has the same solution.
        rotation, system = np.linalg.qr(signatures * weights[:, None])
        targets = (np.expm1(logs[:, present].astype(np.float64)) * weights) @ rotation
        amounts = np.stack([nnls(system, target)[0] for target in targets])
        totals = amounts.sum(axis=1, keepdims=True)
        even = np.full_like(amounts, 1 / len(self.type_names))
        return finite_matrix(
            np.divide(amounts, totals, out=even, where=totals > 0), f"{spots.where} composition"
        )

    def save(self, path: str | Path) -> None:
        """Write everything learned to one ``.safetensors`` file."""
        settings = {
            "n_markers": self.n_markers,
            "type_names": self.type_names,
            "genes": self.genes_,
        }
        save_arrays(path, KIND, settings, {"signatures": self.signatures_})

    def _means(self, profiles: csr_matrix, labels: NDArray[np.str_]) -> NDArray[np.float64]:
        rows = [profiles[np.flatnonzero(labels == name)] for name in self.type_names]
        return np.stack([np.asarray(group.mean(axis=0)).ravel() for group in rows])

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the composition that :meth:`save` wrote."""
        settings, arrays = load_arrays(path, KIND)
        composition = cls(settings["n_markers"])
        composition.type_names = tuple(settings["type_names"])
        composition.genes_ = settings["genes"]
        composition.signatures_ = arrays["signatures"]
        return composition


def _markers(mean_logs: NDArray[np.float64], n_markers: int) -> list[int]:
    """Columns in which a type's mean exceeds all others' most, n_markers per type, sorted."""
    chosen: set[int] = set()
    for row, mean in enumerate(mean_logs):
        excess = mean - np.delete(mean_logs, row, axis=0).max(axis=0)
        ranked = np.argsort(-excess, kind="stable")[:n_markers]
        chosen.update(ranked[mean[ranked] > 0].tolist())
    return sorted(chosen)
