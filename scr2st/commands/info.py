"""``scr2st info``: what a file holds, and what it still lacks."""

from math import prod
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from scr2st.outputs import must_be_file
from scr2st.spaces import KINDS, space_key, space_of
from scr2st_env.errors import InputError

MAX_SHOWN = 12
Lines = list[tuple[str, str]]  # what, and what is known about it


def info(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A slide or reference (.h5ad), or a saved agent or predictor."
        ),
    ],
) -> None:
    """Say what a slide, reference or agent file holds, what it lacks, and what makes that.

    Example: `scr2st info C2.h5ad`
    """
    must_be_file(file, "an .h5ad file or a trained agent")
    if file.suffix == ".safetensors":
        show(describe_saved(file))
        return
    from scr2st_env.anndata_io import read_h5ad

    adata, _ = read_h5ad(file)
    show(describe_slide(adata, file) if "spatial" in adata.obsm else describe_cells(adata, file))


def show(lines: Lines) -> None:
    """Print the lines in two columns, as they are: a bracket is no markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for what, known in lines:
        table.add_row(what, known)
    Console(markup=False, highlight=False).print(table)


def describe_slide(adata: Any, file: Path) -> Lines:
    """Describe an AnnData object that has positions.

    Parameters
    ----------
    adata
        Of a slide.
    file
        Where it lies.

    Returns
    -------
    list of (str, str)
    """
    from scr2st_env.slide import Slide

    try:
        slide = Slide.from_anndata(adata, name=file.stem, features=None, live=True)
    except InputError as error:
        return [("slide", f"unusable: {error}")]
    unit = "um" if _scale_is_known(adata) else "units of obsm['spatial'], whose scale is not stated"
    image = slide.public.image
    picture = "none" if image is None else "{1} x {0} pixels".format(*image.pixels.shape[:2])
    how = f"scr2st embed {file} --reference FILE"
    live = adata.n_vars == 0 or (adata.X is None and "counts" not in adata.layers)
    unneeded = "none, and none is needed to buy spots: nothing was measured yet"
    return [
        ("slide", f"{slide.name}: {slide.n_spots} spots of patient {slide.patient}"),
        ("positions", f"obsm['spatial'], {slide.public.pitch:.4g} {unit} from spot to spot"),
        ("tissue image", picture),
        ("counts", "none: nothing was measured yet" if live else _describe_counts(adata, file)),
        ("patch features", _describe_matrix(adata, "X_patch", f"scr2st features {file}")),
        ("embedding", unneeded if live else _describe_matrix(adata, "X_cell", how)),
        ("cell types", unneeded if live else _describe_matrix(adata, "X_type", how)),
        ("other obsm", _others(adata, {"spatial", "X_patch", "X_cell", "X_type"})),
    ]


def describe_cells(adata: Any, file: Path) -> Lines:
    """Describe an AnnData object without positions, as a reference.

    Parameters
    ----------
    adata
        Of single cells.
    file
        Where it lies.

    Returns
    -------
    list of (str, str)
    """
    types = "missing: name the obs column of the labels with --cell-type; there is " + (
        ", ".join(adata.obs.columns) or "none"
    )
    if "cell_type" in adata.obs:
        count = adata.obs["cell_type"].astype(str).value_counts()
        types = f"{len(count)} in obs['cell_type']: " + ", ".join(
            f"{name} {cells}" for name, cells in count.items()
        )
    how = f"scr2st embed SLIDE... --reference {file}"
    return [
        ("reference", f"{file.stem}: {adata.n_obs} cells x {adata.n_vars} genes"),
        ("to be a slide", "lacks obsm['spatial'], the positions of spots"),
        ("cell types", types),
        ("embedding", _describe_matrix(adata, "X_cell", how)),
        ("other obsm", _others(adata, {"X_cell"})),
    ]


def describe_saved(file: Path) -> Lines:
    """Describe a safetensors file from its header, loading no tensor.

    Parameters
    ----------
    file
        An agent or embedder.

    Returns
    -------
    list of (str, str)

    Raises
    ------
    InputError
        If it is none of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as saved:
            metadata = saved.metadata() or {}
            shapes = {name: saved.get_slice(name).get_shape() for name in saved.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{file} is no whole safetensors file ({error}); make it again") from error
    kind, settings = _saved_settings(metadata)
    if not kind:
        raise InputError(
            f"{file} was not written by scr2st; name a slide, reference, agent or predictor"
        )
    lines = [(kind, str(file)), *_flat(settings)]
    if kind in KINDS:
        lines.append(("space", space_of(file)))
    numbers = sum(prod(shape) for shape in shapes.values())
    return [*lines, ("numbers", f"{numbers:,} in {len(shapes)} arrays")]


def _saved_settings(metadata: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return what the file is, and its settings; nothing where it is none of ours."""
    import json

    from scr2st_env.embedders.storage import about

    kind, settings = about(metadata)
    if kind:
        return kind, settings
    for key, text in metadata.items():
        if key.startswith("scr2st_"):
            return key.removeprefix("scr2st_").replace("_", " "), json.loads(text)
    return "", {}


def _flat(values: dict[str, Any], prefix: str = "") -> Lines:
    lines: Lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append((f"  {prefix}{key}", _shown(value)))
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, list):
        return str(value)
    first = ", ".join(map(str, value[:MAX_SHOWN]))
    return first if len(value) <= MAX_SHOWN else f"{first}, ... ({len(value)} in all)"


def _scale_is_known(adata: Any) -> bool:
    from scr2st_env.anndata_io import micrometres_per_unit

    return micrometres_per_unit(adata) is not None


def _describe_counts(adata: Any, file: Path) -> str:
    import numpy as np

    from scr2st_env.anndata_io import raw_counts
    from scr2st_env.counts import MIN_COUNTS

    try:
        totals = np.asarray(raw_counts(adata, str(file)).sum(axis=1)).ravel()
    except InputError as error:
        return f"unusable: {error}"
    poor = int((totals < MIN_COUNTS).sum())
    return f"{adata.n_vars} genes, median {np.median(totals):.0f} counts a spot" + (
        f"; never bought, having fewer than {MIN_COUNTS}: {poor}" if poor else ""
    )


def _describe_matrix(adata: Any, key: str, command: str) -> str:
    if key not in adata.obsm:
        return f"obsm['{key}'] is missing; make it with: {command}"
    by = adata.uns.get(f"{key}_encoder")
    names = adata.uns.get(f"{key}_names")
    space = adata.uns.get(space_key(key))
    note = f", by {by}" if by else f": {', '.join(map(str, names))}" if names is not None else ""
    where = f", space {space}" if space else ""
    return f"obsm['{key}'], {adata.obsm[key].shape[1]} columns{note}{where}"


def _others(adata: Any, known: set[str]) -> str:
    return (
        ", ".join(
            f"{key} ({adata.obsm[key].shape[1]})" for key in sorted(adata.obsm) if key not in known
        )
        or "none"
    )
