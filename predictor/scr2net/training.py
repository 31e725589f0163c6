"""Training the network: regression, contrastive alignment and soft labels in one loop."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from predictor.scr2net.losses import info_nce, matching, pearson_loss, soft_label_loss
from predictor.scr2net.modules import Network, Sizes
from predictor.scr2net.retrieval import MemoryBank
from scr2st_env.encoders.frozen import chosen_device

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Matrix = NDArray[np.float64]
    Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """Everything that decides how a network is trained; see :class:`SCR2Net`."""

    width: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    pearson_weight: float
    contrastive_weight: float
    retrieval_weight: float
    n_neighbors: int
    n_types: int
    retrieval_temperature: float
    seed: int
    device: str
    epochs: int = 30
    match_temperature: float = 0.4
    feature_noise: float = 1.0


@dataclass(frozen=True)
class Examples:
    """What a network learns from: float32 features (n, D), standardised targets (n, G), types."""

    features: Array
    targets: Array
    types: Indices | None

    def __getitem__(self, rows: NDArray[np.bool_] | Indices) -> Examples:
        """Return some of the spots."""
        types = None if self.types is None else self.types[rows]
        return Examples(self.features[rows], self.targets[rows], types)


def joined(first: Examples, second: Examples) -> Examples:
    """Return the spots of both; types are kept if all spots have them."""
    if len(first.features) == 0:
        return second
    types = None
    if first.types is not None and second.types is not None:
        types = np.concatenate([first.types, second.types])
    return Examples(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.targets, second.targets]),
        types,
    )


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return the context in which a GPU multiplies at half precision; elsewhere it does nothing.

    bfloat16 has the range of float32, so that gradients need no scaling.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def train(
    examples: Examples, settings: Settings, epochs: int, skip: tuple[Matrix, Matrix] | None = None
) -> Network:
    """Train a network.

    Parameters
    ----------
    examples
        At least two spots.
    settings
        How to train.
    epochs
        How often to see every spot.
    skip
        Mean (D,) and coefficients (D, G) of a linear skip path; the network learns what it leaves.

    Returns
    -------
    Network
        In evaluation mode.
    """
    device = chosen_device(settings.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        network = _new_network(examples, settings).to(device)
        if skip is not None:
            network.get_buffer("skip_mean").copy_(torch.tensor(skip[0]))
            network.get_buffer("skip_coefficients").copy_(torch.tensor(skip[1]))
        _run(network, examples, settings, epochs)
    return network.eval()


def train_on(network: Network, examples: Examples, settings: Settings, epochs: int) -> Network:
    """Return a copy of a network, trained further on other spots; see :func:`train`."""
    device = network.log_temperature.device
    network = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        _run(network, examples, settings, epochs)
    return network.eval()


def _run(network: Network, examples: Examples, settings: Settings, epochs: int) -> None:
    loop = _Loop(network, examples, settings)
    for _ in range(epochs):
        loop.run_epoch()


class _Loop:
    def __init__(self, network: Network, examples: Examples, settings: Settings) -> None:
        device = network.log_temperature.device
        self.network, self.examples, self.settings = network, examples, settings
        self.features = torch.tensor(examples.features, device=device)
        self.targets = torch.tensor(examples.targets, device=device)
        with torch.no_grad():
            self.base = network.skip(self.features)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def run_epoch(self) -> None:
        labels = None
        if self.settings.retrieval_weight > 0:
            labels = soft_labels(self.network, self.examples, self.settings)
        self.network.train()
        order = torch.randperm(len(self.features))
        n_batches = max(1, round(len(order) / self.settings.batch_size))
        for batch in order.to(self.features.device).tensor_split(n_batches):
            with mixed_precision(self.features.device):
                loss = self._loss(
                    batch, None if labels is None else (labels[0][batch], labels[1][batch])
                )
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()

    def _loss(
        self, batch: torch.Tensor, retrieved: tuple[torch.Tensor, torch.Tensor] | None
    ) -> torch.Tensor:
        noise = self.settings.feature_noise * torch.randn(len(batch), self.features.shape[1]).to(
            self.features.device
        )
        shown = self.features[batch] + noise
        return network_loss(
            self.network, shown, self.base[batch], self.targets[batch], retrieved, self.settings
        )


def soft_labels(
    network: Network, examples: Examples, settings: Settings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the other spots, freshly embedded, say of each, (n, G), and how surely, (n,)."""
    images = embed_images(network, examples.features)
    bank = memory_bank(network, examples, images=images)
    found = bank.retrieve(
        images,
        settings.n_neighbors,
        n_types=settings.n_types,
        temperature=settings.retrieval_temperature,
        own=np.arange(len(images)),
    )
    device = network.log_temperature.device
    labels = torch.from_numpy(bank.soft_labels(found)).to(device)
    return labels, torch.from_numpy(found.confidence).to(device)


def network_loss(
    network: Network,
    features: torch.Tensor,
    base: torch.Tensor,
    targets: torch.Tensor,
    retrieved: tuple[torch.Tensor, torch.Tensor] | None,
    settings: Settings,
) -> torch.Tensor:
    """Return the loss of a batch.

    Parameters
    ----------
    network
        Being trained.
    features
        Of the spots, (n, D).
    base
        What the skip path predicts, (n, G).
    targets
        Standardised expression, (n, G).
    retrieved
        Soft labels (n, G) and confidence (n,); None leaves their term out.
    settings
        Weights of the terms.

    Returns
    -------
    Tensor
        Scalar.
    """
    added, images = network(features)
    predicted = base + added
    expressions = network.expression_projection(targets)
    loss = functional.mse_loss(predicted, targets)
    loss = loss + settings.pearson_weight * pearson_loss(predicted, targets)
    loss = loss + settings.contrastive_weight * info_nce(
        images, expressions, network.temperature, matching(targets, settings.match_temperature)
    )
    if retrieved is None:
        return loss
    return loss + settings.retrieval_weight * soft_label_loss(predicted, *retrieved)


def _new_network(examples: Examples, settings: Settings) -> Network:
    n_features, n_genes = examples.features.shape[1], examples.targets.shape[1]
    return Network(Sizes(n_features, n_genes, settings.width))


@torch.no_grad()
def embed_images(network: Network, features: Array) -> Array:
    """Return the unit vectors of images, (n, projection)."""
    network.eval()
    return _numpy(network.image_projection(network.encoder(_tensor(network, features))))


@torch.no_grad()
def regress(network: Network, features: Array) -> Array:
    """Return standardised expression: the skip path plus the regression head, (n, G)."""
    network.eval()
    values = _tensor(network, features)
    return _numpy(network.skip(values) + network.regression(network.encoder(values)))


@torch.no_grad()
def memory_bank(
    network: Network,
    examples: Examples,
    profiles: Array | None = None,
    images: Array | None = None,
) -> MemoryBank:
    """Return a bank of measured spots, keyed by their image and their expression together.

    Parameters
    ----------
    network
        Makes the keys.
    examples
        The spots.
    profiles
        What they contribute to soft labels, (n, G); default: their targets.
    images
        Unit vectors of their images, where they are known, (n, projection).

    Returns
    -------
    MemoryBank
    """
    network.eval()
    if images is None:
        images = embed_images(network, examples.features)
    expressions = network.expression_projection(_tensor(network, examples.targets))
    keys = functional.normalize(_tensor(network, images) + expressions, dim=1)
    return MemoryBank(
        _numpy(keys), examples.targets if profiles is None else profiles, examples.types
    )


def _tensor(network: Network, values: Array) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=network.log_temperature.device)


def _numpy(values: torch.Tensor) -> Array:
    return values.cpu().numpy()
