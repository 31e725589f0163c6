"""The one table that a benchmark prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from benchmarks.buying import ENVIRONMENT
from benchmarks.contrasts import against_random, contrasts
from benchmarks.evidence import (
    BASELINE,
    MISSION,
    gains,
    n_patients,
    prediction_metric,
    summary,
)
from benchmarks.report.style import agent_name, judge_name
from benchmarks.statistics import MIN_PATIENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from benchmarks.results import Results

# Columns of the console table that give way in a narrow terminal, in this order.
DETAILS = ("Gap closed", "Budget saving", "95 % interval", "# reward", "# r")


def headline(results: Results) -> str:
    """Return the primary contrast as one sentence."""
    config = results.config
    row = contrasts(results).query("family == 'primary'").iloc[0]
    who, rival = (agent_name(row[side], config) for side in ("agent", "against"))
    question = (
        f"{who} minus {rival} at {config.primary_budget:.0%}, {judge_name(config.primary_judge)}: "
        f"{row['difference']:+.4f} in Pearson r per gene"
    )
    if config.score == "truth":
        question += " with noise-free expression"
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
    metric = prediction_metric(config)
    means = summary(results).query("budget == @config.primary_budget")
    wide = means.set_index(["agent", "judge", "metric"])["mean"]
    own = gains(results).query(
        "judge == @config.primary_judge and budget == @config.primary_budget"
    )
    compared = against_random(results).query(
        "judge == @config.primary_judge and budget == @config.primary_budget and metric == @metric"
    )
    table = own.set_index("agent")[["budget_saving", "bound", "oracle_gap_closed"]]
    table.insert(0, "reward", [wide[agent, ENVIRONMENT, MISSION] for agent in table.index])
    for judge in config.judges:
        table[judge] = [wide[agent, judge, metric] for agent in table.index]
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

    Where the terminal is too narrow for all of it, the details give way; no cell is cut. The
    report has them all.

    Parameters
    ----------
    results
        Of a benchmark.
    console
        Where to; default: standard output.
    """
    console = Console() if console is None else console
    header, rows = rows_for_readers(results, str)
    hidden: set[str] = set()
    for detail in (None, *DETAILS):
        hidden |= {detail} if detail else set()
        shown = [index for index, name in enumerate(header) if name not in hidden]
        cells = [[row[index] for index in shown] for row in rows]
        table = _table(results, [header[index] for index in shown], cells)
        needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        if needed <= console.width or not console.is_terminal:
            break
    if not console.is_terminal:  # a log file has no width to keep to
        console.width = max(needed, console.width)
    console.print(table)
    console.print(headline(results), highlight=False)


def _table(results: Results, header: list[str], rows: list[list[str]]) -> Table:
    config = results.config
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"{config.title}: {config.protocol}, budget {config.primary_budget:.0%}, "
        f"{n_patients(results)} patients, {config.seeds} seeds",
    )
    for name in header:
        is_text = name in {"Agent", "Verdict"}
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
