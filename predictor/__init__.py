"""Who fills in the rest: from the patch features of a spot to its expression.

Public names are loaded when they are first used, so that importing this package imports neither
torch, nor faiss, nor scikit-learn.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from predictor import metrics as metrics
    from predictor.base import Predictor as Predictor
    from predictor.cohort import Cohort as Cohort
    from predictor.gaussian_process import GaussianProcess as GaussianProcess
    from predictor.mean import MeanPredictor as MeanPredictor
    from predictor.nearest import NearestNeighbours as NearestNeighbours
    from predictor.partial_least_squares import PartialLeastSquares as PartialLeastSquares
    from predictor.reference_cells import ReferenceCells as ReferenceCells
    from predictor.ridge import Ridge as Ridge
    from predictor.scr2net.ablations import ABLATIONS as ABLATIONS
    from predictor.scr2net.end_to_end import train_end_to_end as train_end_to_end
    from predictor.scr2net.estimator import SCR2Net as SCR2Net
    from predictor.scr2net.pretraining import PretrainedCohort as PretrainedCohort
    from predictor.scr2net.support import Support as Support

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["metrics"],
    submod_attrs={
        "base": ["Predictor"],
        "cohort": ["Cohort"],
        "gaussian_process": ["GaussianProcess"],
        "mean": ["MeanPredictor"],
        "nearest": ["NearestNeighbours"],
        "reference_cells": ["ReferenceCells"],
        "partial_least_squares": ["PartialLeastSquares"],
        "ridge": ["Ridge"],
        "scr2net.ablations": ["ABLATIONS"],
        "scr2net.end_to_end": ["train_end_to_end"],
        "scr2net.estimator": ["SCR2Net"],
        "scr2net.pretraining": ["PretrainedCohort"],
        "scr2net.support": ["Support"],
    },
)
