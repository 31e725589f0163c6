"""A slide of a million spots in a file: opening it, stepping on it, sending it to a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed.rows import Row

N_FEATURES = 64
N_GENES = 50
BUDGET = 1_000

# Each part runs in a process of its own, so that its memory is its own.
WRITE = """
import sys
import anndata, numpy as np, pandas as pd
from scipy.sparse import random as sparse
from benchmarks.speed.scale import N_FEATURES, N_GENES
from benchmarks.speed.tissue import N_DIMENSIONS, N_TYPES, TYPE_NAMES, square
path, n_spots = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
counts = sparse(n_spots, N_GENES, 0.2, "csr", np.float32, rng, lambda n: rng.poisson(4, n) + 1.0)
names = pd.Index([f"s{index:07d}" for index in range(n_spots)])
adata = anndata.AnnData(counts, obs=pd.DataFrame(index=names))
adata.var_names = [f"gene {index}" for index in range(N_GENES)]
adata.obsm["spatial"] = square(n_spots, 8.0)
adata.obsm["X_patch"] = rng.standard_normal((n_spots, N_FEATURES), np.float32)
adata.obsm["X_cell"] = rng.standard_normal((n_spots, N_DIMENSIONS), np.float32)
types = rng.random((n_spots, N_TYPES), np.float32)
adata.obsm["X_type"] = types / types.sum(axis=1, keepdims=True)
adata.uns["X_type_names"] = TYPE_NAMES
adata.write_h5ad(path)
"""
OPEN = """
import functools, json, pickle, resource, sys, time
import gymnasium as gym, numpy as np
import scr2st_env
from benchmarks.speed.stepping import compare, spot_sampling, play_single, valid_actions
from benchmarks.speed.tissue import make_reference
path, n_spots, n_steps, n_other, budget = sys.argv[1], *map(int, sys.argv[2:6])
reference = make_reference()
start, start_cpu = time.perf_counter(), time.process_time()
arguments = dict(slides=[path], reference=reference, budget=budget, observation="picks")
env = gym.make("SpotSampling-v0", **arguments, min_counts=0, info_mask=False)
env.reset(seed=0)
env.step(0)
ready, cpu = time.perf_counter() - start, time.process_time() - start_cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
start = time.perf_counter()
env.spec
spec = (time.perf_counter() - start) * 1e3
slide = scr2st_env.Slide.from_anndata(path, min_counts=0)
factory = functools.partial(gym.make, "SpotSampling-v0", slides=[slide], observation="picks")
size = len(pickle.dumps(factory)) / 1e3
play = functools.partial(play_single, env, valid_actions(n_spots, budget, n_steps))
small = spot_sampling(n_steps, n_other, observation="picks", budget=budget)
row = compare("", small, play, 5)
print(json.dumps(dict(ready=ready, cpu=cpu, peak=peak, spec=spec, size=size,
                      ratios=list(row.values), made_of=row.beside)))
"""


def scale_rows(n_spots: int, n_other: int, n_steps: int) -> Iterator[Row]:
    """Measure a slide of ``n_spots`` spots in a file against one of ``n_other``."""
    budget = min(BUDGET, n_other // 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "largest.h5ad"
        cache = {"SCR2ST_CACHE": str(Path(folder) / "cache")}
        _run(WRITE, [path, n_spots], cache)
        opening = [path, n_spots, n_steps, n_other, budget]
        first, again = (_run(OPEN, opening, cache) for _ in range(2))
    size = f"{n_spots:,} spots x {N_FEATURES} features"
    working = [f"{opened['cpu']:.3g} s of CPU time" for opened in (first, again)]
    yield Row(
        f"first environment on {size}", [first["ready"]], "s", "at most", 60.0, beside=working[0]
    )
    yield Row("its peak memory", [first["peak"]], "GiB", "at most", 4.0)
    yield Row("second environment on it, another process", [again["ready"]], "s", beside=working[1])
    yield Row("its peak memory", [again["peak"]], "GiB", "at most", 4.0)
    yield Row(
        f"its step / a step at N = {n_other:,}, picks, budget {budget:,}",
        again["ratios"],
        "x",
        "at most",
        2.0,
        beside=again["made_of"],
    )
    yield Row("its env.spec", [first["spec"], again["spec"]], "ms", "at most", 1.0)
    yield Row("a pickled factory of it", [again["size"]], "kB", "at most", 100.0)


def _run(program: str, arguments: list[Any], more: dict[str, str]) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **more},
    )
    last: dict[str, Any] = json.loads(result.stdout.splitlines()[-1]) if result.stdout else {}
    return last
