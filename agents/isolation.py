"""Seeding libraries that know only global random numbers, without touching the caller's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated_randomness(seed: int, n_threads: int | None = None) -> Iterator[None]:
    """Seed all global generators inside the block and put them back after it.

    Stable-Baselines3 draws minibatches from NumPy's global generator and actions from torch's.

    Parameters
    ----------
    seed
        Inside the block.
    n_threads
        Threads of torch inside the block; default: as they are.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            if n_threads is not None:
                torch.set_num_threads(n_threads)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_num_threads(threads)
