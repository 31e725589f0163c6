"""``python -m benchmarks.predictor_speed``: how fast SCR2Net retrieves and learns."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.speed.rows import Row, markdown
from benchmarks.speed.stepping import compare
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from predictor.scr2net.retrieval import MemoryBank

    Array = NDArray[np.float32]

PAGE = """# Speed of the predictor

`{command}` wrote this page on {machine}.

A ratio is that of two things measured one right after the other in one process, in CPU time on \
one thread; each row gives the median and the range of {repetitions} repetitions. Seconds and \
memory are those of a process of its own with {threads} threads. Seconds are the CPU time of all \
threads over the number of threads that work, which is what the clock shows where nothing else \
runs; beside them is what it did show.

{table}

Up to 200,000 rows SCR2Net's memory bank is searched exactly. Beyond, rows are compared by codes \
of 2 bits per dimension, and the best 10 per neighbour again at half precision. The profiles above \
are drawn from Student's t with 3 degrees of freedom, independently, and scaled to unit length: \
there are no clusters that a graph or inverted lists could follow.
"""
N_GENES, N_FEATURES, N_TYPES = 300, 163, 8
WIDTH = 256
N_NEIGHBORS, N_KEPT_TYPES, TEMPERATURE = 100, 2, 0.4
N_RETRIEVED = 50
N_CHECKED = 200  # queries whose neighbours are compared with those of an exact search
N_MEASURED = 100


def unit_rows(n_rows: int, rng: np.random.Generator) -> Array:
    """Return unit vectors of independent heavy-tailed values, (n, WIDTH)."""
    rows = rng.standard_normal((n_rows, WIDTH), np.float32)
    for start in range(0, n_rows, 50_000):  # Student's t is a normal over the root of a gamma
        part = rows[start : start + 50_000]
        part /= np.sqrt(rng.standard_gamma(1.5, part.shape, np.float32) / 1.5)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def loop_of_labels(bank: MemoryBank, indices: NDArray[np.int64], similarity: Array) -> Array:
    """Return soft labels, (n, G), spot by spot: what the vectorised filter is compared with."""
    labels = np.empty((len(indices), bank.profiles.shape[1]), np.float32)
    types = bank.types if bank.types is not None else np.zeros(len(bank.keys), np.int64)
    for spot, (rows, likeness) in enumerate(zip(indices, similarity, strict=True)):
        counted = Counter(types[rows].tolist())
        frequent = [kind for kind, _ in counted.most_common(N_KEPT_TYPES)]
        kept = np.isin(types[rows], frequent)
        weights = np.exp((likeness[kept] - likeness[kept].max()) / TEMPERATURE)
        labels[spot] = weights / weights.sum() @ bank.profiles[rows[kept]]
    return labels


def label_row(n_spots: int, repetitions: int) -> Row:
    """Compare the majority filter and the soft labels with a loop over spots.

    Raises
    ------
    AssertionError
        If the two differ by more than rounding.
    """
    from predictor.scr2net.retrieval import MemoryBank

    rng = np.random.default_rng(0)
    profiles = rng.standard_normal((n_spots, N_GENES), np.float32)
    bank = MemoryBank(unit_rows(n_spots, rng), profiles, rng.integers(N_TYPES, size=n_spots))
    found = bank.retrieve(bank.keys, N_NEIGHBORS, own=np.arange(n_spots))
    similarity = np.einsum("nd,nkd->nk", bank.keys, bank.keys[found.indices])

    def ours() -> Array:
        kept = bank.weigh(found.indices, similarity, N_KEPT_TYPES, TEMPERATURE)
        return bank.soft_labels(kept)

    def theirs() -> Array:
        return loop_of_labels(bank, found.indices, similarity)

    np.testing.assert_allclose(ours(), theirs(), atol=1e-4)
    return compare(
        f"loop with Counter / majority filter and soft labels, {n_spots:,} spots, "
        f"{N_GENES} genes, k = {N_NEIGHBORS}",
        lambda: cpu_seconds(ours),
        lambda: cpu_seconds(theirs),
        repetitions,
        bar=3.0,
    )


def epoch_row(n_spots: int, repetitions: int) -> Row:
    """Compare a training epoch with retrieval to one without."""
    from predictor import Cohort, SCR2Net
    from predictor.scr2net.training import train_on

    rng = np.random.default_rng(0)
    cohort = Cohort(
        rng.standard_normal((n_spots, N_FEATURES), np.float32),
        rng.standard_normal((n_spots, N_GENES), np.float32),
        rng.dirichlet(np.ones(N_TYPES), n_spots).astype(np.float32),
    )

    def one_epoch(weight: float) -> Callable[[], float]:
        model = SCR2Net(n_neighbors=N_NEIGHBORS, retrieval_weight=weight, device="cpu")
        learned = model.pretrain(cohort)
        examples = learned.examples
        return lambda: cpu_seconds(
            lambda: train_on(learned.network, examples, learned.settings, epochs=1)
        )

    return compare(
        f"training epoch with retrieval / without, {n_spots:,} spots, k = {N_NEIGHBORS}",
        one_epoch(0.0),
        one_epoch(0.2),
        repetitions,
        sense="at most",
        bar=2.0,
    )


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that something takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def search_alone(n_rows: int, n_queries: int) -> dict[str, float]:
    """Retrieve from very many profiles, in this process; return seconds, memory and recall."""
    import resource

    from predictor.scr2net.retrieval import MemoryBank
    from predictor.scr2net.search import NearestRows

    rng = np.random.default_rng(0)
    keys, queries = unit_rows(n_rows, rng), unit_rows(n_queries, rng)
    began_cpu = time.process_time()
    bank = MemoryBank(keys, keys)
    build = time.process_time() - began_cpu
    began, began_cpu = time.perf_counter(), time.process_time()
    found = bank.retrieve(queries, N_RETRIEVED)
    seconds = time.perf_counter() - began, time.process_time() - began_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    truth = NearestRows(keys, exact_rows=n_rows).search(queries[:N_CHECKED], N_RETRIEVED)[1]
    shared = [
        len(set(ours) & set(theirs))
        for ours, theirs in zip(found.indices[:N_CHECKED].tolist(), truth.tolist(), strict=True)
    ]
    return {
        "build": build,
        "seconds": seconds[0],
        "cpu": seconds[1],
        "peak": peak,
        "recall": float(np.mean(shared)) / truth.shape[1],
    }


def fit_alone() -> dict[str, float]:
    """Fit SCR2Net on one slide's measured spots, in this process; return seconds."""
    from predictor import SCR2Net

    rng = np.random.default_rng(0)
    measured = rng.standard_normal((N_MEASURED, N_FEATURES)), rng.random((N_MEASURED, N_GENES))
    began, began_cpu = time.perf_counter(), time.process_time()
    SCR2Net().fit(
        *measured,
        coordinates=rng.uniform(0, 20, (N_MEASURED, 2)),
        cell_types=rng.dirichlet(np.ones(N_TYPES), N_MEASURED),
    )
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - began_cpu}


