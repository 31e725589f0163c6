"""Patch features put into a copy of an AnnData object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.anndata_io import read_h5ad
from scr2st_env.encoders.base import get_encoder
from scr2st_env.encoders.cache import encode_cached
from scr2st_env.errors import InputError
from scr2st_env.patches.jpeg_file import patches_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scr2st_env.encoders.base import PatchEncoder
    from scr2st_env.patches.source import PatchSource


def featurise_anndata(
    source: AnnData | str | Path,
    patches: PatchSource | str | Path,
    encoder: PatchEncoder | str = "histology-v1",
    *,
    key: str = "X_patch",
    folder: str | Path | None = None,
    n_jobs: int = 1,
) -> AnnData:
    """Return a copy with the encoded patches in ``obsm``.

    Parameters
    ----------
    source
        The section; never modified.
    patches
        One patch per spot, in the order of ``obs_names``, or a file of patches.
    encoder
        An encoder or its name.
    key
        Where in ``obsm`` the features go; the encoder's name goes to ``uns[key + "_encoder"]``.
    folder, n_jobs
        See :func:`scr2st_env.encoders.encode_cached`.

    Returns
    -------
    AnnData

    Raises
    ------
    InputError
        If patches and spots differ in number, or the patches cannot be read.
    """
    adata, where = read_h5ad(source)
    pictures = (
        patches_of(patches, adata.obs_names.tolist())
        if isinstance(patches, str | Path)
        else patches
    )
    if len(pictures) != adata.n_obs:
        raise InputError(f"{where} has {adata.n_obs} spots, but there are {len(pictures)} patches")
    chosen = get_encoder(encoder) if isinstance(encoder, str) else encoder
    features = encode_cached(chosen, pictures, folder, n_jobs=n_jobs)
    result = adata.copy()
    result.obsm[key] = np.array(features)
    result.uns[f"{key}_encoder"] = chosen.name
    return result
