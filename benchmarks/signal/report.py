"""The tables, in Markdown, between two marks of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.statistics import t_interval
from scr2st_env.errors import InputError
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from benchmarks.signal.measuring import Record

BEGIN, END = "<!-- signal: begin -->", "<!-- signal: end -->"
MIN_PATIENTS = 6
SAYS = {
    "feedback": "places and feedback",
    "features": "image, model of other patients",
    "both": "image, places and feedback",
}


def with_interval(values: ArrayLike, digits: int = 2) -> str:
    """Return the mean over patients with its 95 % half-width, or alone where patients are few.

    Examples
    --------
    >>> with_interval([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    '.20 ± .09'
    >>> with_interval([0.1, 0.3])
    '.20'
    """
    numbers = np.asarray(values, np.float64)
    if len(numbers) < MIN_PATIENTS:
        return plain(float(numbers.mean()), digits)
    half = (t_interval(numbers)[1] - t_interval(numbers)[0]) / 2
    return f"{plain(float(numbers.mean()), digits)} ± {plain(half, digits)}"


def plain(value: float, digits: int = 2) -> str:
    """Return a number without the zero before its point."""
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def gap_closed(agent: ArrayLike, random: ArrayLike, oracle: ArrayLike) -> str:
    """Return the share of the gap between random and oracle that the agent closes.

    A ratio of means over patients; its interval is Student's of the linearised ratio. Where the
    oracle is level with chance there is nothing to close.
    """
    chance = np.asarray(random, np.float64)
    gained, gap = np.asarray(agent, np.float64) - chance, np.asarray(oracle, np.float64) - chance
    if gap.mean() == 0:
        return "no gap"
    share = gained.mean() / gap.mean()
    if len(gap) < MIN_PATIENTS:
        return plain(share)
    error = stats.sem(gained - share * gap) / gap.mean()
    return f"{plain(share)} ± {plain(stats.t.ppf(0.975, len(gap) - 1) * error)}"


def tables(records: Sequence[Record], budget: float, seeds: int) -> str:
    """Return all tables and what their columns mean."""
    frame = pd.DataFrame(records)
    parts = [
        (
            f"Budget {budget:.0%} of the spots; {seeds} measured sets or episodes per section, 40 "
            "random ones; averaged within a patient first. ± is the 95 % t interval over patients; "
            "fewer than six patients carry none: those figures are conditional on these patients."
        ),
    ]
    for cohort in frame["cohort"].unique():
        parts += _cohort(frame[frame["cohort"] == cohort], cohort)
    return "\n\n".join(parts)


def _cohort(frame: pd.DataFrame, cohort: str) -> list[str]:
    n_patients = frame["patient"].nunique()
    forecasts = frame[frame["kind"] == "forecast"]
    purchases = frame[frame["kind"] == "purchase"]
    components = forecasts[forecasts["what"] == "embedding"]
    return [
        f"#### {cohort}: {n_patients} patients",
        "What can be said of spots that were not bought (R2 against the section's own mean):",
        _table(
            ["quantity", "known", "R2", "accuracy over base rate", "log-loss removed"],
            [_forecast_row(rows) for _, rows in forecasts.groupby(_PAIR, sort=False)],
        ),
        "R2 of the embedding, component by component: "
        + "; ".join(
            f"{SAYS[str(source)]}: {' '.join(plain(value) for value in _components(rows))}"
            for source, rows in components.groupby("source", sort=False)
        )
        + ".",
        "What foresight earns:",
        _table(
            ["term", "known", "random (SD)", "agent", "oracle", "gap closed", "in SD of random",
             "follows prediction", "oracle's states", "oracle's spread"],
            [_purchase_row(rows) for _, rows in purchases.groupby(_PAIR, sort=False)]
            + [_density_row(frame[frame["kind"] == "density"])],
        ),
    ]  # fmt: skip


_PAIR = ["what", "source"]


def _names(rows: pd.DataFrame) -> tuple[str, str]:
    first = rows.iloc[0]
    return str(first["what"]), SAYS[str(first["source"])]


def _per_patient(rows: pd.DataFrame) -> Callable[[str], pd.Series]:
    return lambda column: rows.groupby("patient")[column].mean()


def _components(rows: pd.DataFrame) -> list[float]:
    table = pd.DataFrame(rows["components"].tolist(), index=rows["patient"])
    return table.groupby(level=0).mean().mean().tolist()


def _forecast_row(rows: pd.DataFrame) -> list[str]:
    of = _per_patient(rows)
    scored = rows["skill"].notna().all()
    return [
        *_names(rows),
        with_interval(of("R2"), 3),
        with_interval(of("accuracy"), 3) if scored else "",
        with_interval(of("skill"), 3) if scored else "",
    ]


def _purchase_row(rows: pd.DataFrame) -> list[str]:
    of = _per_patient(rows)
    return [
        *_names(rows),
        f"{plain(of('random').mean(), 3)} ({plain(of('SD').mean(), 3)})",
        plain(of("agent").mean(), 3),
        plain(of("oracle").mean(), 3),
        gap_closed(of("agent"), of("random"), of("oracle")),
        with_interval((of("agent") - of("random")) / of("SD"), 1),
        with_interval(of("follows")),
        plain(of("states").mean()),
        plain(of("spread").mean()),
    ]


def _density_row(rows: pd.DataFrame) -> list[str]:
    of = _per_patient(rows)
    random, oracle = of("random").mean(), of("oracle").mean()
    first = f"{plain(random, 3)} ({plain(of('SD').mean(), 3)})"
    gained = with_interval((of("oracle") - of("random")) / of("SD"), 1)
    best = plain(oracle, 3)
    return ["spatial density", "places (public)", first, best, best, "1", gained, "", "", ""]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def around_marks(path: Path) -> tuple[str, str]:
    """Return what stands before and after the two marks of a page.

    Raises
    ------
    InputError
        If the page is missing or has not exactly one pair of marks.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; name a page that holds {BEGIN} and {END}")
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise InputError(f"{path} must hold {BEGIN} and then {END}, once each")
    before, rest = page.split(BEGIN)
    return before, rest.split(END)[1]


def write_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a page.

    Raises
    ------
    InputError
        See :func:`around_marks`.
    """
    before, after = around_marks(path)
    with replacing(path) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
