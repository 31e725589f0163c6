"""What a folder of results was computed from: a run goes on only where that is still the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import INPUTS, write_json
from scr2st_env._version import __version__
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from benchmarks.config import BenchmarkConfig


def describe_inputs(config: BenchmarkConfig) -> dict[str, str]:
    """Describe what is read.

    Parameters
    ----------
    config
        Of the benchmark.

    Returns
    -------
    dict of str to str
        The version of this package; SHA-256 of every slide, reference and saved agent named by
        path; size and time of change of the files of HER2ST, which are too large to be hashed at
        every start.
    """
    named = [*config.slides, config.reference, *config.agents]
    described = {name: _digest(Path(name)) for name in named if name and Path(name).is_file()}
    if config.slides in (["her2st"], ["her2st-imaged"]):
        from benchmarks.her2st import data_folder

        folder = data_folder()
        for path in sorted([*folder.rglob("*.h5ad"), *folder.rglob("*.npz")]):
            state = path.stat()
            described[str(path.relative_to(folder))] = f"{state.st_size} bytes, {state.st_mtime_ns}"
    return {"scr2st": __version__, **described}


def claim_inputs(config: BenchmarkConfig, folder: Path) -> None:
    """Write down what a new folder is computed from, or compare it with what was written.

    Raises
    ------
    InputError
        Naming what changed.
    """
    path, inputs = folder / INPUTS, describe_inputs(config)
    if path.is_file():
        earlier = json.loads(path.read_text("utf-8"))
        changed = sorted(
            name for name in inputs.keys() | earlier.keys() if inputs.get(name) != earlier.get(name)
        )
        if changed:
            raise InputError(
                f"inputs of {folder} changed: {', '.join(changed)}; name another output folder"
            )
        return
    if any((folder / "units").glob("*.jsonl")):
        raise InputError(
            f"{folder} does not say what it was computed from ({INPUTS}); name another output "
            "folder"
        )
    write_json(inputs, path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
