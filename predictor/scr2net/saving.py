"""A fitted SCR2Net as one file: arrays as safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from predictor.gaussian_process import Projection
from predictor.scr2net.experts import Blend, Expert, Interpolation, Linear, Regression, Retrieval
from predictor.scr2net.gate import ProgramGate
from predictor.scr2net.kriging import Kriging
from predictor.scr2net.modules import Network, Sizes
from predictor.scr2net.parameters import plain
from predictor.scr2net.retrieval import MemoryBank
from predictor.scr2net.training import Settings
from scr2st_env.embedders.storage import load_arrays, save_arrays
from scr2st_env.encoders.frozen import chosen_device
from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

KIND = "scr2net"
NETWORK = "network."
ATTRIBUTE = "attribute."
LISTS = "lists"  # names of genes, spots, ...: too many for the header, so JSON in an array of bytes


def save(path: str | Path, parameters: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    """Write a fitted model.

    Parameters
    ----------
    path
        The file; replaced at once.
    parameters
        Of the constructor.
    attributes
        What ``fit`` learned, by name: numbers, text, lists of text, arrays, ``blend_`` and
        ``gate_``.
    """
    blend, gate = attributes["blend_"], attributes["gate_"]
    arrays: Arrays = {
        "programs": gate.programs,
        "gains": gate.gains,
        "base.mean": blend.base.mean,
        "base.coefficients": blend.base.coefficients,
    }
    about: dict[str, Any] = {
        "parameters": plain(parameters),
        "attributes": {},
        "experts": list(blend.experts),
        "weights": blend.weights,
        "scales": blend.scales,
        "spread": blend.spread,
    }
    lists: dict[str, list[str]] = {}
    for name, value in attributes.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            arrays[ATTRIBUTE + name] = value
        elif isinstance(value, np.ndarray | tuple):
            lists[name] = list(value)
        elif isinstance(value, bool | int | str):
            about["attributes"][name] = value
    for expert in blend.experts.values():
        _pack(expert, arrays, about)
    arrays[LISTS] = np.frombuffer(json.dumps(lists).encode(), np.uint8)
    save_arrays(path, KIND, about, arrays)


def load(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the parameters and attributes that :func:`save` wrote; nothing is unpickled.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    about, arrays = load_arrays(path, KIND)
    parameters = about["parameters"]
    parameters["experts"] = tuple(parameters["experts"])
    attributes = dict(about["attributes"])
    lists = json.loads(arrays[LISTS].tobytes())
    attributes |= {name: tuple(values) for name, values in lists.items()}
    if "feature_names_in_" in lists:  # the one that scikit-learn wants as an array
        attributes["feature_names_in_"] = np.array(lists["feature_names_in_"], object)
    for name, values in arrays.items():
        if name.startswith(ATTRIBUTE):
            attributes[name.removeprefix(ATTRIBUTE)] = values
    base = Linear(arrays["base.mean"], arrays["base.coefficients"])
    experts = _unpack(arrays, about, base)
    named = {name: experts[name] for name in about["experts"]}
    attributes["gate_"] = ProgramGate(arrays["programs"], arrays["gains"])
    attributes["blend_"] = Blend(base, named, about["weights"], about["scales"], about["spread"])
    attributes["weights_"] = attributes["blend_"].weights
    return parameters, attributes


def _pack(expert: Expert, arrays: Arrays, about: dict[str, Any]) -> None:
    if isinstance(expert, Linear):
        arrays |= {"linear.mean": expert.mean, "linear.coefficients": expert.coefficients}
    elif isinstance(expert, Interpolation):
        kriging, projection = expert.kriging, expert.projection
        arrays |= {"kriging.mean": projection.mean, "kriging.axes": projection.axes}
        arrays["kriging.looks"], arrays["kriging.values"] = kriging.looks, kriging.values
        arrays["kriging.weights"], arrays["kriging.programs"] = kriging.weights, kriging.programs
        arrays["kriging.shares"] = kriging.shares
        if kriging.places is not None:
            arrays["kriging.places"] = kriging.places
        about["kernels"] = [astuple(kernel) for kernel in kriging.kernels]
    elif isinstance(expert, Regression | Retrieval):
        state = expert.network.state_dict()
        arrays |= {NETWORK + name: tensor.cpu().numpy() for name, tensor in state.items()}
        about["sizes"] = asdict(expert.network.sizes)
        about["device"] = str(expert.network.log_temperature.device.type)
        if isinstance(expert, Retrieval):
            arrays |= {"bank.keys": expert.bank.keys, "bank.profiles": expert.bank.profiles}
            if expert.bank.types is not None:
                arrays["bank.types"] = expert.bank.types
            about["settings"] = asdict(expert.settings)


def _unpack(arrays: Arrays, about: dict[str, Any], base: Linear) -> dict[str, Expert]:
    experts: dict[str, Expert] = {}
    if "linear.mean" in arrays:
        experts["linear"] = Linear(arrays["linear.mean"], arrays["linear.coefficients"])
    if "kriging.looks" in arrays:
        kriging = Kriging(
            arrays.get("kriging.places"),
            arrays["kriging.looks"],
            arrays["kriging.values"],
            tuple(Kernel(*values) for values in about["kernels"]),
            arrays["kriging.weights"],
            arrays["kriging.programs"],
            arrays["kriging.shares"],
        )
        projection = Projection(arrays["kriging.mean"], arrays["kriging.axes"])
        experts["kriging"] = Interpolation(projection, kriging)
    if "sizes" in about:
        network = _network(arrays, about)
        experts["regression"] = Regression(network, base)
        if "bank.keys" in arrays:
            bank = MemoryBank(
                arrays["bank.keys"], arrays["bank.profiles"], arrays.get("bank.types")
            )
            experts["retrieval"] = Retrieval(network, bank, Settings(**about["settings"]))
    return experts


def _network(arrays: Arrays, about: dict[str, Any]) -> Network:
    network = Network(Sizes(**about["sizes"]))
    state = {
        name.removeprefix(NETWORK): torch.from_numpy(values)
        for name, values in arrays.items()
        if name.startswith(NETWORK)
    }
    network.load_state_dict(state)
    place = "auto" if about["device"] == "cuda" else about["device"]
    return network.eval().to(chosen_device(place))
