"""AnnData in, checked arrays out; complaints name the file, what it lacks and how to make it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.arrays import BoolArray, every, freeze_in_place, frozen, is_count
from scr2st_env.counts import MIN_COUNTS, checked_counts
from scr2st_env.errors import InputError
from scr2st_env.files import existing_file

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def read_h5ad(source: AnnData | str | Path) -> tuple[AnnData, str]:
    """Open an AnnData source.

    Parameters
    ----------
    source
        An AnnData object, returned as it is, or the path of an ``.h5ad`` file.

    Returns
    -------
    tuple of AnnData and str
        The object, and how to call it in messages: the path, or ``"AnnData"``.

    Raises
    ------
    InputError
        If the source is neither, or the file does not exist or is not an AnnData file.
    """
    import anndata  # a second of imports that a slide read through its sidecar does without

    if isinstance(source, anndata.AnnData):
        return source, "AnnData"
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"cannot read an object of type {type(source).__name__}; pass an AnnData object or the "
            "path of an .h5ad file"
        )
    path = existing_file(source)
    try:
        return anndata.read_h5ad(path), str(path)
    except Exception as error:  # h5py and anndata raise half a dozen types for a foreign file
        raise InputError(
            f"{path} is not an AnnData .h5ad file ({error}); write one with anndata's write_h5ad()"
        ) from error


def raw_counts(adata: AnnData, where: str, layer: str | None = None) -> Any:
    """Return the raw counts: ``layers[layer]``, else ``layers["counts"]``, else ``X``.

    Raises
    ------
    InputError
        If there are none, or they are negative, not finite, or not whole numbers.
    """
    if layer is not None and layer not in adata.layers:
        raise InputError(f"{where} has no layers[{layer!r}]; it has {sorted(adata.layers)}")
    chosen = layer or ("counts" if "counts" in adata.layers else None)
    values = adata.X if chosen is None else adata.layers[chosen]
    if values is None:
        raise InputError(f"{where} has no counts in X or layers['counts']")
    counts = checked_counts(values, where)
    if not every(counts.data, lambda values: values == np.rint(values)):
        place = "X" if chosen is None else f"layers[{chosen!r}]"
        raise InputError(
            f"{where} holds fractions in {place}, not raw counts; put raw counts into "
            "layers['counts']"
        )
    return counts


def cell_type_labels(adata: AnnData, column: str, where: str) -> list[str]:
    """Return the cell type of each cell of an atlas, (M,).

    Raises
    ------
    InputError
        If there is no such column in ``obs``, or a cell has no label in it.
    """
    if column not in adata.obs:
        have = ", ".join(adata.obs.columns) or "no columns"
        raise InputError(
            f"{where} has no obs[{column!r}]; it has {have}; store the cell types there or name "
            "their column with cell_type="
        )
    labels = adata.obs[column]
    n_missing = int(labels.isna().sum())
    if n_missing:
        raise InputError(
            f"{where} has {n_missing} of {len(labels)} cells without a label in obs[{column!r}]; "
            f"label them, or drop them: adata[adata.obs[{column!r}].notna()]"
        )
    return list(labels.astype(str))


def _matrix(adata: AnnData, key: str, where: str, how: str) -> Any:
    if key not in adata.obsm:
        have = ", ".join(sorted(adata.obsm)) or "none"
        raise InputError(f"{where} has no obsm[{key!r}] (it has: {have}); {how}")
    values = adata.obsm[key]
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def micrometres_per_unit(adata: AnnData) -> float | None:
    """Return the scale of ``obsm["spatial"]`` where ``uns["spatial"]`` states it, else None."""
    for library in dict(adata.uns.get("spatial", {})).values():
        metadata, factors = library.get("metadata", {}), library.get("scalefactors", {})
        scale = metadata.get("um_per_px_fullres") or factors.get("microns_per_pixel")
        if scale:
            return float(scale)
    return None


def _image(adata: AnnData, unit: float) -> tuple[NDArray[np.uint8], float] | None:
    for library in dict(adata.uns.get("spatial", {})).values():
        for kind in ("hires", "lowres"):
            pixels = library.get("images", {}).get(kind)
            factor = library.get("scalefactors", {}).get(f"tissue_{kind}_scalef")
            if pixels is not None and factor:
                array = np.asarray(pixels)
                if array.dtype != np.uint8:  # scanpy keeps floats in 0..1
                    array = (np.clip(array, 0, 1) * 255).astype(np.uint8)
                return frozen(array[..., :3]), float(factor) / unit
    return None


def _read_frozen(source: AnnData | str | Path) -> tuple[AnnData, str]:
    """Open a source; what comes from a file is nobody else's: frozen, it is not copied later."""
    adata, where = read_h5ad(source)
    if adata is not source:
        for table in (adata.X, *adata.layers.values(), *adata.obsm.values()):
            freeze_in_place(table)
    return adata, where


