"""What a report says, whatever it is written in: tables, figures, and the words around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.buying import ENVIRONMENT, LEARNED, origin_unchecked
from benchmarks.contrasts import PRIMARY, contrasts
from benchmarks.evidence import (
    BASELINE,
    MISSION,
    compared,
    compared_scores,
    gains,
    n_patients,
    patient_means,
    prediction_metric,
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

    from benchmarks.config import BenchmarkConfig
    from benchmarks.results import Results


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Return every table of a report by the name of its file."""
    return {
        "summary": summary(results),
        "patients": patient_means(compared_scores(results)),
        "contrasts": contrasts(results),
        "sections": section_differences(results),
        "gains": gains(results),
    }


def figures(results: Results) -> dict[str, Figure]:
    """Draw every figure of a report."""
    drawn = {"curves": budget_curves(results), "differences": patient_differences(results)}
    slide, path = next(iter(map_files(results).items()))
    maps = load_map(path)
    if results.config.protocol != "cross-patient":  # there it is other slides that are bought on
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
        "sections": _sections(results),
        "rivals": [agent_name(agent, config) for agent in config.primary_against],
        "patients": n_patients(results),
        "slides": int(results.scores["slide"].nunique()),
        "inference": n_patients(results) >= MIN_PATIENTS,
        "judge": judge_name(config.primary_judge),
        "learned": any(agent.startswith(LEARNED) for agent in config.agents),
        "unchecked": [agent_name(spec, config) for spec in config.agents if origin_unchecked(spec)],
        "cohort": results.cohort,
        "across": config.protocol == "cross-patient",
        "info": results.info,
    }


def budget_rows(
    results: Results, judge: str, metric: str | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a judge's contrasts, or the reward's, budget by budget."""
    config, table = results.config, contrasts(results)
    metric = metric or _headline_metric(results, judge)
    chosen = table[(table["judge"] == judge) & (table["metric"] == metric)]
    chosen = chosen.sort_values("budget", kind="stable")
    inference = n_patients(results) >= MIN_PATIENTS
    adjusted = bool((chosen["family"] != "").any())
    evidence = ["95 % interval", "Bootstrap interval", "p (t)", "p (sign flips)"]
    evidence += ["p (t), Holm"] if adjusted else []
    rows = [
        [
            f"{row['budget']:.0%}",
            _compared(row, config),
            f"{row['difference']:+.4f}",
            *(_evidence(row, adjusted) if inference else ()),
            row["verdict"] + (" (primary)" if row["family"] == PRIMARY else ""),
        ]
        for row in chosen.to_dict("records")
    ]
    shown = evidence if inference else []
    return ["Budget", "Agent", "Difference to random", *shown, "Verdict"], rows


def _headline_metric(results: Results, judge: str) -> str:
    return MISSION if judge == ENVIRONMENT else prediction_metric(results.config)


def _compared(row: Mapping[Any, Any], config: BenchmarkConfig) -> str:
    agent, against = (agent_name(row[side], config) for side in ("agent", "against"))
    return agent if row["against"] == BASELINE else f"{agent}, difference to {against}"


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
    """Name, header and rows of every judge but the primary one, and of other metrics."""
    shown = {(results.config.primary_judge, prediction_metric(results.config))}
    shown.add((ENVIRONMENT, MISSION))
    return [
        (_board_name(results, judge, metric), *budget_rows(results, judge, metric))
        for judge, metric in compared(results)
        if (judge, metric) not in shown
    ]


def _board_name(results: Results, judge: str, metric: str) -> str:
    of_measured = metric != _headline_metric(results, judge)
    return f"{judge_name(judge)}, r with measured counts" if of_measured else judge_name(judge)


def _sections(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Name, header and rows of what happened section by section at the primary budget."""
    config = results.config
    judge = judge_name(config.primary_judge)
    return [
        (f"difference to random, {judge}", *_section_gains(results, config.primary_judge)),
        ("difference to random, reward", *_section_gains(results, ENVIRONMENT)),
        ("r of each predictor after random buying", *_section_judges(results)),
    ]


def _section_gains(results: Results, judge: str) -> tuple[list[str], list[list[str]]]:
    table = section_differences(results)
    at_budget = table["budget"] == results.config.primary_budget
    metric = _headline_metric(results, judge)
    chosen = table[at_budget & (table["judge"] == judge) & (table["metric"] == metric)]
    agents = [agent for agent in results.config.agents if agent in set(chosen["agent"])]
    header, rows = _wide(chosen, "agent", agents, "difference", "+.4f")
    return [*header, *(agent_name(agent, results.config) for agent in agents)], rows


def _section_judges(results: Results) -> tuple[list[str], list[list[str]]]:
    scores = results.scores
    at_budget = scores["budget"] == results.config.primary_budget
    is_prediction = scores["metric"] == prediction_metric(results.config)
    chosen = scores[at_budget & (scores["agent"] == BASELINE) & is_prediction]
    header, rows = _wide(chosen, "judge", results.config.judges, "value", ".4f")
    return [*header, *(judge_name(judge) for judge in results.config.judges)], rows


def _wide(
    table: pd.DataFrame, column: str, names: list[str], value: str, form: str
) -> tuple[list[str], list[list[str]]]:
    """One row per section, one column per name, averaged over seeds."""
    wide = table.pivot_table(index=["patient", "slide"], columns=column, values=value)[names]
    rows = [
        [patient, slide, *(format(cell, form) for cell in cells)]
        for (patient, slide), cells in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return ["Patient", "Slide"], rows
