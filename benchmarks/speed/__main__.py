"""``python -m benchmarks.speed``: measure, print, and write ``docs/speed.md``."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tqdm import tqdm

from benchmarks.speed.pictures import picture_rows
from benchmarks.speed.rows import Row, markdown
from benchmarks.speed.scale import scale_rows
from benchmarks.speed.startup import startup_rows
from benchmarks.speed.stepping import Effort, batched_rows, single_rows, width_rows
from benchmarks.speed.tables import table_rows
from scr2st_env.files import replacing
from scr2st_env.rewards import COMPILED

PAGE = """# Speed

`{command}` wrote this page on {machine}, at a load of {load:.1f} when it began.

A ratio is that of two things measured one right after the other in one process, in CPU time; each \
row gives the median and the range of {repetitions} repetitions. `gym.make("CartPole-v1")` is the \
yardstick because everybody has it: a ratio of 1 means that a step costs what a step of CartPole \
costs. Actions are valid and drawn beforehand, `info_mask=False`, and the reward has all three \
kinds of term (states, types, density) unless a row says otherwise; episodes and their resets are \
included. Microseconds of a pick are CPU time, too. Seconds and milliseconds are of the clock, and \
long where the load exceeds the processors; the longest have their CPU time beside them. These \
machines are shared and noisy, so read a ratio with its range.

{table}

The reward terms of single environments were computed by {form}; `SCR2ST_COMPILED=0` turns \
compiled code off ([rewards.md](rewards.md#two-forms-of-each-term)). What limits a step with \
compiled terms is what is handed out, observation and info, and on a large slide the copies of its \
two masks. What limits the batched environment is memory: at 5,000 spots it hands out ten \
megabytes at every step, which `copy=False` spares.
"""


def measure(effort: Effort, n_largest: int, n_cells: int) -> Iterator[Row]:
    """Measure everything, with a progress bar."""
    middle = effort.sizes[1]
    parts: list[tuple[str, Callable[[], Iterator[Row]]]] = [
        ("start-up", partial(startup_rows, effort.repetitions)),
        ("single", partial(single_rows, effort)),
        ("width", partial(width_rows, effort)),
        ("batched", partial(batched_rows, effort)),
        ("pictures", partial(picture_rows, effort.sizes, min(effort.sizes[0] // 10, 100))),
        ("tables", partial(table_rows, middle, n_cells, effort.repetitions)),
        ("scale", partial(scale_rows, n_largest, middle, effort.n_steps)),
    ]
    with tqdm(parts, unit="part") as bar:
        for name, rows in bar:
            bar.set_description(name)
            yield from rows()


def main(
    *,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("docs/speed.md"),
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each row.")] = 5,
    steps: Annotated[int, typer.Option(min=100, help="Steps of a single environment.")] = 20_000,
    batched_steps: Annotated[int, typer.Option(min=1, help="Steps of a batched one.")] = 200,
    num_envs: Annotated[int, typer.Option(min=1, help="Sub-environments.")] = 1_024,
    sizes: Annotated[tuple[int, int, int], typer.Option(help="Spots: small, middle, large.")] = (
        1_000,
        5_000,
        100_000,
    ),
    largest: Annotated[int, typer.Option(min=1_000, help="Spots of the slide in a file.")] = (
        1_000_000
    ),
    cells: Annotated[int, typer.Option(min=200, help="Cells of the atlas.")] = 50_000,
) -> None:
    """Measure how fast the environment is, and write a page about it."""
    load = os.getloadavg()[0]
    effort = Effort(repetitions, steps, num_envs, batched_steps, sizes)
    table = markdown(list(measure(effort, largest, cells)))
    with replacing(output) as temporary:
        temporary.write_text(
            PAGE.format(
                command=shlex.join(["python", "-m", "benchmarks.speed", *sys.argv[1:]]),
                machine=(
                    f"{platform.machine()}, {os.cpu_count()} processors, "
                    f"Python {platform.python_version()}"
                ),
                load=load,
                repetitions=repetitions,
                form="compiled code" if COMPILED else "NumPy, for want of compiled code",
                table=table,
            ),
            encoding="utf-8",
        )
    Console().print(table, soft_wrap=True, markup=False)


if __name__ == "__main__":
    typer.run(main)
