"""The report: figures, tables and one page that needs nothing beside itself."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jinja2
import matplotlib as mpl
import numpy as np

from benchmarks.evidence import (
    contrasts,
    gains,
    n_patients,
    patient_means,
    section_differences,
    summary,
)
from benchmarks.report.figures import budget_curves, patient_differences
from benchmarks.report.maps import load_map, map_files, predictions, purchases
from benchmarks.report.style import PAPER, agent_name, judge_name
from benchmarks.report.table import headline, rows_for_readers
from benchmarks.results import write_csv
from benchmarks.statistics import MIN_PATIENTS
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from benchmarks.results import Results

PAGE = "index.html"


def write_report(results: Results, output: str | Path | None = None) -> Path:
    """Write figures, tables and a self-contained page.

    Parameters
    ----------
    results
        Of a benchmark.
    output
        A folder; default: that of the results. It gets ``index.html``, ``figures/*.png`` and
        ``tables/*.csv``.

    Returns
    -------
    Path
        The page.
    """
    folder = results.folder if output is None else Path(output)
    for name, table in _tables(results).items():
        write_csv(table, folder / "tables" / f"{name}.csv")
    pictures = {}
    with mpl.rc_context(cast("Any", PAPER)):
        for name, figure in _figures(results).items():
            pictures[name] = _png(figure)
            with replacing(folder / "figures" / f"{name}.png") as path:
                path.write_bytes(pictures[name])
    with replacing(folder / PAGE) as path:
        path.write_text(_page(results, pictures), "utf-8")
    return folder / PAGE


def _tables(results: Results) -> dict[str, pd.DataFrame]:
    return {
        "summary": summary(results),
        "patients": patient_means(results.scores),
        "contrasts": contrasts(results),
        "sections": section_differences(results),
        "gains": gains(results),
    }


def _figures(results: Results) -> dict[str, Figure]:
    figures = {"curves": budget_curves(results), "differences": patient_differences(results)}
    slide, path = next(iter(map_files(results).items()))
    maps = load_map(path)
    figures["purchases"] = purchases(maps, results.config, slide)
    figures["predictions"] = predictions(maps, results.config, slide)
    return figures


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _page(results: Results, pictures: dict[str, bytes]) -> str:
    config = results.config
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    header, rows = rows_for_readers(results)
    content: dict[str, Any] = {
        "config": config,
        "headline": headline(results),
        "header": header,
        "rows": rows,
        "budgets": _budget_rows(results),
        "sections": _section_rows(results),
        "figures": {
            name: "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
            for name, picture in pictures.items()
        },
        "patients": n_patients(results),
        "slides": int(results.scores["slide"].nunique()),
        "inference": n_patients(results) >= MIN_PATIENTS,
        "judge": judge_name(config.primary_judge),
        "learned": any(agent.startswith("learned:") for agent in config.agents),
        "info": results.info,
    }
    return environment.get_template("report.html.j2").render(content)


def _budget_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Every contrast of the primary judge, budget by budget."""
    config = results.config
    inference = n_patients(results) >= MIN_PATIENTS
    evidence = ["95 % interval", "p", "p, Holm"] if inference else []
    chosen = contrasts(results).query("judge == @config.primary_judge")
    rows = [
        [
            f"{row['budget']:.0%}",
            agent_name(row["agent"], config),
            f"{row['difference']:+.4f}",
            *(_evidence(row) if inference else ()),
            row["verdict"] + (" (primary)" if row["primary"] else ""),
        ]
        for row in chosen.sort_values(["budget"], kind="stable").to_dict("records")
    ]
    return ["Budget", "Agent", "Difference to random", *evidence, "Verdict"], rows


def _evidence(row: Mapping[Any, Any]) -> list[str]:
    adjusted = f"{row['p_holm']:.3g}" if np.isfinite(row["p_holm"]) else ""
    return [f"{row['low']:+.4f} to {row['high']:+.4f}", f"{row['p']:.3g}", adjusted]


def _section_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Differences to random at the primary budget and judge, section by section."""
    config = results.config
    chosen = section_differences(results).query(
        "judge == @config.primary_judge and metric == 'pearson_per_gene' "
        "and budget == @config.primary_budget"
    )
    wide = chosen.pivot_table(index=["patient", "slide"], columns="agent", values="difference")
    agents = [agent for agent in config.agents if agent in wide.columns]
    header = ["Patient", "Slide", *(agent_name(agent, config) for agent in agents)]
    rows = [
        [patient, slide, *(f"{value:+.4f}" for value in values)]
        for (patient, slide), values in zip(wide.index, wide[agents].to_numpy(), strict=True)
    ]
    return header, rows
