"""Tables of evidence: patient means, contrasts with random buying, gaps, savings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.statistics import (
    MARGIN,
    MIN_PATIENTS,
    area_under_curve,
    bootstrap_interval,
    budget_saving,
    holm,
    oracle_gap_closed,
    sign_flip_test,
    t_interval,
)
from benchmarks.units import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.results import Results

BASELINE = "random"
ORACLES = frozenset({"oracle", "reward-oracle"})
PREDICTION = "pearson_per_gene"
MISSION = "reward"
ALPHA = 0.05
UNIT = ["patient", "agent", "budget", "judge", "metric"]


def patient_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds, then over the sections of a patient.

    Parameters
    ----------
    scores
        As in :class:`benchmarks.results.Results`.

    Returns
    -------
    DataFrame
        Columns patient, agent, budget, judge, metric and value.
    """
    sections = scores.groupby([*UNIT, "slide"], as_index=False)["value"].mean()
    return sections.groupby(UNIT, as_index=False)["value"].mean()


def summary(results: Results) -> pd.DataFrame:
    """Return mean and spread over patients of every metric.

    Returns
    -------
    DataFrame
        Columns agent, budget, judge, metric, mean, sd, low, high (t interval of the mean over
        patients; empty below four patients) and patients.
    """
    rows = []
    grouped = patient_means(results.scores).groupby(UNIT[1:])["value"]
    for key, values in grouped:
        enough = len(values) >= MIN_PATIENTS
        low, high = t_interval(values) if enough else (np.nan, np.nan)
        spread = values.std(ddof=1) if len(values) > 1 else np.nan
        rows.append([*key, values.mean(), spread, low, high, len(values)])
    columns = [*UNIT[1:], "mean", "sd", "low", "high", "patients"]
    return pd.DataFrame(rows, columns=columns)


def headlines(results: Results) -> Iterator[tuple[str, str]]:
    """Yield judge and metric of both scoreboards: prediction by every judge, and the mission."""
    for judge in results.config.judges:
        yield judge, PREDICTION
    yield ENVIRONMENT, MISSION


def contrasts(results: Results) -> pd.DataFrame:
    """Compare every agent with random buying, patient by patient.

    Returns
    -------
    DataFrame
        One row per agent, budget, judge and headline metric: difference (mean over patients),
        low and high (t interval), bootstrap_low and bootstrap_high, p (sign flips), p_holm (over
        all rows but the primary one and the oracle's; the primary row keeps its own p), patients,
        primary, oracle and verdict. With fewer than four patients there is no inference: these
        columns are empty and the verdict says so.
    """
    config = results.config
    means = patient_means(results.scores)
    rows: list[dict[str, Any]] = []
    for judge, metric in headlines(results):
        wide = _wide(means, judge, metric)
        for budget in config.budgets:
            for agent in config.agents:
                if agent == BASELINE:
                    continue
                difference = (wide[agent, budget] - wide[BASELINE, budget]).to_numpy()
                rows.append(
                    {
                        "agent": agent,
                        "budget": budget,
                        "judge": judge,
                        "metric": metric,
                        **_inference(difference),
                        "primary": (agent, budget, judge, metric)
                        == (
                            config.primary_agent,
                            config.primary_budget,
                            config.primary_judge,
                            PREDICTION,
                        ),
                        "oracle": agent in ORACLES,
                    }
                )
    table = pd.DataFrame(rows)
    family = ~table["primary"] & ~table["oracle"] & table["p"].notna()
    table["p_holm"] = table["p"].where(table["primary"])
    table.loc[family, "p_holm"] = holm(table.loc[family, "p"].to_numpy())
    table["verdict"] = [_verdict(row) for row in table.to_dict("records")]
    return table


def section_differences(results: Results) -> pd.DataFrame:
    """Return every agent's difference to random on every section, averaged over seeds.

    Returns
    -------
    DataFrame
        Columns patient, slide, agent, budget, judge, metric and difference.
    """
    keys = ["patient", "slide", "judge", "metric", "budget"]
    chosen = pd.DataFrame(headlines(results), columns=["judge", "metric"])
    scores = results.scores.merge(chosen, on=["judge", "metric"])
    scores = scores[scores["budget"].isin(results.config.budgets)]
    wide = scores.pivot_table(index=keys, columns="agent", values="value", aggfunc="mean")
    gains = wide.sub(wide[BASELINE], axis=0).drop(columns=BASELINE)
    return gains.reset_index().melt(id_vars=keys, var_name="agent", value_name="difference")


def gains(results: Results) -> pd.DataFrame:
    """Return what an agent's choices are worth, as ratios of means over patients.

    Returns
    -------
    DataFrame
        One row per agent, budget and judge: score, random, oracle_gap_closed (empty without an
        oracle), budget_saving (its bound as text: ``">="`` where random never gets there) and
        area: the mean score over the range of budgets.
    """
    config = results.config
    table = summary(results)
    table = table[table["metric"] == PREDICTION]
    rows = []
    for judge in config.judges:
        score = table[table["judge"] == judge].set_index(["agent", "budget"])["mean"]
        curve = [float(score[BASELINE, budget]) for budget in config.all_budgets]
        for agent in config.agents:
            budgets = sorted(config.budgets)
            area = area_under_curve(budgets, [float(score[agent, b]) for b in budgets])
            for budget in budgets:
                own, random = float(score[agent, budget]), float(score[BASELINE, budget])
                oracle = float(score["oracle", budget]) if "oracle" in config.agents else np.nan
                saving = budget_saving(budget, own, config.all_budgets, curve)
                rows.append(
                    {
                        "agent": agent,
                        "budget": budget,
                        "judge": judge,
                        "score": own,
                        "random": random,
                        "oracle_gap_closed": oracle_gap_closed(own, random, oracle),
                        "budget_saving": saving.factor,
                        "bound": saving.bound,
                        "area": area,
                    }
                )
    return pd.DataFrame(rows)


def n_patients(results: Results) -> int:
    """Return the number of patients that were tested."""
    return int(results.scores["patient"].nunique())


def _wide(means: pd.DataFrame, judge: str, metric: str) -> pd.DataFrame:
    chosen = means[(means["judge"] == judge) & (means["metric"] == metric)]
    return chosen.pivot_table(index="patient", columns=["agent", "budget"], values="value")


def _inference(difference: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    found: dict[str, Any] = {"difference": float(difference.mean()), "patients": difference.size}
    if difference.size < MIN_PATIENTS:
        columns = ("low", "high", "bootstrap_low", "bootstrap_high", "p")
        return found | dict.fromkeys(columns, np.nan)
    low, high = t_interval(difference)
    boot_low, boot_high = bootstrap_interval(difference)
    return found | {
        "low": low,
        "high": high,
        "bootstrap_low": boot_low,
        "bootstrap_high": boot_high,
        "p": sign_flip_test(difference),
    }


def _verdict(row: Mapping[Any, Any]) -> str:
    """Say what the interval allows to say; losses are said like wins."""
    if row["oracle"]:
        return "upper bound"
    if row["patients"] < MIN_PATIENTS:
        return "no inference"
    if row["low"] > 0 or row["high"] < 0:
        side = "better" if row["low"] > 0 else "worse"
        return side if row["primary"] or row["p_holm"] < ALPHA else f"{side}, before Holm"
    if row["metric"] == PREDICTION and row["low"] > -MARGIN:
        return "not worse"
    return "undecided"
