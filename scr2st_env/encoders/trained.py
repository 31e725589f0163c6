"""Encoders that were trained here, on disk: weights as safetensors, settings as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scr2st_env.embedders.storage import load_arrays, save_arrays
from scr2st_env.encoders.frozen import BATCH_SIZE, FrozenEncoder
from scr2st_env.encoders.pooling import returned
from scr2st_env.encoders.preprocessing import Preprocessing
from scr2st_env.encoders.small_network import SmallNetwork
from scr2st_env.encoders.weights import digest_of
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scr2st_env.encoders.base import PatchEncoder
    from scr2st_env.encoders.pooling import FeaturesOf

KIND = "trained patch encoder"


def save_encoder(
    path: str | Path,
    network: torch.nn.Module,
    preprocessing: Preprocessing,
    base: str | None = None,
) -> None:
    """Write a trained network to one ``.safetensors`` file, settings as JSON in its header.

    Parameters
    ----------
    path
        The file.
    network
        A :class:`SmallNetwork`, or that of the encoder named by ``base``.
    preprocessing
        What it takes.
    base
        Name, for :func:`get_encoder`, of the encoder whose network this was before it was trained.
    """
    settings: dict[str, Any] = {"preprocessing": preprocessing.settings}
    if isinstance(network, SmallNetwork):
        settings["widths"] = list(network.widths)
    else:
        settings["base"] = base
    arrays = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    save_arrays(path, KIND, settings, arrays)


def load_encoder(
    path: str | Path,
    *,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    find: Callable[[str], PatchEncoder] | None = None,
) -> FrozenEncoder:
    """Return an encoder that was trained here and saved.

    Parameters
    ----------
    path
        The file.
    device, batch_size
        See :func:`scr2st_env.encoders.get_encoder`.
    find
        Finds by its name the encoder that training started from, where it was a published one.

    Returns
    -------
    FrozenEncoder
        Called ``trained@`` and a digest of the file's content, wherever the file lies.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    settings, arrays = load_arrays(path, KIND)
    features_of: FeaturesOf = returned
    try:
        preprocessing = Preprocessing(**settings["preprocessing"])
        network: torch.nn.Module
        if "widths" in settings:
            with torch.device("meta"):  # no random weights are drawn in vain
                network = SmallNetwork(tuple(settings["widths"]))
        else:
            network, features_of = _base(settings["base"], find)
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        network.load_state_dict(tensors, assign=True)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path} is damaged ({error}); train it anew") from error
    return FrozenEncoder(
        f"trained@{digest_of([Path(path)], settings)}",
        network,
        features_of,
        preprocessing,
        device=device,
        batch_size=batch_size,
    )


def _base(
    name: str, find: Callable[[str], PatchEncoder] | None
) -> tuple[torch.nn.Module, FeaturesOf]:
    encoder = None if find is None else find(name)
    if not isinstance(encoder, FrozenEncoder):
        raise InputError(f"{name} is no network that can be trained")
    return encoder.network, encoder.features_of
