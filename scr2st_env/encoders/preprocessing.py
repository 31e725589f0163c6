"""From the pixels of patches to what a network was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn.functional import interpolate

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Channels = tuple[float, float, float]
Filter = Literal["bilinear", "bicubic"]
IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PILLOW_FILTERS: dict[int, Filter] = {2: "bilinear", 3: "bicubic"}
# What some processors of transformers do besides; left out, features would be others.
UNSUPPORTED = ("do_flip_channel_order", "include_top", "rescale_offset")
CONVNEXT_SQUEEZED, CONVNEXT_CROP = 384, 224 / 256  # from this side on nothing is cropped; else this


@dataclass(frozen=True)
class Preprocessing:
    """Scale the shorter side, crop the middle, normalise.

    Attributes
    ----------
    side
        Pixels of the square that the network takes.
    resize
        Pixels to which a patch's shorter side is scaled first.
    mean, std
        Of red, green and blue, on a scale of 0..1.
    interpolation
        ``"bicubic"`` or ``"bilinear"``, both with antialiasing.
    """

    side: int
    resize: int
    mean: Channels
    std: Channels
    interpolation: Filter = "bicubic"

    def __call__(self, patches: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return float32 (n, 3, side, side), on the device, of uint8 (n, height, width, 3)."""
        return self.normalised(self.scaled(patches).to(device).float() / 255)

    def scaled(self, patches: torch.Tensor) -> torch.Tensor:
        """Return uint8 (n, 3, side, side), Pillow's pixels on every machine: on the CPU."""
        pixels = patches.movedim(-1, 1)
        height, width = pixels.shape[2:]
        factor = self.resize / min(height, width)
        size = (round(height * factor), round(width * factor))
        if size != (height, width):
            pixels = interpolate(pixels, size, mode=self.interpolation, antialias=True)
        top, left = (round((length - self.side) / 2) for length in size)
        return pixels[:, :, top : top + self.side, left : left + self.side]

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pixels, 0..1, less their usual mean, over their usual spread."""
        mean, std = (
            torch.tensor(values, device=pixels.device).view(3, 1, 1)
            for values in (self.mean, self.std)
        )
        return (pixels - mean) / std

    @property
    def settings(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self)

    @classmethod
    def of_timm(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Read what ``timm.data.resolve_model_data_config`` returns."""
        side = int(config["input_size"][-1])
        kind = config["interpolation"]
        if kind not in PILLOW_FILTERS.values():
            raise InputError(f"interpolation {kind!r} is not supported; take bilinear or bicubic")
        resize = int(side / config["crop_pct"])
        return cls(side, resize, tuple(config["mean"]), tuple(config["std"]), kind)

    @classmethod
    def of_huggingface(cls, config: Mapping[str, Any], where: str) -> Preprocessing:
        """Read a ``preprocessor_config.json``.

        Raises
        ------
        InputError
            If it lacks the size, or the mean and spread of the colours, or asks for a step that
            is not done here.
        """
        unknown = [step for step in UNSUPPORTED if config.get(step)]
        if unknown:
            raise InputError(
                f"{where}/preprocessor_config.json asks for {unknown[0]}, which is not supported; "
                "register_encoder takes an encoder that does it"
            )
        try:
            side, resize = _sides(config)
            mean, std = _colours(config)
            interpolation = PILLOW_FILTERS[config.get("resample", 2)]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{where}/preprocessor_config.json is not that of a vision model ({error})"
            ) from error
        return cls(side, max(resize, side), mean, std, interpolation)


def _sides(config: Mapping[str, Any]) -> tuple[int, int]:
    """Side that the network takes, and that to which a patch is scaled before it is cropped."""
    resize, crop = _side(config["size"]), config.get("crop_pct")
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
    if kind.startswith("ConvNext"):
        squeezed = resize >= CONVNEXT_SQUEEZED
        return resize, resize if squeezed else int(resize / (crop or CONVNEXT_CROP))
    resize = int(resize / (crop or 1))
    return _side(config["crop_size"]) if config.get("do_center_crop", False) else resize, resize


def _colours(config: Mapping[str, Any]) -> tuple[Channels, Channels]:
    """Mean and spread on a scale of 0..1, whatever scale the processor gives pixels first."""
    if not config.get("do_normalize", True):
        mean: list[float] = [0.0, 0.0, 0.0]
        std = [1.0, 1.0, 1.0]
    else:
        mean, std = config["image_mean"], config["image_std"]
    factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    scale = round(255 * factor, 6)
    (a, b, c), (d, e, f) = mean, std
    return (a / scale, b / scale, c / scale), (d / scale, e / scale, f / scale)


def _side(size: Any) -> int:
    """Side in pixels of 224, {"height": 224, "width": 224} or {"shortest_edge": 224}."""
    if isinstance(size, dict):
        return int(size["shortest_edge"] if "shortest_edge" in size else size["height"])
    return int(size)
