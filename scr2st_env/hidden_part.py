"""The part of a slide that only sequencing reveals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scr2st_env.arrays import FloatArray, Shared, finite_matrix, frozen
from scr2st_env.counts import checked_counts, checked_types, frozen_counts, mapped_counts
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_matrix

    from scr2st_env.sidecar import Tree


@dataclass(frozen=True, eq=False)
class HiddenPart(Shared):
    """What sequencing reveals of a slide, spot by spot.

    Parameters
    ----------
    counts
        Raw counts, CSR, (N, G).
    genes
        G gene names.
    embedding
        Image of each spot's expression in the reference's space, float32, (N, E), or None.
    types
        Cell-type composition of each spot, rows sum to 1, float32, (N, T), or None.
    type_names
        T names, in the order of the columns of ``types``.
    """

    counts: csr_matrix  # (N, G)
    genes: NDArray[np.str_]  # (G,)
    embedding: FloatArray | None = None  # (N, E)
    types: FloatArray | None = None  # (N, T)
    type_names: tuple[str, ...] = ()

    @classmethod
    def make(
        cls,
        n_spots: int,
        where: str,
        counts: Any,
        genes: Sequence[str] | None,
        embedding: ArrayLike | None,
        types: ArrayLike | None,
        type_names: Sequence[str],
    ) -> Self:
        """Check the hidden arrays of :meth:`scr2st_env.Slide.make`; ``where`` begins an error."""
        matrix = checked_counts(counts, where)
        if matrix.shape[0] != n_spots:
            raise InputError(f"{where} counts have {matrix.shape[0]} rows for {n_spots} spots")
        names = _gene_names(genes, matrix.shape[1], where)
        composition: FloatArray | None = None
        labels: tuple[str, ...] = ()
        if types is not None:
            composition, labels = checked_types(types, type_names, n_spots, where)
        if embedding is not None:
            embedding = finite_matrix(embedding, f"{where} embedding", n_spots)
        return cls(frozen_counts(matrix), names, embedding, composition, labels)

    @classmethod
    def restored(cls, tree: Tree) -> Self:
        """Return the part whose fields a sidecar kept."""
        labels = tuple(tree["type_names"])
        return cls(**tree | {"counts": mapped_counts(**tree["counts"]), "type_names": labels})


def _gene_names(genes: Sequence[str] | None, n_genes: int, where: str) -> NDArray[np.str_]:
    names = np.asarray([] if genes is None else genes, dtype=np.str_)
    if names.shape != (n_genes,):
        raise InputError(f"{where} {names.size} gene names for {n_genes} columns of counts")
    if np.unique(names).size < names.size:
        raise InputError(f"{where} gene names repeat; use AnnData.var_names_make_unique()")
    return frozen(names)
