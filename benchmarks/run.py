"""The runner: every fold, slide, agent, budget and seed, in parallel and resumable."""

from __future__ import annotations

import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib

from benchmarks.across import Across, play_across, prepare_across
from benchmarks.buying import LEARNED
from benchmarks.checks import check_study, study_folds
from benchmarks.cohort import Study, load_study
from benchmarks.config import BenchmarkConfig
from benchmarks.folds import Ground, grants_cohort, prepare_fold, train_fold_agent
from benchmarks.inputs import claim_inputs
from benchmarks.names import file_stem
from benchmarks.progress import progress_bar
from benchmarks.results import (
    CONFIG,
    EPISODES,
    RUN,
    SCORES,
    Results,
    write_csv,
    write_json,
)
from benchmarks.units import Unit, play_unit, read_unit, units_of
from scr2st_env._version import __version__
from scr2st_env.errors import InputError
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.protocols import Fold

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "gymnasium", "anndata", "joblib")


def run_benchmark(
    config: BenchmarkConfig,
    output: str | Path,
    progress: bool = True,
    study: Study | None = None,
) -> Results:
    """Run a benchmark, or what is left of one that was interrupted.

    Parameters
    ----------
    config
        What to run.
    output
        Folder of the results: ``results.csv`` (all scores), ``episodes.jsonl`` (what was bought,
        in order), ``run.json`` (versions, durations), ``config.json``, ``inputs.json`` (digests
        of the files read), and the units of work. A run that was killed at any moment continues
        here, to the same results.
    progress
        Show a progress bar.
    study
        Slides and reference; default: those that the configuration names.

    Returns
    -------
    Results

    Raises
    ------
    InputError
        If the folder holds results of another configuration or of other files, or the
        configuration asks for what is not there.
    """
    start = time.perf_counter()
    folder = Path(output)
    study = load_study(config, folder, progress=progress) if study is None else study
    check_study(config, study)
    _claim(config, folder)
    claim_inputs(config, folder)
    folds = study_folds(config, study)
    units = [unit for fold in folds for unit in units_of(config, fold)]
    missing = [unit for unit in units if not unit.path(folder).exists()]
    if not missing and (folder / RUN).is_file():
        return Results.load(folder)
    with joblib.parallel_config("loky", n_jobs=config.jobs, inner_max_num_threads=1):
        grounds = _prepared(config, study, folds, missing, folder, progress)
        play = play_across if config.protocol == "cross-patient" else play_unit
        tasks = [
            (play, config, grounds[unit.ground], unit, folder) for unit in _longest_first(missing)
        ]
        with progress_bar("buying and judging", len(units), shown=progress) as bar:
            bar.update(len(units) - len(missing))
            for unit in _in_parallel(tasks):
                bar.set_postfix_str(
                    f"{unit.fold}, {unit.slide} at {unit.budget:.0%}", refresh=False
                )
                bar.update()
    episodes = [episode for unit in units for episode in read_unit(unit, folder)]
    info = _environment(config, study, time.perf_counter() - start, len(missing), folder)
    results = Results.of_episodes(config, episodes, info, folder)
    with replacing(folder / EPISODES) as path:
        path.write_text("".join(unit.path(folder).read_text("utf-8") for unit in units), "utf-8")
    write_csv(results.scores, folder / SCORES)
    write_json(info, folder / RUN)
    return results


def _claim(config: BenchmarkConfig, folder: Path) -> None:
    """Make the folder this configuration's own."""
    path = folder / CONFIG
    if path.is_file():
        earlier = BenchmarkConfig.checked(json.loads(path.read_text("utf-8")), str(path))
        if earlier.digest != config.digest:
            changed = sorted(
                name
                for name in BenchmarkConfig.model_fields
                if getattr(earlier, name) != getattr(config, name)
            )
            raise InputError(
                f"{folder} holds results of another configuration ({', '.join(changed)} differ); "
                "name another output folder or remove this one"
            )
    write_json(config.model_dump(), path)


def _prepared(
    config: BenchmarkConfig,
    study: Study,
    folds: list[Fold],
    missing: list[Unit],
    folder: Path,
    progress: bool,
) -> dict[tuple[str, str], Ground | Across]:
    learned = [spec for spec in config.agents if spec.startswith(LEARNED)]
    training: list[tuple[Any, ...]] = []
    preparing: list[tuple[Any, ...]] = []
    prepare = prepare_across if config.protocol == "cross-patient" else prepare_fold
    for fold in folds:
        own = [unit for unit in missing if unit.fold == fold.name]
        names = [name for name in fold.test if any(unit.tests(name) for unit in own)]
        place = folder / "agents" / file_stem(fold.name)
        if names:
            training += [(train_fold_agent, config, study, fold, spec, place) for spec in learned]
            preparing.append((prepare, config, study, fold, names, place))
    if progress and len(training) == 1:  # one bar of purchases says more than "0 of 1 agents"
        training = [(*training[0], True)]
    # Training takes longest, so it starts first.
    tasks = [*training, *preparing]
    grounds = {}
    doing = "training agents, preparing folds" if learned else "preparing folds"
    with progress_bar(doing, len(tasks), shown=progress) as bar:
        for result in _in_parallel(tasks):
            bar.update()
            grounds.update({ground.key: ground for ground in result or ()})
    return grounds


def _in_parallel(tasks: list[tuple[Any, ...]]) -> Iterator[Any]:
    """Yield what calls, each a function and its arguments, return, as they finish."""
    workers = joblib.Parallel(return_as="generator_unordered")
    finished: Iterable[Any] = workers(joblib.delayed(call[0])(*call[1:]) for call in tasks)
    yield from finished


def _longest_first(units: list[Unit]) -> list[Unit]:
    """Large budgets take longest; what starts first leaves no worker idle at the end."""
    return sorted(units, key=lambda unit: -unit.budget)


def _environment(
    config: BenchmarkConfig, study: Study, seconds: float, n_units: int, folder: Path
) -> dict[str, Any]:
    return {
        "scr2st": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "jobs": config.jobs,
        "digest": config.digest,
        "seeds": list(range(config.seeds)),
        "cohort": grants_cohort(config, study),
        "units_in_this_run": n_units,
        "seconds_of_this_run": round(seconds, 1),
        "folder": folder.name,
    }
