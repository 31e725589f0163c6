"""Patch encoders: from H&E crops to feature vectors."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.encoders.base import PatchEncoder as PatchEncoder
    from scr2st_env.encoders.base import get_encoder as get_encoder
    from scr2st_env.encoders.base import register_encoder as register_encoder
    from scr2st_env.encoders.cache import encode_cached as encode_cached
    from scr2st_env.encoders.featurise import featurise_anndata as featurise_anndata
    from scr2st_env.encoders.frozen import FrozenEncoder as FrozenEncoder
    from scr2st_env.encoders.histology import HistologyEncoder as HistologyEncoder
    from scr2st_env.encoders.training import train_encoder as train_encoder

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["PatchEncoder", "get_encoder", "register_encoder"],
        "cache": ["encode_cached"],
        "featurise": ["featurise_anndata"],
        "frozen": ["FrozenEncoder"],
        "histology": ["HistologyEncoder"],
        "training": ["train_encoder"],
    },
)
