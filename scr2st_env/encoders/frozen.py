"""A network with frozen weights as a patch encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scr2st_env.encoders.pixels import checked_patches
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray
    from scr2st_env.encoders.preprocessing import Preprocessing

BATCH_SIZE = 64


def chosen_device(device: str) -> torch.device:
    """Return the device of that name; ``"auto"`` is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used here; take 'auto' or 'cpu'") from error


class FrozenEncoder:
    """Patches through a network in evaluation mode, without gradients, in batches.

    Parameters
    ----------
    name
        What stands for the network and its weights; see :class:`PatchEncoder`.
    network
        Takes float32 (n, 3, side, side).
    features_of
        Calls the network and returns (n, D).
    preprocessing
        What the network expects of its input.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    batch_size
        Patches at a time.

    Raises
    ------
    InputError
        If the device cannot be used, or the network answers at random.

    Attributes
    ----------
    name, dim
        See :class:`PatchEncoder`.
    network, features_of
        As given; the network is frozen.
    """

    def __init__(
        self,
        name: str,
        network: torch.nn.Module,
        features_of: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor],
        preprocessing: Preprocessing,
        *,
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        self.name = name
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self._device = chosen_device(device)
        self.network = network.eval().requires_grad_(requires_grad=False).to(self._device)
        self.features_of = features_of
        shape = (1, preprocessing.side, preprocessing.side, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        features, again = self._encoded(noise), self._encoded(noise)
        if not np.allclose(features, again, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise InputError(
                f"{name} gives the same patch other features each time, as masked autoencoders do; "
                "take a model without random parts"
            )
        self.dim = features.shape[1]

    def encode(self, patches: NDArray[np.uint8]) -> FloatArray:
        """Describe patches.

        Parameters
        ----------
        patches
            RGB, uint8, (n, height, width, 3).

        Returns
        -------
        ndarray of float32, shape (n, dim)

        Raises
        ------
        InputError
            If the array has another type or shape.
        """
        checked = checked_patches(patches)
        features = np.empty((len(checked), self.dim), np.float32)
        for start in range(0, len(checked), self.batch_size):
            batch = slice(start, start + self.batch_size)
            features[batch] = self._encoded(checked[batch])
        return features

    def _encoded(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = self.preprocessing(torch.from_numpy(np.array(patches)), self._device)
        repeatable = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), repeatable:
            features = self.features_of(self.network, pixels)
        return features.float().cpu().numpy()