def slide_arrays(
    source: AnnData | str | Path,
    *,
    features: str | None = "X_patch",
    embedding: str | None = "X_cell",
    types: str | None = "X_type",
    spatial: str = "spatial",
    layer: str | None = None,
    min_counts: int = MIN_COUNTS,
    name: str | None = None,
    patient: str | None = None,
    live: bool = False,
) -> dict[str, Any]:
    """Read what :meth:`scr2st_env.Slide.make` needs from an AnnData object or ``.h5ad`` file.

    Parameters
    ----------
    source
        An AnnData object or a path; never modified.
    features
        ``obsm`` key of the patch features; None for an image-free slide.
    embedding
        ``obsm`` key of the spots' images in the reference's space; None to do without.
    types
        ``obsm`` key of the cell-type composition, its names in ``uns[types + "_names"]`` (or the
        columns of a data frame); None to do without.
    spatial
        ``obsm`` key of the positions (x, y).
    layer
        Layer of the raw counts; default ``layers["counts"]``, else ``X``.
    min_counts
        A spot with fewer counts failed sequencing and cannot be bought: it would reveal nothing.
        This quality control of the archive makes the public ``measurable`` follow from hidden
        counts; with 0 every spot can be bought and nothing public follows from them.
    name
        Default: the file's stem, else the only key of ``uns["spatial"]``.
    patient
        Default: ``obs["patient"]`` where it has one value (missing ones left aside), else the
        slide's name.
    live
        Read no expression, even where there is some. A source with neither counts nor anything
        derived from them is live without being told.

    Returns
    -------
    dict
        Keyword arguments of :meth:`scr2st_env.Slide.make`; ``image`` is (pixels, scale) or None.

    Raises
    ------
    InputError
        Naming what is missing, in which file, and how to make it.
    """
    adata, where = _read_frozen(source)
    libraries = list(adata.uns.get("spatial", {}))
    if name is None:
        named = libraries[0] if len(libraries) == 1 else None
        name = Path(where).stem if where != "AnnData" else named
        if name is None:
            raise InputError(
                "this AnnData has no single key in uns['spatial'], the section's name; add one, or "
                "use Slide.from_anndata(adata, name=...)"
            )
    where = f"slide {name!r}" + (f" ({where})" if where != "AnnData" else "")
    xy = _positions(adata, spatial, where)
    unit = micrometres_per_unit(adata) if spatial == "spatial" else None
    unit = unit or 1.0
    patch = None
    if features is not None:
        patch = _matrix(
            adata, features, where, "run 'scr2st features' or name a key with features="
        )
    arrays: dict[str, Any] = {
        "name": name,
        "coordinates": xy * unit,
        "features": patch,
        "spot_names": adata.obs_names.tolist(),
        "patient": patient or _single(adata, "patient") or "",
        "encoder": str(adata.uns.get(f"{features}_encoder", "")),
        "image": _image(adata, unit),
    }
    if live:
        return arrays
    stored = adata.X is not None or "counts" in adata.layers or layer is not None
    if not stored or adata.n_vars == 0:
        _refuse_without_counts(adata, where, embedding, types)
        return arrays
    counts = raw_counts(adata, where, layer)
    measurable = _measurable(counts, min_counts, where)
    how = "run 'scr2st embed' or name a key with"
    if embedding is not None:
        arrays["embedding"] = _matrix(adata, embedding, where, f"{how} embedding=")
    if types is not None:
        arrays["types"] = _matrix(adata, types, where, f"{how} types=")
        columns = getattr(adata.obsm[types], "columns", None)
        labels = adata.uns.get(f"{types}_names", columns)
        if labels is None:
            raise InputError(
                f"{where} has no uns['{types}_names']; store the names of the cell types there, in "
                f"the order of the columns of obsm[{types!r}]"
            )
        arrays["type_names"] = [str(label) for label in labels]
    return arrays | {
        "counts": counts,
        "genes": adata.var_names.tolist(),
        "measurable": measurable,
    }


def _positions(adata: AnnData, spatial: str, where: str) -> NDArray[Any]:
    if adata.n_obs == 0:
        raise InputError(f"{where} has no spots; filter it less")
    xy = np.asarray(_matrix(adata, spatial, where, "store the positions (x, y) of the spots there"))
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise InputError(
            f"{where}: obsm[{spatial!r}] has shape {xy.shape}; store two columns, (x, y), there"
        )
    return xy


def _measurable(counts: Any, min_counts: int, where: str) -> BoolArray:
    if not is_count(min_counts, 0):
        raise InputError(f"min_counts must be a count >= 0, got {min_counts!r}")
    enough: BoolArray = np.asarray(counts.sum(axis=1)).ravel() >= min_counts
    if not enough.any():
        raise InputError(
            f"{where} has no spot with {min_counts} counts or more; lower min_counts (0 lets every "
            "spot be bought)"
        )
    return enough


def _refuse_without_counts(
    adata: AnnData, where: str, embedding: str | None, types: str | None
) -> None:
    found = [f"obsm[{key!r}]" for key in (embedding, types) if key in adata.obsm]
    found += [f"{adata.n_vars} genes"] if adata.n_vars else []
    if found:
        raise InputError(
            f"{where} has {found[0]} but no counts in X or layers['counts']; add them (layer= "
            "names another layer), or read the slide as one not sequenced yet with "
            "Slide.from_anndata(..., live=True)"
        )


def _single(adata: AnnData, column: str) -> str | None:
    if column not in adata.obs:
        return None
    values = adata.obs[column].dropna().astype(str).unique()
    return str(values[0]) if len(values) == 1 else None
