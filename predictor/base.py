"""What all predictors share: the cohort, the measured spots, and every check of an input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from scr2st_env.arrays import FloatArray, Shared, finite_matrix, frozen
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from scr2st_env.slide import Slide

    Matrix = NDArray[np.float64]

BLOCK = 10_000  # spots predicted at once, so that memory does not grow with the slide


@dataclass(frozen=True, eq=False)
class Cohort(Shared):
    """Spots of retrospective slides, from which a predictor learns before anything is bought.

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

    Raises
    ------
    InputError
        If an array has the wrong shape or is not finite, or there is no spot.
    """

    features: FloatArray
    expression: FloatArray
    cell_types: FloatArray | None = None
    groups: ArrayLike | None = None

    def __post_init__(self) -> None:
        """Check and freeze the arrays."""
        features = finite_matrix(self.features, "cohort features")
        n_spots = len(features)
        if n_spots == 0:
            raise InputError("the cohort has no spots; leave cohort= out")
        groups = np.zeros(n_spots, int) if self.groups is None else np.array(self.groups)
        if groups.shape != (n_spots,):
            raise InputError(f"cohort groups have shape {groups.shape}, not ({n_spots},)")
        expression = finite_matrix(self.expression, "cohort expression", n_spots)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "cell_types", _optional(self.cell_types, "cell_types", n_spots))
        object.__setattr__(self, "groups", frozen(groups))

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
        """
        types = [None if slide.hidden is None else slide.hidden.types for slide in slides]
        known = [part for part in types if part is not None]
        return cls(
            np.concatenate([slide.public.standardised_features for slide in slides]),
            np.concatenate([slide.expression(genes) for slide in slides]),
            np.concatenate(known) if len(known) == len(types) else None,
            np.concatenate([[slide.public.name] * slide.public.n_spots for slide in slides]),
        )

    @cached_property
    def group_codes(self) -> NDArray[np.int64]:
        """Group of every spot as 0, 1, ..., (n,)."""
        return np.unique(np.asarray(self.groups), return_inverse=True)[1]

    @cached_property
    def centred_features(self) -> Matrix:
        """Features minus the mean of their group, (n, D)."""
        return centred_by_group(self.features, self.group_codes)

    @cached_property
    def centred_expression(self) -> Matrix:
        """Expression minus the mean of its group, (n, G)."""
        return centred_by_group(self.expression, self.group_codes)


@dataclass(frozen=True, eq=False)
class Measured:
    """The bought spots of one fit, checked.

    Parameters
    ----------
    features
        (n, D).
    expression
        (n, G).
    coordinates
        (n, 2) in spot pitches, or None.
    cell_types
        (n, T), or None.
    """

    features: Matrix
    expression: Matrix
    coordinates: Matrix | None
    cell_types: Matrix | None

    @property
    def n_spots(self) -> int:
        """How many were bought."""
        return len(self.features)


