"""The bought spots of one fit, and every check that arrays pass on their way into a predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from predictor.cohort import Cohort
from predictor.names import check_same_encoder, check_same_genes
from scr2st_env.arrays import FloatArray, finite_matrix
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Matrix = NDArray[np.float64]


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
        (n, T), or None; a cohort's types come first, in its order.
    """

    features: Matrix
    expression: Matrix
    coordinates: Matrix | None
    cell_types: Matrix | None

    @property
    def n_spots(self) -> int:
        """How many were bought."""
        return len(self.features)


def checked_features(predictor: BaseEstimator, X: Any, *, learn: bool) -> Matrix:
    """Return X as finite float64 numbers, as scikit-learn's checks want it.

    Parameters
    ----------
    predictor
        Whose ``n_features_in_`` and ``feature_names_in_`` are set or compared with.
    X
        (n, D).
    learn
        Whether to set them.

    Raises
    ------
    InputError
        If X is no table of numbers, has no columns, or others than those that were learned.
    """
    shape = shape_of(X, "X")
    if len(shape) != 2:
        raise InputError(
            f"X must have two dimensions, got shape {shape}. Reshape your data: one row per "
            "spot, one column per feature"
        )
    if learn and shape[1] == 0:
        raise InputError(
            f"X has 0 feature(s) (shape={shape}) while a minimum of 1 is required; "
            "without an image, X are the coordinates in pitches"
        )
    try:
        table = validate_data(
            predictor, X, reset=learn, ensure_all_finite=False, ensure_min_samples=0
        )
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from error
    return double(finite_matrix(table, "X"))


def checked_expression(Y: Any, n_spots: int) -> Matrix:
    """Return Y as finite float64 numbers, (n, G); one gene may come as (n,).

    Raises
    ------
    InputError
        If it is missing, or no table of numbers with a row per spot.
    """
    if Y is None:
        raise InputError(
            "fit requires y to be passed, but the target y is None; give the expression"
        )
    try:
        table = check_array(
            Y, ensure_2d=False, ensure_all_finite=False, ensure_min_samples=0, input_name="Y"
        )
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from error
    expression = finite_matrix(table[:, None] if table.ndim == 1 else table, "Y", n_spots)
    if expression.shape[1] == 0:
        raise InputError("Y has no columns; give the expression of at least one gene")
    return double(expression)


def checked_coordinates(coordinates: ArrayLike | None, n_spots: int) -> Matrix | None:
    """Return places as finite float64 numbers, (n, 2), or None.

    Raises
    ------
    InputError
        If they are no pairs, or not one per spot.
    """
    if coordinates is None:
        return None
    places = finite_matrix(coordinates, "coordinates", n_spots)
    if places.shape[1] != 2:
        raise InputError(f"coordinates must be (n, 2), got {places.shape}")
    return double(places)


def check_same_columns(
    measured: Measured, cohort: Cohort, genes: tuple[str, ...], encoder: str
) -> None:
    """Refuse a cohort of other features or genes than those of the measured spots.

    Raises
    ------
    InputError
        If their number, the genes' names or the encoder's name differs.
    """
    check_same_encoder(cohort.encoder, encoder, "X")
    check_same_genes(genes, tuple(cohort.genes), "the cohort")
    for name, ours, theirs in (
        ("features", measured.features, cohort.features),
        ("genes", measured.expression, cohort.expression),
    ):
        if ours.shape[1] != theirs.shape[1]:
            raise InputError(
                f"the cohort has {theirs.shape[1]} {name}, the measured spots {ours.shape[1]}; "
                "use the same encoder and gene list for both"
            )


def shape_of(table: Any, name: str) -> tuple[int, ...]:
    """Return the shape of anything array-like.

    Raises
    ------
    InputError
        If its rows differ in length.
    """
    try:
        return tuple(table.shape if hasattr(table, "shape") else np.asarray(table).shape)
    except ValueError as error:
        raise InputError(f"{name} must be a table of numbers ({error})") from error


def double(values: FloatArray) -> Matrix:
    """Return the values in double precision."""
    return values.astype(np.float64)
