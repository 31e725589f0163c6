"""``python -m scr2st_env.synthetic``: remake the embedded tissue, write it as .h5ad, check it."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich import print as show

from scr2st_env.errors import InputError
from scr2st_env.synthetic.tissue import SyntheticTissue

SECTIONS = 11


def main(
    output: Annotated[
        Path | None, typer.Option(help="Where to write the embedded files; default: the package.")
    ] = None,
    h5ad: Annotated[
        Path | None, typer.Option(help="Write .h5ad files and patches here instead.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Print how hard the tissue is, beside HER2ST.")
    ] = False,
    her2st: Annotated[
        Path | None,
        typer.Option(envvar="SCR2ST_DATA", help="Folder that holds her2st/, for --check."),
    ] = None,
    sections: Annotated[int, typer.Option(min=1, help="How many, with --h5ad.")] = SECTIONS,
    spots: Annotated[int, typer.Option(min=0, help="Per section; 0 draws 250 to 350.")] = 0,
    cells: Annotated[int, typer.Option(min=16, help="Of the reference, with --h5ad.")] = 1500,
    seed: Annotated[int, typer.Option(help="Of the tissue.")] = 0,
) -> None:
    """Remake the synthetic tissue that ships with the package."""
    tissue = SyntheticTissue(seed, n_spots=(spots, spots) if spots else (250, 350))
    try:
        if check:
            from scr2st_env.synthetic.calibration import comparison

            show(comparison(her2st))
        elif h5ad is not None:
            from scr2st_env.synthetic.making import write_h5ad

            for path in write_h5ad(tissue, h5ad, n_sections=sections, n_cells=cells):
                typer.echo(str(path))  # whole, however long: scripts read it
        else:
            from scr2st_env.synthetic.making import embed_tissue

            with as_file(files("scr2st_env") / "data") as packaged:
                embed_tissue(tissue, output or packaged)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