class Predictor(RegressorMixin, BaseEstimator, ABC):  # type: ignore[misc]  # sklearn is untyped
    """From patch features to expression, in scikit-learn's manner.

    Attributes
    ----------
    n_features_in_ : int
        D, the width of the features.
    n_genes_ : int
        G, the number of targets.
    n_measured_ : int
        How many spots were given to ``fit``.
    """

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        cell_types: ArrayLike | None = None,
        cohort: Cohort | None = None,
    ) -> Self:
        """Learn from the measured spots, and from a cohort where there is one.

        Parameters
        ----------
        X
            Patch features of the measured spots, z-scored over their slide, (n, D).
        Y
            Their expression, log1p(CP10k), (n, G).
        coordinates
            Their places in spot pitches, (n, 2), when all spots are of one slide.
        cell_types
            Their cell-type composition, (n, T).
        cohort
            Spots of retrospective slides.

        Returns
        -------
        Self

        Raises
        ------
        InputError
            If an array has the wrong shape or is not finite, or there are fewer than two
            measured spots and no cohort.
        """
        measured = _checked_measured(X, Y, coordinates, cell_types)
        if measured.n_spots < 2 and cohort is None:
            raise InputError(
                f"fit needs at least 2 measured spots, got {measured.n_spots}; "
                "buy more or give cohort="
            )
        if cohort is not None:
            _check_same_width(measured, cohort)
        self._check_parameters()
        self.n_features_in_ = measured.features.shape[1]
        self.n_genes_ = measured.expression.shape[1]
        self.n_measured_ = measured.n_spots
        self.with_coordinates_ = coordinates is not None
        self._fit(measured, cohort)
        return self

    def predict(self, X: ArrayLike, *, coordinates: ArrayLike | None = None) -> FloatArray:
        """Predict the expression of spots.

        Parameters
        ----------
        X
            Patch features, (n, D).
        coordinates
            Places in spot pitches, (n, 2), on the slide of the measured spots.

        Returns
        -------
        ndarray of float32, shape (n, G)
            log1p(CP10k), as in ``fit``.

        Raises
        ------
        InputError
            If a shape differs from what ``fit`` saw, or a value is not finite.
        """
        features, places = self._checked_query(X, coordinates)
        if len(features) == 0:
            return np.empty((0, self.n_genes_), np.float32)
        blocks = np.array_split(np.arange(len(features)), -(-len(features) // BLOCK))
        predicted = [
            self._predict(features[rows], None if places is None else places[rows])
            for rows in blocks
        ]
        return np.concatenate(predicted).astype(np.float32)

    def _checked_query(
        self, X: ArrayLike, coordinates: ArrayLike | None
    ) -> tuple[Matrix, Matrix | None]:
        check_is_fitted(self)
        features = _double(finite_matrix(X, "X"))
        if features.shape[1] != self.n_features_in_:
            raise InputError(
                f"X has {features.shape[1]} features, but {type(self).__name__} was fitted "
                f"with {self.n_features_in_}"
            )
        return features, _checked_coordinates(coordinates, len(features))

    def _check_parameters(self) -> None:
        """Raise InputError where a parameter of the constructor is out of range."""

    @abstractmethod
    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        """Learn from checked input."""

    @abstractmethod
    def _predict(self, features: Matrix, coordinates: Matrix | None) -> Matrix:
        """Predict from checked input."""


def centred_by_group(values: ArrayLike, codes: NDArray[np.int64]) -> Matrix:
    """Return the rows minus the mean of the rows with the same code."""
    array = np.asarray(values, np.float64)
    sums = np.zeros((codes.max() + 1, array.shape[1]))
    np.add.at(sums, codes, array)
    means = sums / np.bincount(codes)[:, None]
    return array - means[codes]


def gene_spread(expression: Matrix) -> Matrix:
    """Return the standard deviation per gene, (G,), never near zero.

    The mean variance of all genes counts like a tenth of the evidence: a gene that happens to be
    constant over a dozen spots must not dominate everything that is divided by its spread.
    """
    variance = expression.var(axis=0)
    return np.sqrt(0.9 * variance + 0.1 * variance.mean() + 1e-6)


def level(measured: Measured, cohort: Cohort | None) -> Matrix:
    """Return the mean expression of the measured spots, else of the cohort, (G,)."""
    if measured.n_spots == 0 and cohort is not None:
        return _double(cohort.expression).mean(axis=0)
    return measured.expression.mean(axis=0)


def _checked_measured(
    X: ArrayLike, Y: ArrayLike, coordinates: ArrayLike | None, cell_types: ArrayLike | None
) -> Measured:
    features = finite_matrix(X, "X")
    n_spots = len(features)
    expression = finite_matrix(Y, "Y", n_spots)
    if features.shape[1] == 0 or expression.shape[1] == 0:
        raise InputError(
            f"X has {features.shape[1]} columns and Y {expression.shape[1]}; both need at least "
            "one (without an image, X are the coordinates in pitches)"
        )
    types = _optional(cell_types, "cell_types", n_spots)
    return Measured(
        _double(features),
        _double(expression),
        _checked_coordinates(coordinates, n_spots),
        None if types is None else _double(types),
    )


def _check_same_width(measured: Measured, cohort: Cohort) -> None:
    for name, ours, theirs in (
        ("features", measured.features, cohort.features),
        ("genes", measured.expression, cohort.expression),
    ):
        if ours.shape[1] != theirs.shape[1]:
            raise InputError(
                f"the cohort has {theirs.shape[1]} {name}, the measured spots {ours.shape[1]}; "
                "use the same encoder and gene list for both"
            )


def _checked_coordinates(coordinates: ArrayLike | None, n_spots: int) -> Matrix | None:
    if coordinates is None:
        return None
    places = finite_matrix(coordinates, "coordinates", n_spots)
    if places.shape[1] != 2:
        raise InputError(f"coordinates must be (n, 2), got {places.shape}")
    return _double(places)


def _optional(values: Any, name: str, n_spots: int) -> FloatArray | None:
    return None if values is None else finite_matrix(values, name, n_spots)


def _double(values: FloatArray) -> Matrix:
    return values.astype(np.float64)
