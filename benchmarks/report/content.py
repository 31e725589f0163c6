"""What a report says, whatever it is written in: tables, figures, and the words around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.buying import ENVIRONMENT, LEARNED, origin_unchecked
from benchmarks.contrasts import PRIMARY, contrasts
from benchmarks.evidence import (
    gains,
    n_patients,
    patient_means,
    section_differences,
    summary,
)
from benchmarks.report.figures import budget_curves, patient_differences
from benchmarks.report.maps import load_map, map_files, predictions, purchases
from benchmarks.report.style import agent_name, judge_name
from benchmarks.report.table import headline, rows_for_readers
from benchmarks.statistics import MIN_PATIENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from benchmarks.results import Results


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Return every table of a report by the name of its file."""
    return {
        "summary": summary(results),
        "patients": patient_means(results.scores),
        "contrasts": contrasts(results),
        "sections": section_differences(results),
        "gains": gains(results),
    }


def figures(results: Results) -> dict[str, Figure]:
    """Draw every figure of a report."""
    drawn = {"curves": budget_curves(results), "differences": patient_differences(results)}
    slide, path = next(iter(map_files(results).items()))
    maps = load_map(path)
    drawn["purchases"] = purchases(maps, results.config, slide)
    drawn["predictions"] = predictions(maps, results.config, slide)
    return drawn


def words(results: Results) -> dict[str, Any]:
    """Return what the templates of a report fill in, but for the figures."""
    config = results.config
    header, rows = rows_for_readers(results)
    return {
        "config": config,
        "headline": headline(results),
        "header": header,
        "rows": rows,
        "budgets": budget_rows(results, config.primary_judge),
        "rewards": budget_rows(results, ENVIRONMENT),
        "others": _other_judges(results),
        "families": contrasts(results).groupby("family")["family_size"].first().to_dict(),
        "sections": _section_rows(results),
        "patients": n_patients(results),
        "slides": int(results.scores["slide"].nunique()),
        "inference": n_patients(results) >= MIN_PATIENTS,
        "judge": judge_name(config.primary_judge),
        "learned": any(agent.startswith(LEARNED) for agent in config.agents),
        "unchecked": [agent_name(spec, config) for spec in config.agents if origin_unchecked(spec)],
        "cohort": results.cohort,
        "info": results.info,
    }


def budget_rows(results: Results, judge: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a judge's contrasts, or the reward's, budget by budget."""
    config = results.config
    chosen = contrasts(results)[contrasts(results)["judge"] == judge]
    chosen = chosen.sort_values("budget", kind="stable")
    inference = n_patients(results) >= MIN_PATIENTS
    adjusted = bool((chosen["family"] != "").any())
    evidence = ["95 % interval", "Bootstrap interval", "p (t)", "p (sign flips)"]
    evidence += ["p (t), Holm"] if adjusted else []
    rows = [
        [
            f"{row['budget']:.0%}",
            agent_name(row["agent"], config),
            f"{row['difference']:+.4f}",
            *(_evidence(row, adjusted) if inference else ()),
            row["verdict"] + (" (primary)" if row["family"] == PRIMARY else ""),
        ]
        for row in chosen.to_dict("records")
    ]
    shown = evidence if inference else []
    return ["Budget", "Agent", "Difference to random", *shown, "Verdict"], rows


def _evidence(row: Mapping[Any, Any], adjusted: bool) -> list[str]:
    holm = f"{row['p_holm']:.3g}" if np.isfinite(row["p_holm"]) else ""
    return [
        f"{row['low']:+.4f} to {row['high']:+.4f}",
        f"{row['bootstrap_low']:+.4f} to {row['bootstrap_high']:+.4f}",
        f"{row['p']:.3g}",
        f"{row['p_sign_flip']:.3g}",
        *([holm] if adjusted else []),
    ]


def _other_judges(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Name, header and rows of every judge but the primary one."""
    config = results.config
    return [
        (judge_name(judge), *budget_rows(results, judge))
        for judge in config.judges
        if judge != config.primary_judge
    ]


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
