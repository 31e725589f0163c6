"""What ``demo`` and ``benchmark`` share: check, run, report, and say what took how long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from benchmarks.config import BenchmarkConfig
from scr2st.lock import LOCK, alone_in
from scr2st.outputs import must_be_writable, remove_while_empty
from scr2st_env.errors import InputError


def run_and_report(config: BenchmarkConfig, output: Path, markdown: Path | None = None) -> None:
    """Run a benchmark, print its table, write its page, and say where that is.

    Parameters
    ----------
    config
        What to run.
    output
        Folder of the results.
    markdown
        Folder of the report as Markdown, where that is wanted too.
    """
    if not config.compares_agents:
        raise InputError(
            "agents names random alone, so no agents can be compared; name another, or compare "
            "predictors with python -m benchmarks.predictors"
        )
    must_be_writable(output / "index.html")
    if markdown is not None:
        must_be_writable(markdown / "README.md")
    with stage("loading slides"):
        from benchmarks.checks import check_names
        from benchmarks.cohort import load_study
        from benchmarks.report.page import write_markdown, write_report
        from benchmarks.report.table import print_table
        from benchmarks.run import run_benchmark

        check_names(config)
        study = load_study(config, output)
    typer.echo(f"{config.title}: {len(study.slides)} slides, protocol {config.protocol}")
    with alone_in(output):
        with stage("training, buying and judging"), no_claim_on_failure(output):
            results = run_benchmark(config, output, study=study)
        print_table(results)
        with stage("drawing the report"):
            write_report(results, output)
            if markdown is not None:
                write_markdown(results, markdown)
    typer.echo(f"open {output / 'index.html'}")


@contextmanager
def no_claim_on_failure(folder: Path) -> Iterator[None]:
    """Leave no trace of a run in which wrong input stopped all work.

    A run marks its folder with its configuration; left behind without a result, that would be in
    the way of the corrected run. Whatever was computed stays, to be continued, and so does all
    that was there before or that other runs put beside it.
    """
    from benchmarks.results import CONFIG, INPUTS
    from benchmarks.synthetic_patients import FOLDER

    marks = {CONFIG, INPUTS}
    claimed = (folder / CONFIG).exists()
    try:
        yield
    except InputError:
        kept = folder / FOLDER
        left = [path for path in folder.rglob("*") if kept not in (path, *path.parents)]
        if not claimed and {path.name for path in left if path.is_file()} <= marks | {LOCK}:
            for mark in marks:
                (folder / mark).unlink(missing_ok=True)
            remove_while_empty(sorted((path for path in left if path.is_dir()), reverse=True))
        raise


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Print how long the block took."""
    start = time.perf_counter()
    yield
    typer.echo(f"{name}: {time.perf_counter() - start:.1f} s")
