"""``python -m benchmarks.signal``: measure what can be anticipated, and write it into the docs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from joblib import Parallel, delayed
from rich import print as show
from tqdm import tqdm

from benchmarks.her2st import VARIABLE
from benchmarks.signal.measuring import measure
from benchmarks.signal.report import around_marks, tables, write_between_marks
from benchmarks.signal.sections import her2st_folds, synthetic_folds
from scr2st_env.errors import InputError


def main(
    data: Annotated[
        Path | None, typer.Option(help="Folder with her2st/ and reference/.", envvar=VARIABLE)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Page whose marked block is replaced; default: docs/rewards.md."),
    ] = None,
    budget: Annotated[float, typer.Option(min=0.01, max=0.5, help="Share of the spots.")] = 0.1,
    seeds: Annotated[int, typer.Option(min=1, help="Episodes per section and agent.")] = 2,
    synthetic_only: Annotated[
        bool, typer.Option("--synthetic-only", help="Leave HER2ST out.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Measure which parts of the reward can be anticipated from what an agent sees."""
    try:
        output = _page(output, synthetic_only=synthetic_only)
        around_marks(output)  # a page that cannot be written to is refused before the work
        if data is not None:
            os.environ[VARIABLE] = str(data)
        folds = synthetic_folds() if synthetic_only else [*her2st_folds(jobs), *synthetic_folds()]
        running = Parallel(n_jobs=jobs, return_as="generator")(
            delayed(measure)(fold, budget, seeds) for fold in folds
        )
        records = [record for found in tqdm(running, "folds", total=len(folds)) for record in found]
        write_between_marks(output, tables(records, budget, seeds))
    except InputError as error:
        show(f"[red]{error}[/red]")
        raise typer.Exit(2) from error
    show(f"wrote the tables into {output}")


def _page(output: Path | None, *, synthetic_only: bool) -> Path:
    if output is None and synthetic_only:
        raise InputError("--synthetic-only leaves tables out: name another page with --output")
    return Path("docs/rewards.md") if output is None else output


if __name__ == "__main__":
    typer.run(main)
