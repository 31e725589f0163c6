"""An encoder of a lab's own, trained on its patches without labels."""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn
from torch.nn.functional import relu
from tqdm import trange

from scr2st_env.encoders.frozen import chosen_device
from scr2st_env.encoders.pixels import checked_patches
from scr2st_env.encoders.preprocessing import IMAGENET, Preprocessing
from scr2st_env.encoders.small_network import SmallNetwork
from scr2st_env.encoders.trained import load_encoder, save_encoder
from scr2st_env.encoders.views import Views
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scr2st_env.encoders.frozen import FrozenEncoder
    from scr2st_env.patches.source import PatchSource

WIDTHS = (32, 64, 128, 256)
PROJECTED = 512
CHUNK = 128
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0  # the weights of the paper
MIN_PATCHES = 16


def train_encoder(
    patches: PatchSource | Sequence[PatchSource],
    path: str | Path,
    *,
    epochs: int = 20,
    side: int = 96,
    widths: tuple[int, ...] = WIDTHS,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
    views: Views | None = None,
) -> FrozenEncoder:
    """Train a small network so that two views of a patch look alike, and patches do not.

    The loss is VICReg's [1]_: the squared difference between the projections of two views, a hinge
    that keeps each projected dimension's spread above 1, and the squared covariance between
    dimensions. The projection is thrown away after training.

    Parameters
    ----------
    patches
        uint8 (n, height, width, 3), at least 16 of them, without any label; or a list of such
        sources, one per slide, whose patches may differ in size.
    path
        The file to write, ``.safetensors``; its name serves :func:`get_encoder`.
    epochs
        Times that each patch is seen, twice each time; 0 keeps the random weights.
    side
        Pixels to which patches are scaled.
    widths
        Channels of each stage; the last is the number of features.
    batch_size
        Patches at a time.
    learning_rate
        The largest; it rises for a tenth of the steps, then falls to nothing (Adam).
    seed
        Of weights, batches and views: equal seeds give equal encoders on one machine.
    device
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ...
    views
        How patches are varied.

    Returns
    -------
    FrozenEncoder
        As :func:`get_encoder` returns it for ``path``.

    Raises
    ------
    InputError
        If there are too few patches, or a setting makes no sense.

    References
    ----------
    .. [1] Bardes, Ponce & LeCun (2022), ICLR, arXiv:2105.04906.
    """
    if not str(path).endswith(".safetensors"):
        raise InputError(f"{path}: a trained encoder's file ends in .safetensors")
    alone = not isinstance(patches, list | tuple)
    sources = cast("Sequence[PatchSource]", [patches] if alone else patches)
    n_patches = sum(len(source) for source in sources)
    if n_patches < MIN_PATCHES:
        raise InputError(f"{n_patches} patches are too few to train on; {MIN_PATCHES} at least")
    if epochs < 0 or batch_size < 2 or side < 2 ** (len(widths) + 1):
        raise InputError(
            f"epochs={epochs}, batch_size={batch_size}, side={side}: take at least 0, 2 and "
            f"{2 ** (len(widths) + 1)}"
        )
    place = chosen_device(device)
    preprocessing = Preprocessing(side, side, *IMAGENET, "bilinear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallNetwork(widths)
        projection = nn.Sequential(
            nn.Linear(widths[-1], PROJECTED),
            nn.BatchNorm1d(PROJECTED),
            nn.ReLU(),
            nn.Linear(PROJECTED, PROJECTED),
        )
    pixels = torch.cat([scaled_patches(source, preprocessing) for source in sources if len(source)])
    model = nn.Sequential(network, projection).to(place).train()
    _train(model, pixels, preprocessing, views or Views(), epochs, batch_size, learning_rate, seed)
    save_encoder(path, network.cpu(), preprocessing)
    return load_encoder(path, device=device)


def scaled_patches(patches: PatchSource, preprocessing: Preprocessing) -> torch.Tensor:
    """Return all patches, scaled, uint8 (n, 3, side, side)."""
    starts = range(0, len(patches), CHUNK)
    chunks = (np.array(checked_patches(patches[start : start + CHUNK])) for start in starts)
    return torch.cat([preprocessing.scaled(torch.from_numpy(chunk)) for chunk in chunks])


def _train(
    model: nn.Sequential,
    pixels: torch.Tensor,
    preprocessing: Preprocessing,
    views: Views,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    place = next(model.parameters()).device
    size = min(batch_size, len(pixels))
    per_epoch = len(pixels) // size
    if not epochs:
        return
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(_pace, epochs * per_epoch))
    bar = trange(epochs, desc="training", unit="epoch", disable=not sys.stderr.isatty())
    for _ in bar:
        order = torch.randperm(len(pixels), generator=generator)
        for batch in order[: per_epoch * size].view(per_epoch, size):
            shown = pixels[batch].to(place).float() / 255
            one, two = (model(preprocessing.normalised(views(shown, generator))) for _ in range(2))
            loss = vicreg_loss(one, two)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        bar.set_postfix(loss=f"{loss.item():.2f}")


def _pace(n_steps: int, step: int) -> float:
    """Share of the learning rate: up over a tenth of the steps, down along half a cosine."""
    rise = min(1, (step + 1) / max(1, n_steps // 10))
    return rise * (1 + math.cos(math.pi * step / n_steps)) / 2


def vicreg_loss(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """Return VICReg's loss of the projections of two views, each (n, d).

    Notes
    -----
    25 mean (one - two)^2 + 25 mean over dimensions of max(0, 1 - spread) + the squared covariances
    between dimensions over d, the latter two for each view, the hinges halved.
    """
    loss = INVARIANCE * (one - two).square().mean()
    for view in (one, two):
        centred = view - view.mean(dim=0)
        n, d = centred.shape
        spread = (centred.square().sum(dim=0) / (n - 1) + 1e-4).sqrt()
        covariance = centred.T @ centred / (n - 1)
        between = covariance.square().sum() - covariance.diagonal().square().sum()
        loss = loss + VARIANCE / 2 * relu(1 - spread).mean() + COVARIANCE * between / d
    return loss
