"""A fitted SCR2Net as one file: arrays as safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.utils.validation import check_is_fitted

from predictor.gaussian_process import Projection
from predictor.scr2net.experts import Blend, Expert, Interpolation, Linear, Regression, Retrieval
from predictor.scr2net.gate import ProgramGate
from predictor.scr2net.kriging import Kriging
from predictor.scr2net.modules import Network, Sizes
from predictor.scr2net.retrieval import MemoryBank
from predictor.scr2net.training import Settings, device_of
from scr2st_env.errors import InputError
from scr2st_env.files import replacing
from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from predictor.scr2net.estimator import SCR2Net

    Arrays = dict[str, NDArray[Any]]

FORMAT = "scr2net-1"
COUNTS = ("n_features_in_", "n_genes_", "n_measured_", "with_coordinates_")
NETWORK = "network."
AnySCR2Net = TypeVar("AnySCR2Net", bound="SCR2Net")


def save(model: SCR2Net, path: str | Path) -> None:
    """Write a fitted model."""
    check_is_fitted(model)
    blend = model.blend_
    arrays: Arrays = {
        "level": model.level_,
        "spread": model.spread_,
        "held_out_error": model.held_out_error_,
        "programs": model.gate_.programs,
        "gains": model.gate_.gains,
        "base.mean": blend.base.mean,
        "base.coefficients": blend.base.coefficients,
    }
    about: dict[str, Any] = {
        "format": FORMAT,
        "parameters": model.get_params(),
        "counts": {name: int(getattr(model, name)) for name in COUNTS},
        "experts": list(blend.experts),
        "weights": blend.weights,
        "scales": blend.scales,
        "spread": blend.spread,
    }
    for expert in blend.experts.values():
        _pack(expert, arrays, about)
    tensors = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"about": json.dumps(about)})


def load(kind: type[AnySCR2Net], path: str | Path) -> AnySCR2Net:
    """Read what :func:`save` wrote."""
    arrays, about = _read(Path(path))
    model = kind(**about["parameters"] | {"experts": tuple(about["parameters"]["experts"])})
    for name, value in about["counts"].items():
        setattr(model, name, value)
    model.with_coordinates_ = bool(model.with_coordinates_)
    model.level_, model.spread_ = arrays["level"], arrays["spread"]
    model.held_out_error_ = arrays["held_out_error"]
    model.gate_ = ProgramGate(arrays["programs"], arrays["gains"])
    base = Linear(arrays["base.mean"], arrays["base.coefficients"])
    experts = _unpack(arrays, about, base)
    model.blend_ = Blend(
        base,
        {name: experts[name] for name in about["experts"]},
        about["weights"],
        about["scales"],
        about["spread"],
    )
    model.weights_ = model.blend_.weights
    return model


def _pack(expert: Expert, arrays: Arrays, about: dict[str, Any]) -> None:
    if isinstance(expert, Linear):
        arrays |= {"linear.mean": expert.mean, "linear.coefficients": expert.coefficients}
    elif isinstance(expert, Interpolation):
        kriging, projection = expert.kriging, expert.projection
        arrays |= {"kriging.mean": projection.mean, "kriging.axes": projection.axes}
        arrays["kriging.looks"], arrays["kriging.values"] = kriging.looks, kriging.values
        arrays["kriging.weights"] = kriging.weights
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
    return network.eval().to(device_of("auto" if about["device"] == "cuda" else about["device"]))


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; name a file that SCR2Net.save wrote")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a saved SCR2Net ({error})") from error
    if about.get("format") != FORMAT:
        raise InputError(f"{path} is not a saved SCR2Net of format {FORMAT}")
    return arrays, about
