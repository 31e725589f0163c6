"""Models as Stable-Baselines3 saves them: the one place where code from a file may run."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from scr2st_env.errors import InputError

ALGORITHMS = {
    "PPO": "stable_baselines3",
    "A2C": "stable_baselines3",
    "DQN": "stable_baselines3",
    "MaskablePPO": "sb3_contrib",
}


def load_model(path: str | Path, *, execute_code: bool = False) -> Any:
    """Load a model that Stable-Baselines3 or sb3-contrib saved.

    Its file holds pickles, which run whatever code their author put there.

    Parameters
    ----------
    path
        ``*.zip``.
    execute_code
        That whoever made the file is trusted.

    Returns
    -------
    PPO, A2C, DQN or MaskablePPO
        On the CPU, with ``name`` the file's.

    Raises
    ------
    InputError
        If ``execute_code`` is False (nothing is unpickled then), there is no such file, or it is
        no model of these algorithms.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no saved agent at {path}")
    if not execute_code:
        raise InputError(
            f"{path} is a Stable-Baselines3 model, and loading one executes code in the file; if "
            "you trust who made it, pass execute_code=True (on the command line "
            "--execute-code)"
        )
    name = algorithm_of(path)
    algorithm = getattr(import_module(ALGORITHMS[name]), name)
    try:
        model = algorithm.load(path, device="cpu")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be loaded as {name} ({reason})") from error
    model.name = path.stem
    return model


def algorithm_of(path: Path) -> str:
    """Return which algorithm saved a model, as the file's JSON tells; runs no code.

    Raises
    ------
    InputError
        If it is none of those known here.
    """
    try:
        with ZipFile(path) as archive:
            fields = json.loads(archive.read("data"))
        buffer = str((fields.get("rollout_buffer_class") or {}).get("__module__", ""))
        policy = str(fields["policy_class"]["__module__"])
    except (BadZipFile, KeyError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is no model that Stable-Baselines3 saved") from error
    if "exploration_fraction" in fields and not policy.startswith("sb3_contrib"):
        return "DQN"
    if "gae_lambda" in fields and ".recurrent" not in buffer and "cg_max_steps" not in fields:
        if ".maskable" in buffer:
            return "MaskablePPO"
        return "PPO" if "clip_range" in fields else "A2C"
    raise InputError(
        f"{path} is of none of the algorithms {', '.join(ALGORITHMS)}; load it yourself and hand "
        "the model to agents.run_episode"
    )
