"""What stands behind a prediction, so that a biologist can look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from predictor.scr2net.experts import Retrieval
from predictor.scr2net.retrieval import Neighbourhood
from predictor.scr2net.training import embed_images

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from predictor.base import Matrix
    from predictor.cohort import Cohort
    from predictor.reference_cells import NearestCells

    Array = NDArray[np.float32]
    Names = NDArray[np.str_]


@dataclass(frozen=True)
class Support(Neighbourhood):
    """The spots retrieved for n queries, the most similar first, and cells like the prediction.

    Parameters
    ----------
    similarity
        Cosine of each neighbour with the image of the query in the shared space, (n, k).
    kept
        Whether the majority filter let it count, (n, k).
    names
        Of the spots, (n, k).
    slides
        Slide of the cohort that a spot is of, "" for a measured spot of the slide at hand, (n, k).
    types
        Most frequent cell type of each spot, by name or else by number; "" where unknown, (n, k).
    cells
        Cells of a reference, where one was given.
    """

    similarity: Array
    kept: NDArray[np.bool_]
    names: Names
    slides: Names
    types: Names
    cells: NearestCells | None = None

    def table(self) -> pd.DataFrame:
        """Return everything as one table.

        Returns
        -------
        pandas.DataFrame
            Columns query, rank, source ("measured", the cohort's slide, or "reference"), index,
            name, type, similarity, weight and kept.
        """
        import pandas as pd

        sources = np.where(self.slides == "", "measured", self.slides)
        parts = [
            _rows(self.indices, self.names, self.types, self.similarity, sources).assign(
                weight=self.weights.ravel(), kept=self.kept.ravel()
            )
        ]
        if self.cells is not None:
            cells = self.cells
            source = np.full(cells.indices.shape, "reference")
            rows = _rows(cells.indices, cells.names, cells.types, cells.similarity, source)
            each = 1 / cells.indices.shape[1]
            parts.append(rows.assign(weight=np.float32(each), kept=True))
        return pd.concat(parts, ignore_index=True)


def bank_rows(
    measured: Sequence[str], cohort: Cohort | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return name and slide of every row of a retrieval's bank.

    Parameters
    ----------
    measured
        Names of the measured spots, which come first; their slide is "".
    cohort
        Whose spots come next, where they serve.
    """
    names, slides = tuple(measured), ("",) * len(measured)
    if cohort is None:
        return names, slides
    others, groups = np.asarray(cohort.spot_names), np.asarray(cohort.groups).astype(str)
    return (*names, *others.tolist()), (*slides, *groups.tolist())


def support_of(
    retrieval: Retrieval,
    features: Matrix,
    names: Sequence[str],
    slides: Sequence[str],
    type_names: Sequence[str],
) -> Support:
    """Ask a retrieval about spots.

    Parameters
    ----------
    retrieval
        The expert.
    features
        Of the spots, (n, D).
    names, slides
        Of the rows of its bank.
    type_names
        Of its types; may be none.

    Returns
    -------
    Support
    """
    bank, found = retrieval.bank, retrieval.neighbours(features)
    queries = embed_images(retrieval.network, features.astype(np.float32))
    similarity = np.stack(  # neighbour by neighbour, so that no (n, k, d) array is ever made
        [(queries * bank.keys[column]).sum(axis=1) for column in found.indices.T], axis=1
    )
    types = np.full(found.indices.shape, "")
    if bank.types is not None:
        codes = bank.types[found.indices]
        types = np.asarray(type_names)[codes] if len(type_names) else codes.astype(str)
    return Support(
        found.indices,
        found.weights,
        found.confidence,
        similarity,
        found.weights > 0,
        np.asarray(names)[found.indices],
        np.asarray(slides)[found.indices],
        types,
    )


def _rows(
    indices: NDArray[np.int64], names: Names, types: Names, similarity: Array, sources: Names
) -> pd.DataFrame:
    import pandas as pd

    n_queries, n_found = indices.shape
    return pd.DataFrame(
        {
            "query": np.repeat(np.arange(n_queries), n_found),
            "rank": np.tile(np.arange(n_found), n_queries),
            "source": sources.ravel(),
            "index": indices.ravel(),
            "name": names.ravel(),
            "type": types.ravel(),
            "similarity": similarity.ravel(),
        }
    )
