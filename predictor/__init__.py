"""Who fills in the rest: from the patch features of a spot to its expression.

Public names are loaded when they are first used, so that importing this package imports neither
torch, nor faiss, nor scikit-learn.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from predictor import metrics as metrics
    from predictor.base import Cohort, Predictor
    from predictor.gaussian_process import GaussianProcess
    from predictor.mean import MeanPredictor
    from predictor.nearest import NearestNeighbours
    from predictor.ridge import Ridge

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["metrics"],
    submod_attrs={
        "base": ["Cohort", "Predictor"],
        "gaussian_process": ["GaussianProcess"],
        "mean": ["MeanPredictor"],
        "nearest": ["NearestNeighbours"],
        "ridge": ["Ridge"],
    },
)
