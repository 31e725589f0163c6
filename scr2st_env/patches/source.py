"""Where the patches of an AnnData object come from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scr2st_env.anndata_io import micrometres_per_unit, read_h5ad
from scr2st_env.errors import InputError
from scr2st_env.patches.jpeg_file import patches_of
from scr2st_env.patches.section_image import image_patches, open_image

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.patches.pyramid import Pyramid

SPOT_DIAMETERS = 1.5  # side of a patch: the spot and some of what surrounds it
OUT_PX = 224


class PatchSource(Protocol):
    """Patches that can be read in slices; an array of them is one."""

    def __len__(self) -> int:
        """Return the number of patches."""
        ...

    def __getitem__(self, part: slice, /) -> NDArray[np.uint8]:
        """Return some patches, uint8 (n, height, width, 3)."""
        ...


def patches_for(
    source: AnnData | str | Path,
    *,
    patches: str | Path | None = None,
    image: Pyramid | NDArray[np.uint8] | str | Path | None = None,
    size_um: float | None = None,
    um_per_px: float | None = None,
    out_px: int = OUT_PX,
) -> PatchSource:
    """Find the patches of a section's spots.

    The first of these that there is: the file named by ``patches``; the full-resolution
    ``image``; the small picture inside the ``.h5ad`` itself, with a warning that it is coarse.

    Parameters
    ----------
    source
        The section; ``obsm["spatial"]`` holds pixels (x, y) of the full-resolution image.
    patches
        A file for :func:`scr2st_env.patches.read_patches`.
    image
        The full-resolution image: an array, or a file for :func:`scr2st_env.patches.open_image`.
    size_um
        Side of a patch in micrometres; default 1.5 spot diameters.
    um_per_px
        Micrometres per pixel of the patches, where they are cut from an image: decides
        ``out_px``. A pathology model takes what it was trained on (.5 in most cases).
    out_px
        Side of the patches in pixels, where they are cut from an image.

    Returns
    -------
    PatchSource
        As many patches as spots, in the order of ``obs_names``.

    Raises
    ------
    InputError
        If two sources are named, or what is needed is missing.
    """
    adata, where = read_h5ad(source)
    if patches is not None and image is not None:
        raise InputError("name patches or an image, not both")
    if patches is not None:
        return patches_of(patches, adata.obs_names.tolist())
    if "spatial" not in adata.obsm:
        raise InputError(f"{where} has no obsm['spatial']; store pixel positions (x, y) there")
    centres = np.asarray(adata.obsm["spatial"], np.float64)[:, :2]
    library = _library(adata, where)
    pyramid = open_image(image) if isinstance(image, str | Path) else image
    stated = None if pyramid is None or isinstance(pyramid, np.ndarray) else pyramid.um_per_px
    scale = micrometres_per_unit(adata) or stated
    size = _size_px(library, scale, size_um, where)
    if um_per_px is not None:
        if not um_per_px > 0:
            raise InputError(f"um_per_px must be positive, got {um_per_px}")
        out_px = max(1, round(size * _known(scale, where) / um_per_px))
    if pyramid is not None:
        return image_patches(pyramid, centres, size, out_px)
    factors = library.get("scalefactors", {})
    picture, factor = library.get("images", {}).get("hires"), factors.get("tissue_hires_scalef")
    if picture is None or not factor:
        raise InputError(
            f"{where} holds no picture (uns['spatial'][...]['images']['hires'] with its "
            "tissue_hires_scalef); name a file of patches or the full-resolution image"
        )
    pixels = np.asarray(picture)[..., :3]
    if pixels.dtype != np.uint8:  # scanpy keeps floats in 0..1
        pixels = (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    warnings.warn(
        f"{where}: patches are cut from the small picture inside the file, {size * factor:.0f} "
        f"pixels across instead of {size:.0f}; name the full-resolution image for better features",
        stacklevel=2,
    )
    return image_patches(pixels, centres * factor, size * factor, out_px)


def _library(adata: AnnData, where: str) -> dict[str, Any]:
    libraries = list(dict(adata.uns.get("spatial", {})).values())
    if len(libraries) != 1:
        raise InputError(
            f"{where} has {len(libraries)} libraries in uns['spatial']; split the file into one "
            "per section, with its scale factors"
        )
    return dict(libraries[0])


def _size_px(
    library: dict[str, Any], scale: float | None, size_um: float | None, where: str
) -> float:
    """Side of a patch in full-resolution pixels."""
    if size_um is not None:
        return size_um / _known(scale, where)
    diameter = library.get("scalefactors", {}).get("spot_diameter_fullres")
    if not diameter:
        raise InputError(
            f"{where} has no spot_diameter_fullres in its scalefactors; say how large a patch is "
            "with size_um="
        )
    return SPOT_DIAMETERS * float(diameter)


def _known(scale: float | None, where: str) -> float:
    if scale is None:
        raise InputError(
            f"{where} does not state its scale, nor does an image; store micrometres per pixel in "
            "uns['spatial'][library]['metadata']['um_per_px_fullres']"
        )
    return scale
