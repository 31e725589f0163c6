"""Embedding and composition put into a copy of an AnnData object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.anndata_io import read_h5ad

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from scr2st_env.embedders.base import CellEmbedder, Platform
    from scr2st_env.embedders.nearest_types import SpotTyping


def embed_anndata(
    source: AnnData | str | Path,
    embedder: CellEmbedder,
    composition: SpotTyping | None = None,
    *,
    platform: Platform = "spots",
) -> AnnData:
    """Return a copy with the embedding in ``obsm["X_cell"]``.

    Parameters
    ----------
    source
        A slide or a reference, with raw counts; never modified.
    embedder
        A fitted embedder.
    composition
        Fitted; its shares go to ``obsm["X_type"]`` and their names to ``uns["X_type_names"]``.
        None for a reference, whose cells have a type each.
    platform
        ``"spots"`` for a slide, ``"cells"`` for a reference.

    Returns
    -------
    AnnData

    Raises
    ------
    InputError
        If something is not fitted, or the genes do not fit.
    """
    adata, _ = read_h5ad(source)
    result = adata.copy()
    result.obsm["X_cell"] = np.array(embedder.transform(adata, platform))
    if composition is not None:
        result.obsm["X_type"] = np.array(composition.transform(adata))
        result.uns["X_type_names"] = list(composition.type_names)
    return result
