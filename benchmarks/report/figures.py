"""Curves over budgets, and differences to random buying patient by patient."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from benchmarks.contrasts import against_random
from benchmarks.evidence import (
    BASELINE,
    MISSION,
    headlines,
    n_patients,
    patient_means,
    section_differences,
)
from benchmarks.report.style import MARKERS, METRICS, agent_name, colours, judge_name
from benchmarks.statistics import MIN_PATIENTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from benchmarks.results import Results

PATIENT_MARKERS = "osD^vP*X<>hd"


def budget_curves(results: Results) -> Figure:
    """Draw score against budget: one panel per judge, and one for the reward.

    Error bars are 95 % intervals of the paired difference to random over patients, drawn around
    the agent's mean; below six patients there are none.

    Parameters
    ----------
    results
        Of a benchmark.

    Returns
    -------
    Figure
    """
    boards = list(headlines(results))
    figure, panels = _panels(len(boards), height=3.5)
    means = patient_means(results.scores)
    table = against_random(results)
    for panel, (judge, metric) in zip(panels, boards, strict=True):
        if metric != MISSION and panel is not panels[0]:
            panel.sharey(panels[0])
        chosen = means[(means["judge"] == judge) & (means["metric"] == metric)]
        own = table[(table["judge"] == judge) & (table["metric"] == metric)]
        _curves(panel, chosen, own, results)
        panel.set_title(judge_name(judge))
        panel.set_ylabel(METRICS[metric] if panel in (panels[0], panels[-1]) else "")
    _legend(figure, panels[0])
    return figure


def _curves(panel: Axes, means: pd.DataFrame, table: pd.DataFrame, results: Results) -> None:
    config = results.config
    average = means.groupby(["agent", "budget"])["value"].mean()
    palette = colours(config.agents)
    shift = np.linspace(-0.035, 0.035, len(config.agents))
    for agent, nudge in zip(config.agents, shift, strict=True):
        line = average[agent].sort_index()
        budgets = 100 * line.index.to_numpy() * (1 + nudge)
        style = "--" if agent in results.oracles or agent == BASELINE else "-"
        panel.plot(
            budgets,
            line.to_numpy(),
            style,
            color=palette[agent],
            marker=MARKERS.get(agent, "o"),
            markersize=7 if agent == "oracle" else 4.5,
            linewidth=1.6,
            label=agent_name(agent, config),
            zorder=2 if agent == BASELINE else 3,
        )
        if agent == BASELINE or n_patients(results) < MIN_PATIENTS:
            continue
        own = table[table["agent"] == agent].set_index("budget").loc[line.index]
        half = ((own["high"] - own["low"]) / 2).to_numpy()
        panel.errorbar(
            budgets,
            line.to_numpy(),
            half,
            fmt="none",
            ecolor=palette[agent],
            elinewidth=1,
            alpha=0.7,
        )
    panel.set_xscale("log")
    ticks = [100 * budget for budget in _ticks(config.all_budgets)]
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xlabel("Budget, % of all spots")


def _ticks(budgets: list[float]) -> list[float]:
    """Keep ticks that do not overlap on a logarithmic axis."""
    kept: list[float] = []
    for budget in budgets:
        if not kept or budget / kept[-1] > 1.3:
            kept.append(budget)
    return kept


def patient_differences(results: Results) -> Figure:
    """Draw every agent's difference to random at the primary budget.

    A dot is a patient (below six patients: a section); the bar is the mean with its 95 % t
    interval over patients.

    Parameters
    ----------
    results
        Of a benchmark.

    Returns
    -------
    Figure
    """
    config = results.config
    boards = list(headlines(results))
    agents = [agent for agent in config.agents if agent != BASELINE]
    figure, panels = _panels(len(boards), height=1.3 + 0.42 * len(agents), share_y=True)
    table = against_random(results)
    differences = section_differences(results)
    differences = differences[differences["budget"] == config.primary_budget]
    patients = sorted(differences["patient"].unique())
    by_section = n_patients(results) < MIN_PATIENTS
    for panel, (judge, metric) in zip(panels, boards, strict=True):
        chosen = differences[(differences["judge"] == judge) & (differences["metric"] == metric)]
        if not by_section:
            chosen = chosen.groupby(["patient", "agent"])["difference"].mean().reset_index()
        panel.axvline(0, color="#444444", linewidth=1)
        for row, agent in enumerate(agents):
            own = chosen[chosen["agent"] == agent]
            colour = colours(config.agents)[agent]
            for patient, values in own.groupby("patient")["difference"]:
                marker = PATIENT_MARKERS[patients.index(patient) % len(PATIENT_MARKERS)]
                offsets = row + np.linspace(-0.12, 0.12, len(values)) * (len(values) > 1) + 0.16
                panel.scatter(
                    values,
                    offsets,
                    marker=marker if by_section else "o",
                    s=20,
                    facecolor=colour,
                    edgecolor="white",
                    linewidth=0.5,
                    alpha=0.75,
                )
            _interval(panel, table, (agent, config.primary_budget, judge, metric), row, colour)
        panel.set_title(judge_name(judge))
        what = "reward" if metric == MISSION else "r per gene"
        panel.set_xlabel(f"Difference to random, {what}")
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(agents)), [agent_name(agent, config) for agent in agents])
    panels[0].set_ylim(len(agents) - 0.45, -0.55)
    if by_section:
        _patient_legend(figure, patients)
    return figure


def _interval(
    panel: Axes, table: pd.DataFrame, key: tuple[str, float, str, str], row: int, colour: str
) -> None:
    agent, budget, judge, metric = key
    own = table[
        (table["agent"] == agent)
        & (table["budget"] == budget)
        & (table["judge"] == judge)
        & (table["metric"] == metric)
    ]
    middle, low, high = (float(own[column].iloc[0]) for column in ("difference", "low", "high"))
    if np.isfinite(low):
        panel.plot([low, high], [row - 0.14] * 2, color=colour, linewidth=2.2)
    panel.plot(middle, row - 0.14, "|", color=colour, markersize=11, markeredgewidth=2.4)


def _panels(n_panels: int, height: float, *, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(3.1 * n_panels + 0.6, height), layout="constrained")
    axes = figure.subplots(1, n_panels, squeeze=False, sharey=share_y)[0]
    return figure, list(axes)


def _patient_legend(figure: Figure, patients: list[str]) -> None:
    handles = [
        Line2D([], [], color="#555555", linestyle="", marker=marker, markersize=5, label=patient)
        for marker, patient in zip(cycle(PATIENT_MARKERS), (f"patient {p}" for p in patients))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(patients), 8))


def _legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    room = int(figure.get_size_inches()[0] / 1.75)
    n_rows = -(-len(labels) // max(room, 1))
    n_columns = -(-len(labels) // n_rows)
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns)
