"""Every agent against random buying, and one against its best rival: intervals, tests, verdicts."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.evidence import BASELINE, MISSION, compared, patient_means, prediction_metric
from benchmarks.statistics import (
    MARGIN,
    MIN_PATIENTS,
    bootstrap_interval,
    holm,
    sign_flip_test,
    t_interval,
    t_test,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.results import Results

ALPHA = 0.05
PRIMARY = "primary"  # the one contrast named beforehand
FAMILIES = ("prediction", "reward")  # adjusted by Holm, one family per question


@lru_cache(maxsize=8)  # the bootstraps of one report are drawn once
def contrasts(results: Results) -> pd.DataFrame:
    """Compare every agent with random buying, patient by patient.

    Parameters
    ----------
    results
        Of a benchmark; the table is remembered, so do not write into it.

    Returns
    -------
    DataFrame
        One row per agent, budget, judge and compared metric, against random buying; and, where
        ``primary_against`` names other agents, a first row for the primary contrast with the best
        of them. Columns agent, against, budget, judge, metric, difference (mean over patients), low
        and high (t interval), p (t test, which matches the interval), p_sign_flip,
        bootstrap_low and bootstrap_high, family (``"primary"``: the one contrast named beforehand;
        ``"prediction"``: all others of the primary judge; ``"reward"``: all of the reward; empty:
        other judges and metrics, and oracles), family_size, p_holm (over the family),
        patients, oracle and verdict. With fewer than six patients there is no inference: these
        columns are empty and the verdict says so.
    """
    means = patient_means(results.scores)
    rows = _against_the_best_rival(results, means)
    for judge, metric in compared(results):
        chosen = means[(means["judge"] == judge) & (means["metric"] == metric)]
        wide = chosen.pivot_table(index="patient", columns=["agent", "budget"], values="value")
        for budget in results.config.budgets:
            for agent in results.config.agents:
                if agent == BASELINE:
                    continue
                row: dict[str, Any] = {"agent": agent, "against": BASELINE}
                row |= {"budget": budget, "judge": judge, "metric": metric}
                row |= {"oracle": agent in results.oracles}
                row |= {"family": _family(results, row)}
                difference = (wide[agent, budget] - wide[BASELINE, budget]).to_numpy()
                is_shared = results.config.protocol == "cross-patient" and metric == MISSION
                rows.append(row | inference(difference, are_patients=not is_shared))
    table = pd.DataFrame(rows)
    sizes = table["family"].value_counts()
    table["family_size"] = [int(sizes[family]) if family else 0 for family in table["family"]]
    table["p_holm"] = table["p"].where(table["family"] == PRIMARY)
    for family in FAMILIES:
        members = (table["family"] == family) & table["p"].notna()
        table.loc[members, "p_holm"] = holm(table.loc[members, "p"].to_numpy())
    table["verdict"] = [verdict(row) for row in table.to_dict("records")]
    return table


def against_random(results: Results) -> pd.DataFrame:
    """Return the contrasts with random buying alone, one per agent, budget, judge and metric."""
    table = contrasts(results)
    return table[table["against"] == BASELINE]


def _against_the_best_rival(results: Results, means: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare the primary agent with its best rival: the better the rival, the harder it is."""
    config = results.config
    if config.primary_against == [BASELINE]:
        return []
    metric = prediction_metric(config)
    asked = {"budget": config.primary_budget, "judge": config.primary_judge, "metric": metric}
    chosen = means[(means[list(asked)] == pd.Series(asked)).all(axis=1)]
    wide = chosen.pivot_table(index="patient", columns="agent", values="value")
    rival = str(wide[config.primary_against].mean().idxmax())
    row = {"agent": config.primary_agent, "against": rival, **asked}
    difference = (wide[config.primary_agent] - wide[rival]).to_numpy()
    return [row | {"oracle": False, "family": PRIMARY} | inference(difference)]


def _family(results: Results, row: Mapping[str, Any]) -> str:
    config = results.config
    if row["oracle"]:
        return ""
    if row["metric"] == MISSION:
        return "reward"
    if (row["judge"], row["metric"]) != (config.primary_judge, prediction_metric(config)):
        return ""
    asked = (config.primary_agent, config.primary_budget, [BASELINE])
    is_asked = (row["agent"], row["budget"], config.primary_against) == asked
    return PRIMARY if is_asked else "prediction"


def inference(
    difference: np.ndarray[Any, np.dtype[np.float64]], *, are_patients: bool = True
) -> dict[str, Any]:
    """Return what paired differences, one per patient, say of their mean.

    Parameters
    ----------
    difference
        (n,).
    are_patients
        False where they share what they were computed from, as the rewards of the training slides
        do that tested patients have in common: no inference then.

    Returns
    -------
    dict of str to float
        ``difference``, ``patients``, ``low``, ``high``, ``p``, ``p_sign_flip``, ``bootstrap_low``
        and ``bootstrap_high``; all but the first two are NaN without inference.
    """
    found: dict[str, Any] = {"difference": float(difference.mean()), "patients": difference.size}
    if difference.size < MIN_PATIENTS or not are_patients:
        columns = ("low", "high", "p", "p_sign_flip", "bootstrap_low", "bootstrap_high")
        return found | dict.fromkeys(columns, np.nan)
    low, high = t_interval(difference)
    boot_low, boot_high = bootstrap_interval(difference)
    return found | {
        "low": low,
        "high": high,
        "p": t_test(difference),
        "p_sign_flip": sign_flip_test(difference),
        "bootstrap_low": boot_low,
        "bootstrap_high": boot_high,
    }


def verdict(row: Mapping[Any, Any]) -> str:
    """Say what the interval allows to say; losses are said like wins.

    Parameters
    ----------
    row
        Of :func:`contrasts`, or another with its oracle, metric, family, patients, low, high,
        p_sign_flip and p_holm.
    """
    if row["oracle"]:
        return "oracle" if row["metric"] == MISSION else "upper bound"
    if row["patients"] < MIN_PATIENTS:
        return "no inference"
    if row["low"] > 0 or row["high"] < 0:
        doubt = _doubt(row)
        if doubt is not None:
            return ("better" if row["low"] > 0 else "worse") + doubt
    if row["metric"] != MISSION and row["low"] > -MARGIN:
        return "not worse"
    return "undecided"


def _doubt(row: Mapping[Any, Any]) -> str | None:
    """Say what keeps an interval beside zero from being evidence; None: it is no win or loss."""
    if row["family"] == PRIMARY:
        return "" if row["p_sign_flip"] < ALPHA else None
    if not row["family"]:
        return ", unadjusted"
    return "" if row["p_holm"] < ALPHA else ", before Holm"
