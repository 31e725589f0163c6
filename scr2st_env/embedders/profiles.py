"""Expression profiles of cells and spots over one list of genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scr2st_env.anndata_io import raw_counts, read_h5ad
from scr2st_env.counts import COUNTS_PER, checked_counts, log_normalise
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.embedders.base import Platform

MIN_SHARED = 50
MAX_MISSING = 0.2  # share of an embedder's genes that a slide may lack
LARGEST_LOGARITHM = 20.0  # log1p of 485 million: fractions below it are logarithms, not TPM


@dataclass(frozen=True, eq=False)
class Profiles:
    """Non-negative expression, (n, G), with gene names, and what to call it in messages."""

    values: sparse.csr_matrix  # (n, G)
    genes: NDArray[np.str_]  # (G,)
    where: str

    @property
    def totals(self) -> NDArray[np.float64]:
        """Sum of each row over all genes, (n,)."""
        return np.asarray(self.values.sum(axis=1), np.float64).ravel()

    @property
    def examples(self) -> str:
        """Two gene names, which show how genes are named here."""
        return ", ".join(repr(gene) for gene in self.genes[:2].tolist())

    @classmethod
    def read(cls, source: AnnData | str | Path, platform: Platform) -> Profiles:
        """Read ``layers["counts"]``, else ``X``.

        Parameters
        ----------
        source
            AnnData or path; never modified.
        platform
            ``"spots"`` must hold raw counts; ``"cells"`` may hold TPM in some rows, as atlases
            joined from several studies do.

        Returns
        -------
        Profiles

        Raises
        ------
        InputError
            If values are negative, not finite or logarithms, or gene names repeat.
        """
        adata, place = read_h5ad(source)
        where = f"{platform} ({place})"
        if not adata.var_names.is_unique:
            raise InputError(f"{where} gene names repeat; use AnnData.var_names_make_unique()")
        values: Any
        if platform == "spots":
            values = raw_counts(adata, where)
        elif "counts" in adata.layers or adata.X is not None:
            values = checked_counts(adata.layers.get("counts", adata.X), where)
            _refuse_logarithms(values.data, where)
        else:
            raise InputError(f"{where} has no counts in X or layers['counts']")
        return cls(values, np.asarray(adata.var_names, np.str_), where)

    def log_of(self, genes: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return log1p(CP10k) of named genes, normalised by the totals over all genes.

        Parameters
        ----------
        genes
            g names.

        Returns
        -------
        tuple of ndarray of float32, shape (n, g), and of bool, shape (g,)
            Zeros in the columns of genes that are missing here, and which are present.
        """
        column = {gene: index for index, gene in enumerate(self.genes.tolist())}
        present = np.array([gene in column for gene in genes], bool)
        chosen = [column[gene] for gene in genes if gene in column]
        values = np.zeros((self.values.shape[0], len(genes)), np.float32)
        values[:, present] = log_normalise(self.values[:, chosen], self.totals)
        return values, present

    def per_10k(self) -> sparse.csr_matrix:
        """Return CP10k of every gene, (n, G); a row without counts stays zero."""
        totals = self.totals
        factors = np.divide(COUNTS_PER, totals, out=np.zeros_like(totals), where=totals > 0)
        return sparse.diags_array(factors).dot(self.values.astype(np.float64))

    def log_variance(self) -> NDArray[np.float64]:
        """Return the variance of log1p(CP10k) of every gene over the rows, (G,)."""
        logs = self.per_10k().log1p()
        mean = np.asarray(logs.mean(axis=0)).ravel()
        mean_square = np.asarray(logs.multiply(logs).mean(axis=0)).ravel()
        variance: NDArray[np.float64] = np.maximum(mean_square - mean**2, 0)
        return variance


def _refuse_logarithms(values: NDArray[Any], where: str) -> None:
    fractions = values.size > 0 and not np.array_equal(values, np.rint(values))
    if fractions and values.max() < LARGEST_LOGARITHM:
        raise InputError(
            f"{where} looks log-transformed (fractions up to {values.max():.1f}); put raw counts "
            "into layers['counts']"
        )


def shared_genes(reference: Profiles, slides: Sequence[Profiles]) -> list[str]:
    """Return the genes of the reference that every slide has, in the reference's order.

    Raises
    ------
    InputError
        If they are fewer than 50: the two probably name genes differently.
    """
    for slide in slides:
        common = np.isin(reference.genes, slide.genes).sum()
        if common < MIN_SHARED:
            raise InputError(
                f"{reference.where} and {slide.where} share {common} genes, too few (names like "
                f"{reference.examples} against {slide.examples}); use one naming for both"
            )
    names = set(reference.genes.tolist()).intersection(*(s.genes.tolist() for s in slides))
    if len(names) < MIN_SHARED:
        raise InputError(
            f"only {len(names)} genes are in {reference.where} and in all of {len(slides)} slides; "
            f"{MIN_SHARED} are needed"
        )
    return [gene for gene in reference.genes.tolist() if gene in names]


def most_variable(cells: Profiles, genes: Sequence[str], n_genes: int) -> list[str]:
    """Return those of some genes that vary most over the cells, the most variable first."""
    variance = dict(zip(cells.genes.tolist(), cells.log_variance().tolist(), strict=True))
    ranked = sorted(genes, key=lambda gene: (-variance[gene], gene))
    return [gene for gene in ranked[:n_genes] if variance[gene] > 0]
