"""The sections that are measured, in a space that their own patient had no part in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from joblib import Parallel, delayed

from benchmarks.cohort import load_study
from benchmarks.config import BenchmarkConfig
from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.cohort import Study
    from scr2st_env.arrays import FloatArray
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import PublicSlide, Slide

    Matrix = NDArray[np.float64]

IMAGE_WEIGHT = 0.5  # of the joint kernel


@dataclass(frozen=True, eq=False)
class Section:
    """A fully measured section: what an agent sees, and the rows that reward terms read."""

    public: PublicSlide
    embedding: FloatArray  # (N, E)
    types: FloatArray  # (N, T)

    @classmethod
    def of(cls, slide: Slide, seen: PublicSlide | None = None) -> Section:
        """Return the section of an embedded slide, seen as ``seen`` where that is given."""
        hidden = slide.hidden
        if hidden is None or hidden.embedding is None or hidden.types is None:
            raise ValueError(f"slide {slide.name!r} is not embedded")
        return cls(seen or slide.public, hidden.embedding, hidden.types)

    @cached_property
    def near(self) -> Matrix:
        """Covariance by place alone, (N, N)."""
        return Kernel().for_slide(self.public)

    @cached_property
    def near_and_alike(self) -> Matrix:
        """Covariance by place and look, (N, N)."""
        return Kernel(feature_weight=IMAGE_WEIGHT).for_slide(self.public)


@dataclass(frozen=True, eq=False)
class Fold:
    """One patient's sections, those of the others, and the reference in the others' space."""

    cohort: str
    patient: str
    sections: list[Section]
    training: list[Section]
    reference: CellReference


def her2st_folds(jobs: int) -> list[Fold]:
    """Return the folds of HER2ST image-free (8 patients), then with its images (3 patients)."""
    study = load_study(BenchmarkConfig.model_validate({"slides": ["her2st"]}))
    imaged = load_study(BenchmarkConfig.model_validate({"slides": ["her2st-imaged"]})).slides
    looks = {name: slide.public for name, slide in imaged.items()}
    patients = sorted(set(study.patients.values()))
    pairs = Parallel(n_jobs=jobs)(
        delayed(_her2st_fold)(study, patient, looks) for patient in patients
    )
    image_free = [fold for fold, _ in pairs]
    with_images = [fold for _, fold in pairs if fold.sections]
    return image_free + with_images


def _her2st_fold(study: Study, patient: str, looks: dict[str, PublicSlide]) -> tuple[Fold, Fold]:
    names = list(study.slides)
    training = [name for name in names if study.patients[name] != patient]
    slides, reference = study.embedded(training, names)
    return (
        _fold("HER2ST", patient, [Section.of(slides[name]) for name in names], reference),
        _fold(
            "HER2ST with images",
            patient,
            [Section.of(slides[name], look) for name, look in looks.items()],
            reference,
        ),
    )


def synthetic_folds() -> list[Fold]:
    """Return the folds of the embedded synthetic tissue (6 patients, all with images)."""
    from scr2st_env.synthetic.embedded import load_reference, load_slides

    sections = [Section.of(slide) for slide in load_slides()]
    patients = sorted({section.public.patient for section in sections})
    return [_fold("synthetic", patient, sections, load_reference()) for patient in patients]


def _fold(cohort: str, patient: str, sections: Sequence[Section], reference: CellReference) -> Fold:
    own = [section for section in sections if section.public.patient == patient]
    others = [section for section in sections if section.public.patient != patient]
    return Fold(cohort, patient, own, others, reference)
