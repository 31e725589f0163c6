"""What a fold knows before it meets its test slides: all of it from other patients."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.ablations import sees_cohort
from benchmarks.buying import train_agent, trained_agent
from benchmarks.judging import make_judge
from benchmarks.protocols import (
    Fold,
    GeneList,
    genes_of_reference,
    genes_of_training_slides,
    held_out_spots,
    most_patterned_gene,
)
from scr2st_env.errors import InputError
from scr2st_env.kernel_choice import fit_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from benchmarks.cohort import Study
    from benchmarks.config import BenchmarkConfig
    from predictor.base import Cohort
    from scr2st_env.arrays import FloatArray
    from scr2st_env.gaussian_process import Kernel
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import Slide


@dataclass(frozen=True)
class Ground:
    """One test slide, and everything that its fold brings to it.

    Parameters
    ----------
    fold
        Name of the fold.
    slide
        Embedded with the fold's embedder.
    reference
        In the same space.
    genes
        The gene list.
    kernel
        Fitted on the training patients.
    agents
        Folder of the agents trained for this fold.
    cohorts
        Training slides that each judge may learn from, by judge; for some, with what it learned
        from them already. Empty where the protocol grants none, or where there is no image to
        carry what they teach.
    test_fraction
        Share of the measurable spots that is never sold.
    shown_gene
        Index into the gene list of the gene to show on maps.
    truth
        The gene list without noise, (N, G), where it is known; nobody but scores reads it.
    """

    fold: str
    slide: Slide
    reference: CellReference
    genes: GeneList
    kernel: Kernel
    agents: Path
    cohorts: dict[str, Cohort]
    test_fraction: float
    shown_gene: int
    truth: FloatArray | None = field(default=None, repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """Fold and slide."""
        return self.fold, self.slide.name

    @cached_property
    def expression(self) -> FloatArray:
        """log1p(CP10k) of the gene list, (N, G)."""
        return self.slide.expression(self.genes.genes)

    def test_part(self, seed: int) -> list[int]:
        """Spots that are never sold and always scored in the episodes of a seed."""
        return held_out_spots(self.slide.public, self.test_fraction, seed).tolist()


def grants_cohort(config: BenchmarkConfig, study: Study) -> bool:
    """Whether judges learn from training slides: images must carry what these teach."""
    return config.protocol == "new-slide" and study.imaged


def prepare_fold(
    config: BenchmarkConfig, study: Study, fold: Fold, names: Sequence[str], folder: Path
) -> list[Ground]:
    """Embed, choose genes, fit the kernel and let judges learn from the cohort of a fold.

    Parameters
    ----------
    config
        The benchmark.
    study
        All slides.
    fold
        Whose test slides' expression is not read, except to be embedded for the reward.
    names
        Test slides that are needed.
    folder
        Where :func:`train_fold_agent` saves agents.

    Returns
    -------
    list of Ground
        One per name.
    """
    new_slide = config.protocol == "new-slide"
    embedded = [*(fold.training if new_slide else ()), *names]
    slides, reference = study.embedded(fold.training, embedded)
    raw = [study.slides[name] for name in fold.training]
    training = [slides[name] for name in fold.training if name in slides]
    everyone = [slides[name] for name in names]
    shared = genes_of_training_slides(raw, everyone, config.n_genes, config.n_top_genes)
    kernel = fit_kernel(raw, shared.genes)
    cohorts: dict[str, Cohort] = {}
    if grants_cohort(config, study):
        cohorts = pretrained_cohorts(config, cohort_of(training, shared), kernel)
    grounds = []
    for slide in everyone:
        genes = shared if new_slide else _reference_genes(config, study, slide)
        grounds.append(
            Ground(
                fold.name,
                slide,
                reference,
                genes,
                kernel,
                folder,
                cohorts,
                config.test_fraction,
                most_patterned_gene(raw, genes.genes),
                study.truth_of(slide.name, genes.genes),
            )
        )
    return grounds


def train_fold_agent(
    config: BenchmarkConfig,
    study: Study,
    fold: Fold,
    spec: str,
    folder: Path,
    progress: bool = False,
) -> None:
    """Train one learned agent on the training slides of a fold, unless that was done before.

    Parameters
    ----------
    config
        The benchmark.
    study
        All slides; those that the fold tests are not touched.
    fold
        Which slides to learn from.
    spec
        ``"learned:reward"`` or ``"learned:prediction"``.
    folder
        Where the agent is saved.
    progress
        Show a progress bar.
    """
    path = trained_agent(spec, folder)
    if path.exists():
        return
    slides, reference = study.embedded(fold.training, fold.training)
    train_agent(spec, config, list(slides.values()), reference, path, progress)


def pretrained_cohorts(
    config: BenchmarkConfig, cohort: Cohort, kernel: Kernel
) -> dict[str, Cohort]:
    """Let each judge that can learn from a cohort beforehand do so, once for all its fits."""
    cohorts = {}
    for name in config.judges:
        if not sees_cohort(name):
            continue
        judge = make_judge(name, kernel, config.training_seed)
        cohorts[name] = judge.pretrain(cohort) if hasattr(judge, "pretrain") else cohort
    return cohorts


def _reference_genes(config: BenchmarkConfig, study: Study, slide: Slide) -> GeneList:
    if study.atlas is None:
        raise InputError("protocol 'within-slide' needs the single-cell reference's counts")
    return genes_of_reference(study.atlas, [slide], config.n_genes, config.n_top_genes)


def cohort_of(
    training: Sequence[Slide], genes: GeneList, bought: Sequence[ArrayLike] | None = None
) -> Cohort:
    """Collect spots of training slides, one group per slide.

    Parameters
    ----------
    training
        The slides.
    genes
        The gene list.
    bought
        Indices of the spots of each slide that were bought; default: all measurable ones.

    Returns
    -------
    Cohort
    """
    from predictor.base import Cohort

    if bought is None:
        bought = [np.flatnonzero(slide.public.measurable) for slide in training]
    sizes = [slide.n_spots for slide in training]
    starts = np.cumsum([0, *sizes[:-1]])
    kept = np.concatenate(
        [start + np.unique(spots) for start, spots in zip(starts, bought, strict=True)]
    )
    everything = Cohort.from_slides(training, genes.genes)
    return everything.subset(kept)
