"""``scr2st demo``: the whole job on synthetic tissue."""

from pathlib import Path
from typing import Annotated, Any

import typer

QUICK: dict[str, Any] = {
    "title": "Quick demonstration on synthetic tissue",
    "agents": ["random", "design", "learned:reward"],
    "budgets": [0.1],
    "judges": ["gp", "ridge"],
    "seeds": 1,
    "training_steps": 512,
}


def demo(
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the results; default results/demo, or results/demo-quick.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="One budget, one seed, hardly any training: less than a minute."
        ),
    ] = False,
) -> None:
    """See the whole job on synthetic tissue, which comes with the package.

    An agent is trained on fully measured slides, buys spots on slides of patients it has never
    seen, and SCR2Net predicts the rest from what was bought; the same is done for random, grid,
    farthest-point and design-based sampling. About three minutes on two cores, without a GPU.
    DIR/index.html shows the result. A run that was interrupted continues.
    """
    from benchmarks.config import load_config
    from scr2st.stages import run_and_report

    config = load_config("demo", **(QUICK if quick else {}))
    run_and_report(config, output or Path("results") / ("demo-quick" if quick else "demo"))
