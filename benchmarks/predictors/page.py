"""The page of the comparison, and its table on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import print as show
from rich.table import Table

from benchmarks.predictors.table import (
    comparison,
    losses,
    rows_for_readers,
    section_rows,
    sections,
)
from benchmarks.report.page import DIGITS, MARKDOWN, write_page
from benchmarks.results import write_csv, write_json
from benchmarks.statistics import MIN_PATIENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from benchmarks.results import Results


def print_comparison(results: Results) -> None:
    """Print what SCR2Net is worth beside every other predictor of a part."""
    found = comparison(results)
    header, rows = rows_for_readers(found)
    table = Table(*header)
    for row in rows:
        table.add_row(*(cell.strip("*") for cell in row))
    show(table)
    show(" ".join(losses(found)))


def write_predictors(results: Mapping[str, Results], output: str | Path, command: str) -> Path:
    """Write the page as Markdown, and the tables as CSV.

    Parameters
    ----------
    results
        Of every part, by its name.
    output
        A folder. It gets ``README.md`` and ``tables/``.
    command
        That made them.

    Returns
    -------
    Path
        The page.
    """
    folder = Path(output)
    shown = []
    for name, own in results.items():
        found = comparison(own)
        write_csv(found, folder / "tables" / f"{name}.csv", digits=DIGITS)
        write_csv(sections(own), folder / "tables" / f"{name}-sections.csv", digits=DIGITS)
        write_json(own.config.model_dump(), folder / "tables" / f"{name}.json")
        shown.append(_part(own, found))
    first = next(iter(results.values()))
    content = {
        "command": command,
        "parts": shown,
        "info": first.info,
        "n_genes": first.config.n_genes,
    }
    return write_page("predictors.md.j2", content, folder / MARKDOWN)


def _part(results: Results, found: pd.DataFrame) -> dict[str, Any]:
    config, patients = results.config, results.scores["patient"].nunique()
    by_section = config.budgets if patients < MIN_PATIENTS else []
    return {
        "title": config.title,
        "protocol": config.protocol,
        "slides": results.scores["slide"].nunique(),
        "patients": patients,
        "draws": config.seeds,
        "table": rows_for_readers(found),
        "losses": losses(found),
        "sections": [(budget, *section_rows(results, budget)) for budget in by_section],
        "seconds": results.info["seconds_of_this_run"],
        "jobs": results.info["jobs"],
    }
