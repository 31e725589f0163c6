"""SCR2Net minus every other predictor, on the same bought spots, patient by patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.contrasts import PRIMARY, inference, verdict
from benchmarks.evidence import PREDICTION
from benchmarks.predictors.parts import OWN, rival
from benchmarks.report.style import judge_name
from benchmarks.statistics import MIN_PATIENTS, holm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.results import Results

FAMILY = "prediction"


def sections(results: Results) -> pd.DataFrame:
    """Return r of every predictor on every section, averaged over draws.

    Returns
    -------
    DataFrame
        Columns patient, slide, budget, judge and r.
    """
    scores = results.scores[results.scores["metric"] == PREDICTION]
    keys = ["patient", "slide", "budget", "judge"]
    return scores.groupby(keys, sort=False)["value"].mean().rename("r").reset_index()


def comparison(results: Results) -> pd.DataFrame:
    """Compare SCR2Net with every other predictor.

    Parameters
    ----------
    results
        Of one part, in which spots were bought at random.

    Returns
    -------
    DataFrame
        One row per budget and predictor, in the order of the configuration: judge, budget, r
        (mean over sections of a patient, then patients), difference (SCR2Net minus it, over
        patients), low, high, p, p_sign_flip, bootstrap_low, bootstrap_high, patients, ahead (on
        how many sections SCR2Net is above it), sections, family, p_holm (over all contrasts of the
        part but the primary one) and verdict. SCR2Net's own row has no contrast.
    """
    config, scores = results.config, sections(results)
    rows = []
    for budget in config.budgets:
        chosen = scores[scores["budget"] == budget]
        by_section = chosen.pivot_table(index=["patient", "slide"], columns="judge", values="r")
        by_patient = by_section.groupby("patient").mean()
        for judge in config.judges:
            row = {"judge": judge, "budget": budget, "r": by_patient[judge].mean()}
            row |= {"patients": len(by_patient), "sections": len(by_section)}
            row |= {"family": ""}
            if judge != OWN:
                is_primary = (judge, budget) == (rival(config), config.primary_budget)
                row |= {"family": PRIMARY if is_primary else FAMILY}
                row |= {"ahead": int((by_section[OWN] > by_section[judge]).sum())}
                row |= inference((by_patient[OWN] - by_patient[judge]).to_numpy())
            rows.append(row)
    return _adjusted(pd.DataFrame(rows))


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    table["p_holm"] = table["p"].where(table["family"] == PRIMARY)
    members = (table["family"] == FAMILY) & table["p"].notna()
    table.loc[members, "p_holm"] = holm(table.loc[members, "p"].to_numpy())
    said = [
        verdict({**row, "oracle": False, "metric": PREDICTION}) if row["family"] else ""
        for row in table.to_dict("records")
    ]
    return table.assign(verdict=said)


def rows_for_readers(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return header and rows, one per predictor; SCR2Net's own in bold."""
    inferred = bool((table["patients"] >= MIN_PATIENTS).all())
    header = ["Predictor"]
    for budget in table["budget"].unique():
        header += [f"r at {budget:.0%}", "SCR2Net minus it"]
        header += ["95 % interval", "SCR2Net is"] if inferred else ["SCR2Net ahead"]
    rows = []
    for judge, own in table.groupby("judge", sort=False):
        name = judge_name(str(judge))
        cells = [f"**{name}**" if judge == OWN else name]
        for row in own.to_dict("records"):
            cells += [f"{row['r']:.4f}"]
            cells += _contrast(row, inferred=inferred) if judge != OWN else [""] * (2 + inferred)
        rows.append(cells)
    return header, rows


def _contrast(row: Mapping[Any, Any], *, inferred: bool) -> list[str]:
    if not inferred:
        return [f"{row['difference']:+.4f}", f"{row['ahead']:.0f} of {row['sections']}"]
    primary = " (primary)" if row["family"] == PRIMARY else ""
    between = f"{row['low']:+.4f} to {row['high']:+.4f}"
    return [f"{row['difference']:+.4f}", between, f"{row['verdict']}{primary}"]


def section_rows(results: Results, budget: float) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of r on every section at a budget, the best of each in bold."""
    scores = sections(results)
    chosen = scores[scores["budget"] == budget]
    wide = chosen.pivot_table(index="judge", columns="slide", values="r")
    wide = wide.loc[results.config.judges]
    best = wide.to_numpy().argmax(axis=0)
    rows = []
    for index, (judge, values) in enumerate(zip(wide.index, wide.to_numpy(), strict=True)):
        cells = [f"{value:.4f}" for value in values]
        bold = [f"**{cell}**" if best[k] == index else cell for k, cell in enumerate(cells)]
        rows.append([judge_name(judge), *bold])
    return ["Predictor", *map(str, wide.columns)], rows


def losses(table: pd.DataFrame) -> list[str]:
    """Return, per budget, a sentence on which predictors SCR2Net's mean is not above."""
    said = []
    for budget, rows in table.groupby("budget"):
        lost = rows[rows["difference"] <= 0].sort_values("difference", kind="stable")
        names = [
            f"{judge_name(row['judge'])} ({-row['difference']:+.4f})"
            for row in lost.to_dict("records")
        ]
        above = "; ".join(names) or "none"
        said.append(f"Level with or above SCR2Net in the mean at {budget:.0%}: {above}.")
    return said
