"""Patch features on disk, found again by the content of the patches: computed once."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from scr2st_env.arrays import finite_matrix
from scr2st_env.encoders.pixels import checked_patches
from scr2st_env.files import cache_folder, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray
    from scr2st_env.encoders.base import PatchEncoder
    from scr2st_env.patches.source import PatchSource

CHUNK = 128  # patches per file and per task: 19 MB of 224 x 224 pixels


def encode_cached(
    encoder: PatchEncoder,
    patches: PatchSource,
    folder: str | Path | None = None,
    *,
    n_jobs: int = 1,
) -> FloatArray:
    """Encode patches, reading from disk what was encoded before.

    Patches are taken 128 at a time, so that a slide larger than memory can be encoded and an
    interrupted run goes on where it stopped. Each chunk's features are one ``.npy`` file, named
    by a SHA-256 of the encoder's name and the pixels: changed pixels are never mistaken for old
    ones, and deleting the folder is always safe.

    Parameters
    ----------
    encoder
        Whose features.
    patches
        uint8 (n, height, width, 3): an array, or anything that can be sliced into arrays.
    folder
        Default: :func:`scr2st_env.files.cache_folder`, which ``SCR2ST_CACHE`` names.
    n_jobs
        Chunks encoded at the same time, as in joblib; -1 for all cores.

    Returns
    -------
    ndarray of float32, shape (n, encoder.dim)
        Read-only.

    Raises
    ------
    InputError
        If the patches have a wrong type or shape, a feature is not finite, or the folder cannot
        be written to.
    """
    place = cache_folder() if folder is None else Path(folder)
    starts = range(0, len(patches), CHUNK)
    if not starts:
        return finite_matrix(np.empty((0, encoder.dim)), f"{encoder.name} features")
    tasks = (_chunk(encoder, patches[start : start + CHUNK], place) for start in starts)
    if n_jobs != 1 and len(starts) > 1:
        from joblib import Parallel, delayed

        tasks = Parallel(n_jobs, return_as="generator")(
            delayed(_chunk)(encoder, patches[start : start + CHUNK], place) for start in starts
        )
    parts = list(
        tqdm(
            tasks,
            desc=f"encoding with {encoder.name}",
            total=len(starts),
            unit="chunk",
            delay=1.0,
            disable=not sys.stderr.isatty(),
        )
    )
    return finite_matrix(np.concatenate(parts), f"{encoder.name} features", len(patches))


def _chunk(encoder: PatchEncoder, patches: NDArray[np.uint8], folder: Path) -> FloatArray:
    checked = checked_patches(patches)
    shape = (len(checked), encoder.dim)
    digest = hashlib.sha256(f"{encoder.name}|{encoder.dim}|{checked.shape}|".encode())
    digest.update(np.ascontiguousarray(checked).data)
    path = folder / f"{digest.hexdigest()}.npy"
    stored = _read(path, shape)
    if stored is not None:
        return stored
    features = np.asarray(encoder.encode(checked), np.float32)
    with replacing(path) as temporary:
        np.save(temporary, features, allow_pickle=False)
    return features


def _read(path: Path, shape: tuple[int, int]) -> FloatArray | None:
    """Features of the right shape, or None where there is no such (or a damaged) file."""
    try:
        array: FloatArray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.float32 else None
