"""SCR2Net's network on patches: a backbone trained together with its heads."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn
from tqdm import trange

from predictor.base import Cohort, gene_spread
from predictor.scr2net.estimator import SCR2Net
from predictor.scr2net.modules import Network, Sizes
from predictor.scr2net.pretraining import cohort_examples
from predictor.scr2net.training import (
    Examples,
    Settings,
    mixed_precision,
    network_loss,
    soft_labels,
)
from scr2st_env.encoders.base import get_encoder
from scr2st_env.encoders.frozen import FrozenEncoder, chosen_device
from scr2st_env.encoders.pooling import returned
from scr2st_env.encoders.preprocessing import IMAGENET, Preprocessing
from scr2st_env.encoders.small_network import SmallNetwork
from scr2st_env.encoders.trained import load_encoder, save_encoder
from scr2st_env.encoders.training import WIDTHS, scaled_patches
from scr2st_env.encoders.views import Views
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scr2st_env.encoders.pooling import FeaturesOf
    from scr2st_env.patches.source import PatchSource

SIDE = 96
EVALUATED = 64  # patches at a time, where nothing is learned


class EndToEnd(nn.Module):
    """A backbone on patches, and SCR2Net's network on what it says.

    Parameters
    ----------
    backbone
        Takes normalised pixels, (n, 3, side, side).
    features_of
        Calls it and returns (n, D).
    preprocessing
        What it expects of its input.
    sizes
        Of the network, n_features being D.
    """

    def __init__(
        self,
        backbone: nn.Module,
        features_of: FeaturesOf,
        preprocessing: Preprocessing,
        sizes: Sizes,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(sizes.n_features)
        self.network = Network(sizes)
        self.features_of, self.preprocessing = features_of, preprocessing

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features, (n, D), of pixels 0..1, (n, 3, side, side)."""
        features = self.features_of(self.backbone, self.preprocessing.normalised(pixels))
        return cast("torch.Tensor", self.norm(features.float()))


def train_end_to_end(
    patches: PatchSource | Sequence[PatchSource],
    cohort: Cohort,
    path: str | Path,
    backbone: str | None = None,
    *,
    model: SCR2Net | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    backbone_learning_rate: float | None = None,
    views: Views | None = None,
) -> FrozenEncoder:
    """Train a backbone end to end on retrospective slides: from patches to expression.

    The losses are SCR2Net's, regression, contrastive alignment and soft labels, and their
    gradients go through its heads into the backbone. What comes back is a patch encoder: its
    features of these and of new slides serve :class:`SCR2Net`, whose heads then learn from the
    bought spots. A backbone has seen the expression of the spots that it was trained on, so only
    spots of **other** slides may be bought or scored with it.

    Parameters
    ----------
    patches
        One per spot of the cohort, in its order; or a list of sources, one per slide.
    cohort
        Expression, and cell types where known, of the spots; its features are not used.
    path
        The file to write, ``.safetensors``; its name serves
        :func:`scr2st_env.encoders.get_encoder`, and ``scr2st features --encoder``.
    backbone
        Where to start: the name of any network that :func:`scr2st_env.encoders.get_encoder` knows
        (``"timm:resnet50"``, ``"phikon"``, a file of
        :func:`scr2st_env.encoders.train_encoder`); None: a small network with random weights.
    model
        Whose settings are used: width, weights of the losses, retrieval, seed, device.
    epochs
        Times that each patch is seen.
    batch_size
        Patches at a time.
    backbone_learning_rate
        Default: that of the model, a tenth of it where a backbone is named, whose weights are good
        already.
    views
        How patches are varied in training.

    Returns
    -------
    FrozenEncoder
        As :func:`scr2st_env.encoders.get_encoder` returns it for ``path``.

    Raises
    ------
    InputError
        If patches and spots differ in number, or the backbone is no network.
    """
    if not str(path).endswith(".safetensors"):
        raise InputError(f"{path}: a trained encoder's file ends in .safetensors")
    settings = (model or SCR2Net())._settings()  # noqa: SLF001 - one package
    alone = not isinstance(patches, list | tuple)
    sources = cast("Sequence[PatchSource]", [patches] if alone else patches)
    n_patches = sum(map(len, sources))
    if n_patches != len(cohort.features):
        raise InputError(f"the cohort has {len(cohort.features)} spots, but {n_patches} patches")
    if epochs < 1 or batch_size < 2 or n_patches < 2:
        raise InputError(
            f"epochs={epochs}, batch_size={batch_size}, {n_patches} patches: take at least 1, 2, 2"
        )
    examples = cohort_examples(cohort, gene_spread(cohort.centred_expression))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        learner = _learner(backbone, examples.targets.shape[1], settings.width)
        learner.to(chosen_device(settings.device))
        rate = backbone_learning_rate
        if rate is None:
            rate = settings.learning_rate * (1.0 if backbone is None else 0.1)
        pixels = torch.cat(
            [scaled_patches(source, learner.preprocessing) for source in sources if len(source)]
        )
        _train(learner, pixels, examples, settings, epochs, batch_size, rate, views or Views())
    save_encoder(path, learner.backbone.cpu(), learner.preprocessing, backbone)
    return load_encoder(path, device=settings.device, find=get_encoder)


