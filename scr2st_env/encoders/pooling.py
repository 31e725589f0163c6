"""One vector for each patch from what a network returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    FeaturesOf = Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]

N_REGISTERS = 4  # Virchow2's, between its class token and its patches


def returned(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Return what the network pools by itself, (n, D)."""
    features: torch.Tensor = network(pixels)
    return features


def class_and_patches(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Return the class token beside the mean of the patch tokens, registers left out, (n, 2 D)."""
    tokens = network(pixels)
    return torch.cat([tokens[:, 0], tokens[:, 1 + N_REGISTERS :].mean(dim=1)], dim=1)


def class_token(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Return the first token of a transformers model's last layer, (n, D)."""
    tokens: torch.Tensor = _last_layer(network, pixels)
    return tokens[:, 0]


def mean_of_places(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Return the mean over the places of a transformers model's last layer, (n, D)."""
    last: torch.Tensor = _last_layer(network, pixels)
    return last.mean(dim=1) if last.ndim == 3 else last.mean(dim=(2, 3))


def conch_image(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Return CONCH's image embedding before its projection to the text's space, (n, 512)."""
    model: Any = network
    features: torch.Tensor = model.encode_image(pixels, proj_contrast=False, normalize=False)
    return features


def _last_layer(network: torch.nn.Module, pixels: torch.Tensor) -> Any:
    return network(pixel_values=pixels).last_hidden_state
