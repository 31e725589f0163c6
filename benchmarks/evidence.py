"""Tables of evidence: patient means, differences section by section, gaps, savings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.buying import ENVIRONMENT
from benchmarks.judging import OF_TRUTH
from benchmarks.statistics import (
    MIN_PATIENTS,
    area_under_curve,
    budget_saving,
    oracle_gap_closed,
    t_interval,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.config import BenchmarkConfig
    from benchmarks.results import Results

BASELINE = "random"
PREDICTION_ORACLE = "oracle"  # its gain in prediction is the gap that agents close
PREDICTION = "pearson_per_gene"
MISSION = "reward"
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
        patients; empty below six patients) and patients.
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


def prediction_metric(config: BenchmarkConfig) -> str:
    """Return the metric of the scoreboard of prediction."""
    return PREDICTION + OF_TRUTH if config.score == "truth" else PREDICTION


def headlines(results: Results) -> Iterator[tuple[str, str]]:
    """Yield judge and metric of both scoreboards: prediction by every judge, and the mission."""
    for judge in results.config.judges:
        yield judge, prediction_metric(results.config)
    yield ENVIRONMENT, MISSION


def compared(results: Results) -> Iterator[tuple[str, str]]:
    """Yield the headlines and, where these are of the truth, the same of measured counts."""
    yield from headlines(results)
    if prediction_metric(results.config) != PREDICTION:
        yield from ((judge, PREDICTION) for judge in results.config.judges)


def compared_scores(results: Results) -> pd.DataFrame:
    """Return the scores by which agents are compared; ``results.csv`` has all metrics."""
    chosen = pd.DataFrame(compared(results), columns=["judge", "metric"])
    return results.scores.merge(chosen, on=["judge", "metric"])


def section_differences(results: Results) -> pd.DataFrame:
    """Return every agent's difference to random on every section, averaged over seeds.

    Returns
    -------
    DataFrame
        Columns patient, slide, agent, budget, judge, metric and difference.
    """
    keys = ["patient", "slide", "judge", "metric", "budget"]
    scores = compared_scores(results)
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
    table = table[table["metric"] == prediction_metric(config)]
    rows = []
    for judge in config.judges:
        score = table[table["judge"] == judge].set_index(["agent", "budget"])["mean"]
        curve = [float(score[BASELINE, budget]) for budget in config.all_budgets]
        for agent in config.agents:
            budgets = sorted(config.budgets)
            area = area_under_curve(budgets, [float(score[agent, b]) for b in budgets])
            for budget in budgets:
                own, random = float(score[agent, budget]), float(score[BASELINE, budget])
                oracle = np.nan
                if PREDICTION_ORACLE in config.agents:
                    oracle = float(score[PREDICTION_ORACLE, budget])
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
