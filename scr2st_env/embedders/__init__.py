"""Cell embedders: single cells and spots in one space, and spots as mixtures of cell types."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.embedders.base import CellEmbedder as CellEmbedder
    from scr2st_env.embedders.composition import TypeComposition as TypeComposition
    from scr2st_env.embedders.embed import embed_anndata as embed_anndata
    from scr2st_env.embedders.pca import PCAEmbedder as PCAEmbedder

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["CellEmbedder"],
        "composition": ["TypeComposition"],
        "embed": ["embed_anndata"],
        "pca": ["PCAEmbedder"],
    },
)
