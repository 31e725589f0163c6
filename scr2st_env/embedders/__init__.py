"""Cell embedders: single cells and spots in one space, and spots as mixtures of cell types."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.embedders.base import CellEmbedder as CellEmbedder
    from scr2st_env.embedders.base import get_embedder as get_embedder
    from scr2st_env.embedders.base import load_embedder as load_embedder
    from scr2st_env.embedders.composition import TypeComposition as TypeComposition
    from scr2st_env.embedders.embed import embed_anndata as embed_anndata
    from scr2st_env.embedders.nearest_types import NearestTypes as NearestTypes
    from scr2st_env.embedders.pca import PCAEmbedder as PCAEmbedder
    from scr2st_env.embedders.scgpt import ScGPTEmbedder as ScGPTEmbedder
    from scr2st_env.embedders.scvi import ScVIEmbedder as ScVIEmbedder

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["CellEmbedder", "get_embedder", "load_embedder"],
        "composition": ["TypeComposition"],
        "embed": ["embed_anndata"],
        "nearest_types": ["NearestTypes"],
        "pca": ["PCAEmbedder"],
        "scgpt": ["ScGPTEmbedder"],
        "scvi": ["ScVIEmbedder"],
    },
)
