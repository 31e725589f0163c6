"""Encoders that were trained here, on disk: weights as safetensors, settings as JSON."""

from __future__ import annotations

from pathlib import Path

from scr2st_env.embedders.storage import load_arrays, save_arrays
from scr2st_env.encoders.frozen import BATCH_SIZE, FrozenEncoder
from scr2st_env.encoders.pooling import returned
from scr2st_env.encoders.preprocessing import Preprocessing
from scr2st_env.encoders.small_network import SmallNetwork
from scr2st_env.encoders.weights import digest_of
from scr2st_env.errors import InputError

KIND = "trained patch encoder"


def save_encoder(
    path: str | Path,
    network: SmallNetwork,
    widths: tuple[int, ...],
    preprocessing: Preprocessing,
) -> None:
    """Write a trained network to one ``.safetensors`` file, settings as JSON in its header."""
    settings = {"widths": list(widths), "preprocessing": preprocessing.settings}
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    save_arrays(path, KIND, settings, arrays)


def load_encoder(
    path: str | Path, *, device: str = "auto", batch_size: int = BATCH_SIZE
) -> FrozenEncoder:
    """Return the encoder that :func:`scr2st_env.encoders.train_encoder` saved.

    Parameters
    ----------
    path
        The file.
    device, batch_size
        See :func:`scr2st_env.encoders.get_encoder`.

    Returns
    -------
    FrozenEncoder
        Called ``trained@`` and a digest of the file's content, wherever the file lies.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    import torch

    settings, arrays = load_arrays(path, KIND)
    try:
        preprocessing = Preprocessing(**settings["preprocessing"])
        with torch.device("meta"):  # no random weights are drawn in vain
            network = SmallNetwork(tuple(settings["widths"]))
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        network.load_state_dict(tensors, assign=True)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path} is damaged ({error}); train it anew") from error
    return FrozenEncoder(
        f"trained@{digest_of([Path(path)], settings)}",
        network,
        returned,
        preprocessing,
        device=device,
        batch_size=batch_size,
    )
