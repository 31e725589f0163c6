"""The parameters of SCR2Net, checked, and those that its network is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from predictor.scr2net.experts import EXPERTS
from predictor.scr2net.training import Settings
from scr2st_env.arrays import is_count
from scr2st_env.errors import InputError

COUNTS = ("width", "batch_size", "n_neighbors", "epochs")
POSITIVE = ("learning_rate", "retrieval_temperature")
NOT_NEGATIVE = ("weight_decay", "pearson_weight", "contrastive_weight", "retrieval_weight")


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters out of range.

    Parameters
    ----------
    parameters
        What ``SCR2Net().get_params()`` returns.

    Raises
    ------
    InputError
        Naming the first that is wrong.
    """
    experts = parameters["experts"]
    unknown = [name for name in experts if name not in EXPERTS]
    if isinstance(experts, str) or unknown or not experts:
        raise InputError(f"experts must be some of {', '.join(EXPERTS)}; got {experts!r}")
    for name in (*COUNTS, *(() if parameters["n_types"] is None else ("n_types",))):
        if not is_count(parameters[name], 1):
            raise InputError(f"{name} must be at least 1, got {parameters[name]!r}")
    if not is_count(parameters["random_state"], 0):
        raise InputError(
            f"random_state must be a whole number, the seed, got {parameters['random_state']!r}"
        )
    for name in POSITIVE:
        if not parameters[name] > 0:
            raise InputError(f"{name} must be positive, got {parameters[name]}")
    for name in NOT_NEGATIVE:
        if not parameters[name] >= 0:
            raise InputError(f"{name} must not be negative, got {parameters[name]}")


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with Python's numbers for NumPy's, which a grid may hold."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in parameters.items()
    }


def settings_of(parameters: Mapping[str, Any]) -> Settings:
    """Return how a network is trained.

    Parameters
    ----------
    parameters
        As :func:`check_parameters`.

    Returns
    -------
    Settings
    """
    parameters = plain(parameters)
    n_neighbors, n_types = parameters["n_neighbors"], parameters["n_types"]
    return Settings(
        width=parameters["width"],
        learning_rate=parameters["learning_rate"],
        weight_decay=parameters["weight_decay"],
        batch_size=parameters["batch_size"],
        pearson_weight=parameters["pearson_weight"],
        contrastive_weight=parameters["contrastive_weight"],
        retrieval_weight=parameters["retrieval_weight"],
        n_neighbors=n_neighbors,
        n_types=n_neighbors if n_types is None else n_types,  # k neighbours have k types at most
        retrieval_temperature=parameters["retrieval_temperature"],
        seed=parameters["random_state"],
        device=parameters["device"],
        epochs=parameters["epochs"],
    )