def alone(call: str, threads: int) -> dict[str, float]:
    """Return what a function of this file returns in a fresh process with so many threads."""
    code = f"import json; from benchmarks.predictor_speed import *; print(json.dumps({call}))"
    # waiting threads sleep, so that CPU time is that of work
    settings = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    run = subprocess.run(  # noqa: S603 - this interpreter, on this file
        [sys.executable, "-c", code],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, float] = json.loads(run.stdout)
    return result


def search_rows(n_rows: int, n_queries: int, threads: int, repetitions: int) -> Iterator[Row]:
    """Measure retrieval from very many profiles."""
    runs = [alone(f"search_alone({n_rows}, {n_queries})", threads) for _ in range(repetitions)]
    clock, build = (float(np.median([run[key] for run in runs])) for key in ("seconds", "build"))
    yield Row(
        f"retrieval of {n_queries:,} queries from {n_rows:,} profiles of {WIDTH} dimensions, "
        f"k = {N_RETRIEVED}",
        [run["cpu"] / threads for run in runs],
        "s",
        "at most",
        10.0,
        beside=f"{clock:.3g} s on the clock; built in {build / threads:.3g} s",
    )
    yield Row(
        f"its recall@{N_RETRIEVED} against exact search",
        [run["recall"] for run in runs],
        "",
        "at least",
        0.95,
        beside=f"{min(N_CHECKED, n_queries)} queries",
    )
    yield Row(
        "its peak memory, the profiles and the build included",
        [run["peak"] for run in runs],
        "GB",
        "at most",
        6.0,
    )


def fit_row(threads: int, repetitions: int) -> Row:
    """Measure a fit on one slide, the libraries' first use included."""
    runs = [alone("fit_alone()", threads) for _ in range(repetitions)]
    clock = float(np.median([run["seconds"] for run in runs]))
    return Row(
        f"SCR2Net.fit on {N_MEASURED} measured spots, {N_FEATURES} features, {N_GENES} genes",
        [run["cpu"] for run in runs],
        "s",
        "at most",
        10.0,
        beside=f"one thread; {clock:.3g} s on the clock",
    )


def main(
    *,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path(
        "docs/predictor_speed.md"
    ),
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions of each row.")] = 3,
    spots: Annotated[int, typer.Option(min=150, help="Measured spots of the ratios.")] = 5_000,
    profiles: Annotated[int, typer.Option(min=100, help="Profiles that are searched.")] = 1_000_000,
    queries: Annotated[int, typer.Option(min=1, help="Queries of that search.")] = 10_000,
    threads: Annotated[int, typer.Option(min=1, help="Threads of what is timed in seconds.")] = 2,
) -> None:
    """Measure how fast SCR2Net retrieves and learns, and write a page about it."""
    with one_thread():
        rows = [label_row(spots, repetitions), epoch_row(spots, repetitions)]
    rows += [*search_rows(profiles, queries, threads, repetitions), fit_row(threads, repetitions)]
    table = markdown(rows)
    with replacing(output) as temporary:
        temporary.write_text(
            PAGE.format(
                command=shlex.join(["python", "-m", "benchmarks.predictor_speed", *sys.argv[1:]]),
                machine=f"{platform.machine()}, Python {platform.python_version()}",
                repetitions=repetitions,
                threads=threads,
                table=table,
            ),
            encoding="utf-8",
        )
    Console().print(table, soft_wrap=True, markup=False)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep every library to one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    typer.run(main)
