"""The one table that a benchmark prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.buying import ENVIRONMENT
from benchmarks.evidence import (
    BASELINE,
    MISSION,
    PREDICTION,
    gains,
    n_patients,
    summary,
)
from benchmarks.report.style import agent_name, judge_name
from benchmarks.statistics import MIN_PATIENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from benchmarks.results import Results

WIDTH = 140
AGENT_COLUMN = 2


def headline(results: Results) -> str:
    """Return the primary contrast as one sentence."""
    config = results.config
    row = results.contrasts.query("family == 'primary'").iloc[0]
    who = agent_name(config.primary_agent, config)
    question = (
        f"{who} minus Random at {config.primary_budget:.0%}, {judge_name(config.primary_judge)}: "
        f"{row['difference']:+.4f} in Pearson r per gene"
    )
    if row["patients"] < MIN_PATIENTS:
        return f"{question}, conditional on these {row['patients']} patients (no inference)."
    return (
        f"{question}, 95 % interval {row['low']:+.4f} to {row['high']:+.4f}, "
        f"p = {row['p']:.3g} (t), {row['p_sign_flip']:.3g} (sign flips), "
        f"{row['patients']} patients: {row['verdict']}."
    )


def scoreboard(results: Results) -> pd.DataFrame:
    """Return both scoreboards at the primary budget, sorted by the primary judge.

    Returns
    -------
    DataFrame
        One row per agent, oracles last and unranked: rank_prediction (by the primary judge),
        rank_reward, agent, reward, one column per judge, difference to random, saving and gap for
        the primary judge, verdict.
    """
    config = results.config
    means = summary(results).query("budget == @config.primary_budget")
    wide = means.set_index(["agent", "judge", "metric"])["mean"]
    own = gains(results).query(
        "judge == @config.primary_judge and budget == @config.primary_budget"
    )
    compared = results.contrasts.query(
        "judge == @config.primary_judge and budget == @config.primary_budget"
    )
    table = own.set_index("agent")[["budget_saving", "bound", "oracle_gap_closed"]]
    table.insert(0, "reward", [wide[agent, ENVIRONMENT, MISSION] for agent in table.index])
    for judge in config.judges:
        table[judge] = [wide[agent, judge, PREDICTION] for agent in table.index]
    columns = ["difference", "low", "high", "p", "verdict"]
    table = table.join(compared.set_index("agent")[columns])
    table["oracle"] = table.index.isin(results.oracles)
    table = table.sort_values(["oracle", config.primary_judge], ascending=[True, False])
    for board, column in (("reward", "reward"), ("prediction", config.primary_judge)):
        ranks = table[column].where(~table["oracle"]).rank(ascending=False, method="min")
        table.insert(0, f"rank_{board}", ranks.fillna(0).astype(int))
    return table.reset_index()


def rows_for_readers(
    results: Results, name_judge: Callable[[str], str] = judge_name
) -> tuple[list[str], list[list[str]]]:
    """Return the scoreboard as a header and rows of text."""
    config = results.config
    header = [
        "# r",
        "# reward",
        "Agent",
        "Reward",
        *(f"r, {name_judge(judge)}" for judge in config.judges),
    ]
    header += ["To random", "95 % interval", "Budget saving", "Gap closed", "Verdict"]
    rows = []
    for row in scoreboard(results).to_dict("records"):
        baseline = row["agent"] == BASELINE
        inferred = not baseline and np.isfinite(row["low"])
        bound = "" if row["bound"] == "=" else row["bound"]
        gap = row["oracle_gap_closed"]
        rows.append(
            [
                str(row["rank_prediction"] or "-"),
                str(row["rank_reward"] or "-"),
                agent_name(row["agent"], config),
                f"{row['reward']:.3f}",
                *(f"{row[judge]:.4f}" for judge in config.judges),
                "" if baseline else f"{row['difference']:+.4f}",
                f"{row['low']:+.4f} {row['high']:+.4f}" if inferred else "",
                "" if baseline else f"{bound}{row['budget_saving']:.2f}x",
                "" if baseline or not np.isfinite(gap) else f"{gap:.0%}",
                "baseline" if baseline else row["verdict"],
            ]
        )
    return header, rows


def print_table(results: Results, console: Console | None = None) -> None:
    """Print the scoreboard at the primary budget.

    Parameters
    ----------
    results
        Of a benchmark.
    console
        Where to; default: standard output.
    """
    config = results.config
    header, rows = rows_for_readers(results, str)
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"{config.title}: {config.protocol}, budget {config.primary_budget:.0%}, "
        f"{n_patients(results)} patients, {config.seeds} seeds",
        caption=headline(results),
    )
    for index, name in enumerate(header):
        is_text = index in {AGENT_COLUMN, len(header) - 1}
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    if console is None:
        console = Console()
        if not console.is_terminal:  # a log file has no width; do not cut the table to 80
            console.width = WIDTH
    console.print(table)
