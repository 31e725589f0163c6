"""The real sections: HER2-positive breast cancer (Andersson et al., Nature Communications 2021)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from scr2st_env.arrays import FloatArray
    from scr2st_env.encoders.base import PatchEncoder

IMAGED = ("A1", "B4", "C2", "C3", "C4", "C5", "C6")
SECTIONS = tuple(
    f"{patient}{number}"
    for patient, count in zip("ABCDEFGH", (6, 6, 6, 6, 3, 3, 3, 3), strict=True)
    for number in range(1, count + 1)
)
VARIABLE = "SCR2ST_DATA"


def data_folder() -> Path:
    """Return the folder that holds ``her2st/`` and ``reference/``.

    Named by the environment variable ``SCR2ST_DATA``, else ``../shared/data`` beside the checkout.

    Raises
    ------
    InputError
        If it is not there.
    """
    named = os.environ.get(VARIABLE)
    checkout = Path(__file__).resolve().parents[1]
    folder = Path(named) if named else checkout.parent / "shared" / "data"
    if not (folder / "her2st").is_dir():
        said = f"{VARIABLE}={named}" if named else f"{VARIABLE} is not set and {folder}"
        raise InputError(
            f"{said} holds no folder her2st/; set {VARIABLE} to the folder with the HER2ST sections"
        )
    return folder


def load_sections(names: Sequence[str], *, encoder: str | None = None) -> dict[str, AnnData]:
    """Read sections, and encode their H&E patches where asked to.

    Parameters
    ----------
    names
        Sections, such as ``("B4", "C2")``.
    encoder
        Name of the patch encoder, whose features go to ``obsm["X_patch"]``; None reads no image.
        Features are cached on disk by the content of the patches.

    Returns
    -------
    dict of str to AnnData
        In the order of ``names``.

    Raises
    ------
    InputError
        If there is no such section, or no patches of it.
    """
    from scr2st_env.anndata_io import read_h5ad
    from scr2st_env.encoders.base import get_encoder

    folder = data_folder() / "her2st"
    chosen = None if encoder is None else get_encoder(encoder)
    sections = {}
    for name in names:
        if name not in SECTIONS:
            raise InputError(f"HER2ST has no section {name!r}; it has {', '.join(SECTIONS)}")
        adata, _ = read_h5ad(folder / f"{name}.h5ad")
        if chosen is not None:
            path = folder / "patches" / f"{name}.npz"
            adata.obsm["X_patch"] = _features(path, adata, chosen)
            adata.uns["X_patch_encoder"] = chosen.name  # with the digest of its weights
        sections[name] = adata
    return sections


def load_atlas() -> AnnData:
    """Read the single-cell reference of human breast.

    Raises
    ------
    InputError
        If it is not in the data folder.
    """
    from scr2st_env.anndata_io import read_h5ad

    return read_h5ad(data_folder() / "reference" / "breast_sc_reference.h5ad")[0]


def _features(path: Path, adata: AnnData, encoder: PatchEncoder) -> FloatArray:
    from scr2st_env.encoders.cache import encode_cached
    from scr2st_env.patches.jpeg_file import patches_of

    if not path.is_file():
        raise InputError(f"{path} does not exist; only {', '.join(IMAGED)} have H&E patches")
    return encode_cached(encoder, patches_of(path, adata.obs_names.tolist()))