def _learner(backbone: str | None, n_genes: int, width: int) -> EndToEnd:
    if backbone is None:
        sizes = Sizes(WIDTHS[-1], n_genes, width)
        preprocessing = Preprocessing(SIDE, SIDE, *IMAGENET, "bilinear")
        return EndToEnd(SmallNetwork(WIDTHS), returned, preprocessing, sizes)
    encoder = get_encoder(backbone, device="cpu")
    if not isinstance(encoder, FrozenEncoder):
        raise InputError(f"{backbone} is no network that can be trained; name one, or none")
    network = copy.deepcopy(encoder.network).requires_grad_(requires_grad=True)
    sizes = Sizes(encoder.dim, n_genes, width)
    return EndToEnd(network, encoder.features_of, encoder.preprocessing, sizes)


def _train(
    learner: EndToEnd,
    pixels: torch.Tensor,
    examples: Examples,
    settings: Settings,
    epochs: int,
    batch_size: int,
    backbone_rate: float,
    views: Views,
) -> None:
    parts: list[dict[str, Any]] = [
        {"params": learner.backbone.parameters(), "lr": backbone_rate},
        {"params": [*learner.norm.parameters(), *learner.network.parameters()]},
    ]
    optimiser = torch.optim.AdamW(
        parts,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    device = learner.network.log_temperature.device
    targets = torch.tensor(examples.targets, device=device)
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in trange(epochs, desc="end to end", unit="epoch", disable=not sys.stderr.isatty()):
        retrieved = None
        if settings.retrieval_weight > 0:
            seen = Examples(_features(learner, pixels), examples.targets, examples.types)
            retrieved = soft_labels(learner.network, seen, settings)
        learner.train()
        order = torch.randperm(len(pixels), generator=generator)
        for batch in order.tensor_split(max(1, round(len(order) / batch_size))):
            shown = views(pixels[batch].to(device).float() / 255, generator)
            rows = batch.to(device)
            known = None if retrieved is None else (retrieved[0][rows], retrieved[1][rows])
            with mixed_precision(device):
                loss = network_loss(
                    learner.network,
                    learner(shown),
                    torch.zeros_like(targets[rows]),
                    targets[rows],
                    known,
                    settings,
                )
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    learner.eval()


@torch.no_grad()
def _features(learner: EndToEnd, pixels: torch.Tensor) -> NDArray[np.float32]:
    """Return the features of all patches as they are now, (n, D)."""
    learner.eval()
    device = learner.network.log_temperature.device
    parts = [
        learner(part.to(device).float() / 255).cpu() for part in torch.split(pixels, EVALUATED)
    ]
    return torch.cat(parts).numpy()
