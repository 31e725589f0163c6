"""Rows of the table of speeds, and the page they are written on."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Sense = Literal["at least", "at most"]


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Parameters
    ----------
    what
        What was measured.
    values
        One per repetition, all of one process.
    unit
        Of the values; ``"x"`` for a ratio.
    sense, bar
        What is asked for; ``bar=None`` where nothing is.
    aim
        What is hoped for.
    beside
        Further text: what the ratio was made of.
    """

    what: str
    values: Sequence[float]
    unit: str = "x"
    sense: Sense = "at least"
    bar: float | None = None
    aim: float | None = None
    beside: str = ""

    @property
    def median(self) -> float:
        """The figure that counts."""
        return statistics.median(self.values)

    @property
    def passes(self) -> bool:
        """Whether the bar is met."""
        if self.bar is None:
            return True
        return self.median >= self.bar if self.sense == "at least" else self.median <= self.bar

    def cells(self) -> list[str]:
        """Return the row as text: what, median, range, bar, aim, verdict, beside."""
        low, high = _text(min(self.values), ""), _text(max(self.values), self.unit)
        asked = "" if self.bar is None else f"{self.sense} {_text(self.bar, self.unit)}"
        hoped = "" if self.aim is None else _text(self.aim, self.unit)
        verdict = "" if self.bar is None else ("met" if self.passes else "**missed**")
        spread = f"{low} to {high}" if len(self.values) > 1 else ""
        return [
            self.what, _text(self.median, self.unit), spread, asked, hoped, verdict, self.beside
        ]  # fmt: skip


HEAD = ["what", "median", "range", "asked", "aim", "", "made of"]


def _text(value: float, unit: str) -> str:
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip()


def markdown(rows: Sequence[Row]) -> str:
    """Return a table of rows in Markdown."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
