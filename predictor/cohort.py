"""Spots of retrospective slides, from which a predictor learns before anything is bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from predictor.names import align_types, check_same_encoder
from scr2st_env.arrays import FloatArray, Shared, finite_matrix, frozen
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.slide import Slide

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cohort(Shared):
    """Spots of retrospective slides, and the names that say what their columns are.

    Parameters
    ----------
    features
        (n, D), z-scored per slide.
    expression
        (n, G), log1p(CP10k), the same genes as the targets.
    cell_types
        (n, T) composition, or None.
    groups
        n slide (or patient) names; levels differ between groups, so predictors centre each one.
    encoder
        Name of the patch encoder of ``features``, "" where it is unknown. Features of another
        encoder are refused.
    genes
        G names, or none.
    type_names
        T names, or none.
    spot_names
        n names; default "0".."n-1".
    patients
        n names; default the groups. Slides of one patient resemble each other more than those of
        the next one, so what carries over to a new patient is learned on patients left out.

    Raises
    ------
    InputError
        If an array has the wrong shape or is not finite, or there is no spot.
    """

    features: FloatArray
    expression: FloatArray
    cell_types: FloatArray | None = None
    groups: ArrayLike | None = None
    encoder: str = ""
    genes: Sequence[str] = ()
    type_names: Sequence[str] = ()
    spot_names: ArrayLike | None = None
    patients: ArrayLike | None = None

    def __post_init__(self) -> None:
        """Check and freeze the arrays."""
        features = finite_matrix(self.features, "cohort features")
        n_spots = len(features)
        if n_spots == 0:
            raise InputError("the cohort has no spots; leave cohort= out")
        groups = np.zeros(n_spots, int) if self.groups is None else np.array(self.groups)
        names = np.arange(n_spots) if self.spot_names is None else np.array(self.spot_names)
        patients = groups if self.patients is None else np.array(self.patients)
        for what, values in (("groups", groups), ("spot names", names), ("patients", patients)):
            if values.shape != (n_spots,):
                raise InputError(f"cohort {what} have shape {values.shape}, not ({n_spots},)")
        expression = finite_matrix(self.expression, "cohort expression", n_spots)
        types = self.cell_types
        if types is not None:
            types = finite_matrix(types, "cohort cell_types", n_spots)
        _check_named(self.genes, expression, "genes", "expression")
        _check_named(self.type_names, types, "type_names", "cell_types")
        for name, value in {
            "features": features,
            "expression": expression,
            "cell_types": types,
            "groups": frozen(groups),
            "genes": tuple(map(str, self.genes)),
            "type_names": tuple(map(str, self.type_names)),
            "spot_names": frozen(names.astype(str)),
            "patients": frozen(patients),
        }.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_slides(cls, slides: Sequence[Slide], genes: Sequence[str]) -> Cohort:
        """Collect fully measured slides, one group per slide.

        Parameters
        ----------
        slides
            Retrospective slides; their cell types are used if every one has them.
        genes
            G names, measured in every slide.

        Returns
        -------
        Cohort

        Raises
        ------
        InputError
            If a slide lacks a gene, or features are of different encoders.
        """
        encoder = ""
        for slide in slides:
            check_same_encoder(encoder, slide.public.encoder, f"slide {slide.name!r}")
            encoder = encoder or slide.public.encoder
        known = [
            (slide.hidden.types, slide.hidden.type_names)
            for slide in slides
            if slide.hidden is not None and slide.hidden.types is not None
        ]
        types, type_names = align_types(known) if len(known) == len(slides) else ([], ())
        return cls(
            np.concatenate([slide.public.standardised_features for slide in slides]),
            np.concatenate([slide.expression(genes) for slide in slides]),
            np.concatenate(types) if types else None,
            np.concatenate([[slide.public.name] * slide.public.n_spots for slide in slides]),
            encoder,
            tuple(genes),
            type_names,
            np.concatenate([slide.public.spot_names for slide in slides]),
            np.concatenate([[slide.public.patient] * slide.public.n_spots for slide in slides]),
        )

    def subset(self, rows: ArrayLike) -> Cohort:
        """Return some of the spots.

        Parameters
        ----------
        rows
            Indices, or a mask (n,).

        Returns
        -------
        Cohort
        """
        chosen = np.asarray(rows)
        return Cohort(
            self.features[chosen],
            self.expression[chosen],
            None if self.cell_types is None else self.cell_types[chosen],
            np.asarray(self.groups)[chosen],
            self.encoder,
            self.genes,
            self.type_names,
            np.asarray(self.spot_names)[chosen],
            np.asarray(self.patients)[chosen],
        )

    @cached_property
    def group_codes(self) -> NDArray[np.int64]:
        """Group of every spot as 0, 1, ..., (n,)."""
        return np.unique(np.asarray(self.groups), return_inverse=True)[1]

    @cached_property
    def patient_codes(self) -> NDArray[np.int64]:
        """Patient of every spot as 0, 1, ..., (n,)."""
        return np.unique(np.asarray(self.patients), return_inverse=True)[1]

    @cached_property
    def centred_features(self) -> Matrix:
        """Features minus the mean of their group, (n, D)."""
        return centred_by_group(self.features, self.group_codes)

    @cached_property
    def centred_expression(self) -> Matrix:
        """Expression minus the mean of its group, (n, G)."""
        return centred_by_group(self.expression, self.group_codes)


def joined_cohorts(first: Cohort, second: Cohort) -> Cohort:
    """Return the spots of both, the first's before the second's.

    Raises
    ------
    InputError
        If their columns differ in number or name, or a slide's name is in both.
    """
    slides = [np.asarray(part.groups).astype(str) for part in (first, second)]
    both = np.intersect1d(slides[0], slides[1])
    if both.size:
        raise InputError(
            f"slide {str(both[0])!r} is among the groups of the measured spots and of the cohort; "
            "give slides different names"
        )
    types: tuple[FloatArray, ...] | None = None
    names: tuple[str, ...] = ()
    if first.cell_types is not None and second.cell_types is not None:
        parts = [(part.cell_types, tuple(part.type_names)) for part in (second, first)]
        (theirs, ours), names = align_types(parts)
        types = ours, theirs
    return Cohort(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.expression, second.expression]),
        None if types is None else np.concatenate(types),
        np.concatenate(slides),
        first.encoder or second.encoder,
        first.genes or second.genes,
        names,
        np.concatenate([np.asarray(part.spot_names) for part in (first, second)]),
        np.concatenate([np.asarray(part.patients).astype(str) for part in (first, second)]),
    )


def centred_by_group(values: ArrayLike, codes: NDArray[np.int64]) -> Matrix:
    """Return the rows minus the mean of the rows with the same code."""
    array = np.asarray(values, np.float64)
    sums = np.zeros((codes.max() + 1, array.shape[1]))
    np.add.at(sums, codes, array)
    means = sums / np.bincount(codes)[:, None]
    return array - means[codes]


def _check_named(names: Sequence[str], columns: FloatArray | None, what: str, array: str) -> None:
    n_columns = 0 if columns is None else columns.shape[1]
    if len(names) and len(names) != n_columns:
        raise InputError(f"the cohort has {len(names)} {what} for {n_columns} columns of {array}")
