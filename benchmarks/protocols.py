"""Who is in which fold, which spots are never sold, and which genes are scored."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from scr2st_env.counts import log_normalise
from scr2st_env.errors import InputError
from scr2st_env.genes import most_expressed_genes, shared_genes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.slide import PublicSlide, Slide

    Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """Slides to learn from and slides to test on, of different patients.

    Parameters
    ----------
    name
        The patients that are left out.
    training, test
        Names of slides.
    """

    name: str
    training: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class GeneList:
    """What is predicted, chosen without a look at the test slides' expression.

    Parameters
    ----------
    genes
        Names, most expressed first.
    variable
        Indices into ``genes`` of the most variable, most variable first.
    """

    genes: tuple[str, ...]
    variable: tuple[int, ...]


def patient_folds(patients: Mapping[str, str], test_slides: Sequence[str] = ()) -> list[Fold]:
    """Leave out one patient after the other, or the patients of given slides once.

    Parameters
    ----------
    patients
        Patient of each slide, by slide name.
    test_slides
        Where given, the one fold tests these and learns from slides of the other patients.

    Returns
    -------
    list of Fold

    Raises
    ------
    InputError
        If a test slide is unknown, or there is only one patient.

    Examples
    --------
    >>> [fold.name for fold in patient_folds({"A1": "A", "B1": "B", "B2": "B"})]
    ['A', 'B']
    """
    unknown = sorted(set(test_slides) - set(patients))
    if unknown:
        raise InputError(f"test slide {unknown[0]!r} is not among {', '.join(sorted(patients))}")
    if test_slides:
        left_out = {patients[name] for name in test_slides}
        groups = [("+".join(sorted(left_out)), left_out, tuple(test_slides))]
    else:
        groups = [
            (patient, {patient}, tuple(name for name in patients if patients[name] == patient))
            for patient in dict.fromkeys(patients.values())
        ]
    folds = [
        Fold(label, tuple(name for name in patients if patients[name] not in held), tested)
        for label, held, tested in groups
    ]
    for fold in folds:
        if not fold.training:
            raise InputError(
                f"fold {fold.name!r} leaves no patient to learn from; add slides of other patients"
            )
    return folds


def held_out_spots(slide: PublicSlide, fraction: float, seed: int = 0) -> Indices:
    """Return a slide's test part: never sold, always scored, the same for every agent.

    Spots that can be measured, in farthest-point order from a start that the slide's name and the
    seed decide: whatever else a benchmark does, this is the test part of that slide under that
    seed. Each seed scores another part, so that no comparison hangs on one quarter of the spots.

    Parameters
    ----------
    slide
        The slide's public part; expression has no say.
    fraction
        Share of the measurable spots.
    seed
        Of the episode, too.

    Returns
    -------
    ndarray of int64, shape (n,)
        Ascending.
    """
    candidates = np.flatnonzero(slide.measurable)
    n_test = round(fraction * len(candidates))
    rng = np.random.default_rng([zlib.crc32(slide.name.encode()), seed])
    candidates = rng.permutation(candidates)  # a lattice is full of ties; break them at random
    place = slide.coordinates[candidates].astype(np.float64)
    nearest = np.full(len(candidates), np.inf)
    chosen: list[int] = []
    while len(chosen) < n_test:
        index = int(np.argmax(nearest))
        chosen.append(index)
        nearest = np.minimum(nearest, ((place - place[index]) ** 2).sum(axis=1))
    return np.sort(candidates[chosen])


def genes_of_training_slides(
    training: Sequence[Slide], test: Sequence[Slide], n_genes: int, n_top: int
) -> GeneList:
    """Choose the genes most expressed in the training slides, among those of all slides.

    Parameters
    ----------
    training
        Slides of the training patients; their expression decides.
    test
        Slides that are scored; only the *names* of their genes are read.
    n_genes
        How many, at most.
    n_top
        How many of them are marked as most variable: by the variance of log1p(CP10k) over the
        spots of a slide, averaged over training slides.

    Returns
    -------
    GeneList

    Raises
    ------
    InputError
        If no gene is measured in all slides.
    """
    genes = tuple(most_expressed_genes(training, n_genes, also_in=test))
    variance = np.mean([slide.expression(genes).var(axis=0) for slide in training], axis=0)
    return GeneList(genes, _leading(variance, n_top))


def genes_of_reference(
    reference: AnnData, slides: Sequence[Slide], n_genes: int, n_top: int
) -> GeneList:
    """Choose the genes most expressed in the single-cell reference, among those of the slides.

    Parameters
    ----------
    reference
        Raw counts (or any unit that adds up over a cell's genes) in ``X``, or log1p(CP10k) in
        ``layers["logcp10k"]``.
    slides
        Only the names of their genes are read.
    n_genes, n_top
        See :func:`genes_of_training_slides`; variance is that over cells.

    Returns
    -------
    GeneList

    Raises
    ------
    InputError
        If slides and reference share no gene.
    """
    measured = set(shared_genes(slides))
    shared = [gene for gene in reference.var_names if gene in measured]
    if not shared:
        raise InputError("slides and reference share no gene; use the same kind of gene names")
    if "logcp10k" in reference.layers:
        profiles = sparse.csr_matrix(reference[:, shared].layers["logcp10k"]).toarray()
    else:
        totals = np.asarray(reference.X.sum(axis=1)).ravel()
        profiles = log_normalise(reference[:, shared].X, totals)
    order = np.argsort(-np.expm1(profiles).mean(axis=0), kind="stable")[:n_genes]
    variance = profiles[:, order].var(axis=0)
    return GeneList(tuple(shared[index] for index in order), _leading(variance, n_top))


def most_patterned_gene(training: Sequence[Slide], genes: Sequence[str]) -> int:
    """Return the index of the gene of clearest spatial pattern in the training slides.

    Moran's I over the six nearest neighbours, averaged over the slides that measure the gene:
    a gene to show on a map, chosen without a look at the slide that is shown.

    Parameters
    ----------
    training
        Slides of the training patients.
    genes
        The gene list.

    References
    ----------
    Moran, Notes on continuous stochastic phenomena, Biometrika 37, 1950.
    """
    total, n_slides = np.zeros(len(genes)), np.zeros(len(genes))
    for slide in training:
        known = set(slide.hidden.genes.tolist()) if slide.hidden is not None else set()
        columns = [index for index, gene in enumerate(genes) if gene in known]
        kept = slide.public.measurable
        values = slide.expression([genes[index] for index in columns])[kept]
        values = values - values.mean(axis=0)
        place = slide.public.coordinates[kept]
        neighbours = cKDTree(place).query(place, k=min(7, len(place)))[1][:, 1:]
        similarity = (values * values[neighbours].mean(axis=1)).mean(axis=0)
        variance = values.var(axis=0)
        total[columns] += np.divide(
            similarity, variance, out=np.zeros_like(variance), where=variance > 0
        )
        n_slides[columns] += 1
    return int(np.argmax(total / np.maximum(n_slides, 1)))


def _leading(variance: NDArray[np.floating], n_top: int) -> tuple[int, ...]:
    return tuple(int(index) for index in np.argsort(-variance, kind="stable")[:n_top])
