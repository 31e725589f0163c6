"""Trained agents on disk: one safetensors file, its settings as JSON in the header.

Reading executes nothing: the file holds tensors and text.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional

from agents.policy.context import PRIORS, n_spot_inputs
from agents.policy.feedback import Atlas
from agents.policy.inputs import FeatureProjection, InputSettings
from agents.policy.network import SpotNetwork
from agents.record import TrainingRecord
from scr2st_env._version import __version__
from scr2st_env.errors import InputError
from scr2st_env.files import replacing

KEY = "scr2st_spot_agent"
FORMAT = 2
PROJECTION = "projection"
STATES = "states"


@dataclass(config={"extra": "forbid"})
class Header:
    """What the file says beside its tensors."""

    format: int
    name: str
    encoder: str
    n_features: int
    settings: InputSettings
    width: int
    prior_strength: float
    record: TrainingRecord | None
    versions: dict[str, str]
    sharing_width: float | None = None


class AgentParts(NamedTuple):
    """What makes a spot agent, in the order in which its constructor takes it."""

    network: SpotNetwork
    settings: InputSettings
    projection: FeatureProjection
    record: TrainingRecord | None
    name: str
    atlas: Atlas | None


def write_parts(parts: AgentParts, path: str | Path) -> None:
    """Write an agent to a file that appears whole or not at all.

    Parameters
    ----------
    parts
        Of an agent, trained or not.
    path
        By custom ``*.safetensors``; replaced if it exists.
    """
    header = Header(
        format=FORMAT,
        name=parts.name,
        encoder=parts.projection.encoder,
        n_features=parts.projection.n_features,
        settings=parts.settings,
        width=parts.network.width,
        prior_strength=parts.network.prior_strength,
        record=parts.record,
        versions={"scr2st": __version__}
        | {library: version(library) for library in ("torch", "sb3-contrib")},
        sharing_width=None if parts.atlas is None else parts.atlas.width,
    )
    tensors = {key: value.contiguous() for key, value in parts.network.state_dict().items()}
    tensors[PROJECTION] = torch.from_numpy(parts.projection.components.copy())
    if parts.atlas is not None:
        tensors[STATES] = parts.atlas.states.contiguous()
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={KEY: json.dumps(asdict(header))})


def read_parts(path: str | Path) -> AgentParts:
    """Read what :func:`write_parts` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    AgentParts

    Raises
    ------
    InputError
        If there is no such file, it is cut short, or it is something else than a spot agent.
    """
    header, tensors = _read(Path(path))
    components = tensors.pop(PROJECTION, None)
    if components is None or components.shape[:1] != (header.n_features,):
        raise InputError(f"{path} is damaged: its feature projection is missing or misshapen")
    projection = FeatureProjection(header.encoder, components.numpy().astype(np.float32))
    atlas, states = None, tensors.pop(STATES, None)
    if states is not None and header.sharing_width is not None:
        atlas = Atlas(states, header.sharing_width)
    if header.settings.feedback != (atlas is not None):
        raise InputError(f"{path} is damaged: its cell states do not fit its settings")
    n_inputs = n_spot_inputs(header.settings, projection)
    first = tensors.get("spot.0.weight")
    if first is None or first.shape != (header.width, n_inputs):
        raise InputError(f"{path} is damaged: its network does not fit its settings")
    prior = tensors.get("prior")
    if prior is not None and len(prior) < len(PRIORS):  # of a version that knew fewer designs
        tensors["prior"] = functional.pad(prior, (0, len(PRIORS) - len(prior)))
    network = SpotNetwork(n_inputs, header.width, header.prior_strength)
    try:
        network.load_state_dict(OrderedDict(tensors))
    except RuntimeError as error:
        raise InputError(f"{path} is damaged: its network does not fit its settings") from error
    return AgentParts(network, header.settings, projection, header.record, header.name, atlas)


def _read(path: Path) -> tuple[Header, dict[str, torch.Tensor]]:
    if not path.is_file():
        raise InputError(f"there is no saved agent at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors: dict[str, Any] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is no whole safetensors file ({str(error).splitlines()[0]}); "
            "save the agent again with SpotAgent.save"
        ) from error
    if text is None:
        raise InputError(f"{path} holds no spot agent; make one with agents.train_spot_agent")
    try:
        fields = json.loads(text)
        if fields.get("format") != FORMAT:
            raise InputError(
                f"{path} was written in format {fields.get('format')}, this version reads "
                f"{FORMAT}; install the version that wrote it: {fields.get('versions')}"
            )
        return Header(**fields), tensors
    except (json.JSONDecodeError, AttributeError, TypeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged: its header cannot be read ({reason})") from error
