"""``python -m benchmarks.predictors``: all predictors on the same bought spots, and their page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import print as show

from benchmarks.her2st import VARIABLE
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from benchmarks.predictors.parts import Part

MODULE = "python -m benchmarks.predictors"


def main(
    data: Annotated[
        Path | None, typer.Option(help="Folder with her2st/ and reference/.", envvar=VARIABLE)
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder of the results; an interrupted run continues there.")
    ] = Path("results/predictors"),
    markdown: Annotated[
        Path | None, typer.Option(help="Write the page and its tables into this folder.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Part to run, such as her2st-ablations; several times for several."),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Sets of spots bought at random, per section and budget.")
    ] = 3,
    synthetic_draws: Annotated[int, typer.Option(min=1, help="The same, on synthetic tissue.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Compare SCR2Net with its peers, and with itself with one part left out at a time."""
    from benchmarks.predictors.page import print_comparison, write_predictors
    from benchmarks.run import run_benchmark

    if data is not None:
        os.environ[VARIABLE] = str(data)
    settings = f"--draws {draws} --synthetic-draws {synthetic_draws}"
    command = " ".join([MODULE, settings, *(f"--only {name}" for name in only or ())])
    try:
        results = {}
        for part in _chosen(only, draws, synthetic_draws, jobs):
            show(f"[bold]{part.config.title}[/bold]")
            study = part.study(output)
            results[part.name] = run_benchmark(part.config, output / part.name, study=study)
            print_comparison(results[part.name])
        if markdown is not None:
            page = write_predictors(results, markdown, f"{command} --markdown {markdown}")
            show(f"wrote {page}")
    except InputError as error:
        show(f"[red]{error}[/red]")
        raise typer.Exit(2) from error


def _chosen(only: list[str] | None, draws: int, synthetic_draws: int, jobs: int) -> list[Part]:
    from benchmarks.predictors.parts import parts

    known = parts(draws, synthetic_draws, jobs)
    for name in only or ():
        if name not in known:
            raise InputError(f"there is no part {name!r}; there are {', '.join(known)}")
    return [known[name] for name in only or known]


if __name__ == "__main__":
    typer.run(main)
