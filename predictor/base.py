"""What all predictors share: fit, predict and score, in scikit-learn's manner."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from predictor.cohort import Cohort, centred_by_group, joined_cohorts
from predictor.inputs import (
    Measured,
    check_same_columns,
    checked_coordinates,
    checked_expression,
    checked_features,
    double,
    shape_of,
)
from predictor.names import (
    align_types,
    check_same_encoder,
    check_same_genes,
    column_names,
    composition,
    row_names,
)
from scr2st_env.arrays import FloatArray
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Matrix = NDArray[np.float64]

__all__ = ["Cohort", "Measured", "Predictor", "centred_by_group", "gene_spread", "level"]

FEW_SPOTS = 1_000  # too little work to share: threads cost several times what they spare
BLOCK = 10_000  # spots predicted at once, so that memory does not grow with the slide


class Predictor(RegressorMixin, BaseEstimator, ABC):  # type: ignore[misc]  # sklearn is untyped
    """From patch features to expression, in scikit-learn's manner.

    Attributes
    ----------
    n_features_in_ : int
        D, the width of the features.
    feature_names_in_ : ndarray of str
        Their names, where X was a data frame with named columns.
    n_genes_ : int
        G, the number of targets.
    n_measured_ : int
        How many spots of the slide at hand were given to ``fit``.
    genes_, type_names_, spot_names_ : tuple of str
        Names of genes, cell types and measured spots, from data frames or the cohort; genes and
        types without names have none, spots their number.
    encoder_ : str
        Name of the patch encoder, "" where it was never said.
    """

    def fit(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        cell_types: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        cohort: Cohort | None = None,
        encoder: str = "",
    ) -> Self:
        """Learn from the measured spots, and from a cohort where there is one.

        Parameters
        ----------
        X
            Patch features of the measured spots, z-scored over their slide, (n, D); a data frame
            names features and spots.
        Y
            Their expression, log1p(CP10k), (n, G), or (n,) for one gene; a data frame names genes.
        coordinates
            Their places in spot pitches, (n, 2), when all spots are of one slide.
        cell_types
            Their cell-type composition, (n, T), a data frame of it, or n labels. Types that the
            cohort has not are added to its own by name.
        groups
            Slide of each spot, (n,). Spots of several slides are learned from like a cohort, each
            slide around its own level, for slides of which nothing was measured.
        cohort
            Spots of retrospective slides.
        encoder
            Name of the encoder of X, as ``slide.public.encoder`` says.

        Returns
        -------
        Self

        Raises
        ------
        InputError
            If an array has the wrong shape or is not finite, the cohort is none, or has other
            genes or features, or there are fewer than two measured spots and no cohort.
        """
        features = checked_features(self, X, learn=True)
        expression = checked_expression(Y, len(features))
        if not isinstance(cohort, Cohort | None):
            raise InputError(
                f"cohort must be a Cohort, got {type(cohort).__name__}; make one with "
                "Cohort.from_slides"
            )
        n_spots = len(features)
        if n_spots < 2 and cohort is None:
            raise InputError(
                f"fit needs at least 2 measured spots, got n_samples={n_spots}; "
                "buy more or give cohort="
            )
        self._check_parameters()
        self.spot_names_ = row_names(X, n_spots)
        self.genes_ = column_names(Y) or (() if cohort is None else tuple(cohort.genes))
        self.encoder_ = encoder or ("" if cohort is None else cohort.encoder)
        types = self._checked_types(cell_types, n_spots, cohort)
        places = checked_coordinates(coordinates, n_spots)
        measured = Measured(features, expression, places, types)
        if cohort is not None:
            check_same_columns(measured, cohort, self.genes_, encoder)
        if groups is not None:
            measured, cohort = self._by_slide(measured, np.asarray(groups), cohort)
        self.n_genes_ = expression.shape[1]
        self.n_measured_ = measured.n_spots
        self.with_coordinates_ = measured.coordinates is not None
        self.single_target_ = len(shape_of(Y, "Y")) == 1
        with threadpool_limits(1 if measured.n_spots <= FEW_SPOTS else None):
            self._fit(measured, cohort)
        return self

    def predict(
        self, X: ArrayLike, *, coordinates: ArrayLike | None = None, encoder: str = ""
    ) -> FloatArray:
        """Predict the expression of spots.

        Parameters
        ----------
        X
            Patch features, (n, D).
        coordinates
            Places in spot pitches, (n, 2), on the slide of the measured spots.
        encoder
            Name of the encoder of X; one other than that of ``fit`` is refused.

        Returns
        -------
        ndarray of float32, shape (n, G)
            log1p(CP10k), as in ``fit``; (n,) where that was.

        Raises
        ------
        InputError
            If a shape differs from what ``fit`` saw, or a value is not finite.
        """
        features, places = self._checked_query(X, coordinates, encoder)
        if len(features) == 0:
            return self._shaped(np.empty((0, self.n_genes_)))
        blocks = np.array_split(np.arange(len(features)), -(-len(features) // BLOCK))
        predicted = [
            self._predict(features[rows], None if places is None else places[rows])
            for rows in blocks
        ]
        return self._shaped(np.concatenate(predicted))

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        coordinates: ArrayLike | None = None,
        encoder: str = "",
    ) -> float:
        """Return the coefficient of determination, the mean over genes, as scikit-learn does.

        Parameters
        ----------
        X, coordinates, encoder
            See :meth:`predict`.
        y
            What was measured, (n, G); of a data frame, the genes of ``fit`` are used.
        sample_weight
            (n,).

        Returns
        -------
        float
            At most 1; 0 for the mean of y.

        Raises
        ------
        InputError
            As :meth:`predict`, and if y lacks a gene or has another number of them.
        """
        names, truth = column_names(y), y
        if names and self.genes_ and names != self.genes_:
            wanted = [gene for gene in names if gene in set(self.genes_)]
            check_same_genes(sorted(self.genes_), sorted(wanted), "y")
            place = {gene: index for index, gene in enumerate(names)}
            truth = np.asarray(y)[:, [place[gene] for gene in self.genes_]]
        predicted = self.predict(X, coordinates=coordinates, encoder=encoder)
        shape = shape_of(truth, "y")
        if shape[:1] != predicted.shape[:1] or math.prod(shape) != predicted.size:
            raise InputError(
                f"y has shape {shape}, the prediction {predicted.shape}; "
                "give a row per spot and the genes of fit"
            )
        return float(r2_score(truth, predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _checked_query(
        self, X: ArrayLike, coordinates: ArrayLike | None, encoder: str
    ) -> tuple[Matrix, Matrix | None]:
        check_is_fitted(self)
        check_same_encoder(self.encoder_, encoder, "X")
        features = checked_features(self, X, learn=False)
        return features, checked_coordinates(coordinates, len(features))

    def _shaped(self, predicted: Matrix) -> FloatArray:
        values: FloatArray = predicted.astype(np.float32)
        return values[:, 0] if self.single_target_ else values

    def _checked_types(
        self, cell_types: ArrayLike | None, n_spots: int, cohort: Cohort | None
    ) -> Matrix | None:
        """Return the composition with a cohort's types first, and remember their names."""
        self.type_names_ = () if cohort is None else tuple(cohort.type_names)
        if cell_types is None:
            return None
        ours = composition(cell_types, n_spots)
        self.type_names_ = ours[1]
        if cohort is None or cohort.cell_types is None:
            return double(ours[0])
        aligned, self.type_names_ = align_types([(cohort.cell_types[:0], cohort.type_names), ours])
        return double(aligned[1])

    def _by_slide(
        self, measured: Measured, groups: NDArray[Any], cohort: Cohort | None
    ) -> tuple[Measured, Cohort | None]:
        """Turn measured spots of several slides into a cohort."""
        if groups.shape != (measured.n_spots,):
            raise InputError(f"groups have shape {groups.shape}, not ({measured.n_spots},)")
        if len(np.unique(groups)) < 2:
            return measured, cohort
        if measured.coordinates is not None:
            raise InputError(
                "coordinates of several slides have no common origin; leave coordinates= out, or "
                "fit one slide and give the others as cohort="
            )
        types = measured.cell_types
        ours = Cohort(
            measured.features.astype(np.float32),
            measured.expression.astype(np.float32),
            None if types is None else types.astype(np.float32),
            groups,
            self.encoder_,
            self.genes_,
            () if types is None else self.type_names_,
            self.spot_names_,
        )
        none_typed = None if types is None else types[:0]
        nothing = Measured(measured.features[:0], measured.expression[:0], None, none_typed)
        return nothing, ours if cohort is None else joined_cohorts(ours, cohort)

    def _check_parameters(self) -> None:
        """Raise InputError where a parameter of the constructor is out of range."""

    @abstractmethod
    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        """Learn from checked input."""

    @abstractmethod
    def _predict(self, features: Matrix, coordinates: Matrix | None) -> Matrix:
        """Predict from checked input."""


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
        return double(cohort.expression).mean(axis=0)
    return measured.expression.mean(axis=0)
