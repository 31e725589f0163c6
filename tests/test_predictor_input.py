"""Bad input to predictors: each case is refused in one line, or answered as documented."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from test_predictors import N_FEATURES, N_GENES, tissue, toy_cohort

from predictor import Cohort, GaussianProcess, MeanPredictor, NearestNeighbours, Ridge, SCR2Net
from scr2st_env import InputError, Slide

ALL = [
    MeanPredictor(),
    Ridge(),
    NearestNeighbours(),
    GaussianProcess(),
    SCR2Net(width=8, epochs=2, device="cpu"),
]
GENES = [f"g{index}" for index in range(N_GENES)]
TYPES = ["stroma", "tumour", "immune"]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Data(NamedTuple):
    """Twenty measured spots, as arrays that a case may break."""

    X: Any
    Y: Any
    places: Any
    types: Any


def data(n_spots: int = 20) -> Data:
    return Data(*(part[:n_spots].copy() for part in tissue(60)))


def spoilt(array: Any, value: float) -> Any:
    array[3, 1] = value
    return array


def named_cohort(genes: Any = GENES, types: Any = TYPES, encoder: str = "histology") -> Cohort:
    cohort = toy_cohort()
    return Cohort(
        cohort.features, cohort.expression, cohort.cell_types, cohort.groups, encoder, genes, types
    )


def frame(values: Any, columns: Any) -> pd.DataFrame:
    return pd.DataFrame(values, columns=columns)


# --- refused ---------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[Any, Data], Any], str]] = {
    "one spot": (lambda p, d: p.fit(d.X[:1], d.Y[:1]), "at least 2 measured .*, got n_samples=1"),
    "no spot": (lambda p, d: p.fit(d.X[:0], d.Y[:0]), "at least 2 measured spots"),
    "NaN in a feature": (lambda p, d: p.fit(spoilt(d.X, np.nan), d.Y), "X has NaN .* row 3"),
    "infinite expression": (lambda p, d: p.fit(d.X, spoilt(d.Y, np.inf)), "Y has NaN .* row 3"),
    "NaN in a place": (
        lambda p, d: p.fit(d.X, d.Y, coordinates=spoilt(d.places, np.nan)),
        "coordinates has NaN",
    ),
    "NaN in a composition": (
        lambda p, d: p.fit(d.X, d.Y, cell_types=spoilt(d.types, np.nan)),
        "cell_types has NaN",
    ),
    "negative shares": (lambda p, d: p.fit(d.X, d.Y, cell_types=-d.types), "negative shares"),
    "a spot without a label": (
        lambda p, d: p.fit(d.X, d.Y, cell_types=[*["tumour"] * 19, None]),
        "lacks the label",
    ),
    "arrays as a cohort": (lambda p, d: p.fit(d.X, d.Y, cohort=(d.X, d.Y)), "a Cohort, got tuple"),
    "a truth of fewer genes": (
        lambda p, d: p.fit(d.X, d.Y).score(d.X, d.Y[:, 1:]),
        r"y has shape \(20, 7\), the prediction \(20, 8\)",
    ),
    "no expression": (lambda p, d: p.fit(d.X, None), "target y is None"),
    "no genes": (lambda p, d: p.fit(d.X, d.Y[:, :0]), "at least one gene|0 feature"),
    "a row too few": (lambda p, d: p.fit(d.X, d.Y[:-1]), "19 rows"),
    "ragged rows": (lambda p, d: p.fit([[1.0], [1.0, 2.0]], d.Y[:2]), "table of numbers"),
    "text": (lambda p, d: p.fit(np.full((20, 3), "dark"), d.Y), "numeric"),
    "places in three dimensions": (
        lambda p, d: p.fit(d.X, d.Y, coordinates=d.X[:, :3]),
        r"coordinates must be \(n, 2\)",
    ),
    "groups of another length": (lambda p, d: p.fit(d.X, d.Y, groups=[1, 2]), "groups have shape"),
    "places of several slides": (
        lambda p, d: p.fit(d.X, d.Y, coordinates=d.places, groups=np.arange(20) % 2),
        "no common origin",
    ),
    "a slide in both": (
        lambda p, d: p.fit(d.X, d.Y, groups=np.arange(20) % 2, cohort=toy_cohort()),
        "slide '0' is among the groups",
    ),
    "a wider cohort": (
        lambda p, d: p.fit(d.X[:, :5], d.Y, cohort=toy_cohort()),
        "12 features, the measured spots 5",
    ),
    "a cohort of more genes": (
        lambda p, d: p.fit(d.X, d.Y[:, :5], cohort=toy_cohort()),
        "8 genes, the measured spots 5",
    ),
    "a gene that the cohort lacks": (
        lambda p, d: p.fit(d.X, frame(d.Y, ["new", *GENES[1:]]), cohort=named_cohort()),
        "the cohort lacks 1 of 8 genes .*'new'",
    ),
    "genes in another order": (
        lambda p, d: p.fit(d.X, frame(d.Y, GENES[::-1]), cohort=named_cohort()),
        "another order",
    ),
    "a cohort of another encoder": (
        lambda p, d: p.fit(d.X, d.Y, encoder="uni", cohort=named_cohort()),
        "'uni'.*'histology'",
    ),
    "unnamed types of another number": (
        lambda p, d: p.fit(d.X, d.Y, cell_types=d.types[:, :2], cohort=toy_cohort()),
        "2 and 3 cell types",
    ),
    "types that only the cohort names": (
        lambda p, d: p.fit(d.X, d.Y, cell_types=d.types, cohort=named_cohort()),
        r"named \(stroma, tumour, immune, ...\) cannot be joined",
    ),
    "types that the cohort does not name": (
        lambda p, d: p.fit(d.X, d.Y, cell_types=frame(d.types, TYPES), cohort=toy_cohort()),
        "cannot be joined with one without names",
    ),
    "labels beside a cohort without names": (
        lambda p, d: p.fit(d.X, d.Y, cell_types=np.array(TYPES * 7)[:20], cohort=toy_cohort()),
        "cannot be joined with one without names",
    ),
    "features of another encoder": (
        lambda p, d: p.fit(d.X, d.Y, encoder="histology").predict(d.X, encoder="uni"),
        "'uni'.*'histology'",
    ),
    "features of another encoder than the cohort's": (
        lambda p, d: p.fit(d.X, d.Y, cohort=named_cohort()).predict(d.X, encoder="uni"),
        "'uni'.*'histology'",
    ),
    "a query of another width": (
        lambda p, d: p.fit(d.X, d.Y).predict(d.X[:, :4]),
        "4 features, but .* is expecting 12",
    ),
    "a query with NaN": (lambda p, d: p.fit(d.X, d.Y).predict(spoilt(d.X, np.nan)), "X has NaN"),
    "one spot as a vector": (lambda p, d: p.fit(d.X, d.Y).predict(d.X[0]), "two dimensions"),
    "a gene missing from the truth": (
        lambda p, d: p.fit(d.X, frame(d.Y, GENES)).score(d.X, frame(d.Y[:, 1:], GENES[1:])),
        "y lacks 1 of 8 genes .*'g0'",
    ),
    "features called otherwise": (
        lambda p, d: p.fit(frame(d.X, list("abcdefghijkl")), d.Y).predict(
            frame(d.X, list("abcdefghijkx"))
        ),
        "feature names should match",
    ),
}  # fmt: skip


@pytest.mark.parametrize("predictor", ALL, ids=lambda predictor: type(predictor).__name__)
@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_line(predictor: Any, case: str) -> None:
    attempt, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        attempt(clone(predictor), data())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("predictor", ALL, ids=lambda predictor: type(predictor).__name__)
def test_sparse_features_are_refused_with_the_way_out(predictor: Any) -> None:
    with pytest.raises(TypeError, match="toarray"):
        clone(predictor).fit(sparse.csr_matrix(data().X), data().Y)


# --- answered --------------------------------------------------------------------------------


def answer(predictor: Any, given: Data, **options: Any) -> Any:
    fitted = clone(predictor).fit(
        given.X, given.Y, coordinates=given.places, cell_types=given.types, **options
    )
    whole = data(60)
    return fitted.predict(whole.X, coordinates=whole.places)


@pytest.mark.parametrize("predictor", ALL, ids=lambda predictor: type(predictor).__name__)
def test_a_constant_gene_is_predicted_to_be_constant(predictor: Any) -> None:
    given = data()
    given.Y[:, 2] = 1.5
    np.testing.assert_allclose(answer(predictor, given)[:, 2], 1.5, atol=0.1)
    given.Y[:] = 1.5
    np.testing.assert_allclose(answer(predictor, given), 1.5, atol=1e-5)


@pytest.mark.parametrize("predictor", ALL, ids=lambda predictor: type(predictor).__name__)
def test_constant_features_say_nothing(predictor: Any) -> None:
    given = data()
    given.X[:] = 3.0
    assert np.isfinite(answer(predictor, given)).all()


@pytest.mark.parametrize("predictor", ALL, ids=lambda predictor: type(predictor).__name__)
@pytest.mark.parametrize("n_measured", [1, 2, 3])
def test_fewer_spots_than_neighbours_are_all_used(predictor: Any, n_measured: int) -> None:
    predicted = answer(predictor, data(n_measured), cohort=toy_cohort())
    assert np.isfinite(predicted).all()
    assert np.abs(predicted.mean(axis=0) - data(n_measured).Y.mean(axis=0)).max() < 3


@pytest.mark.parametrize("predictor", ALL, ids=lambda predictor: type(predictor).__name__)
def test_the_same_spot_twice_is_no_trouble(predictor: Any) -> None:
    given = Data(*(np.concatenate([part, part]) for part in data(10)))
    assert np.isfinite(answer(predictor, given)).all()


def test_a_type_that_the_cohort_has_not_seen_is_added_by_name() -> None:
    given = data(3)
    unseen = frame(np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]), ["fat", "tumour"])
    model = SCR2Net(width=8, device="cpu").fit(
        given.X, given.Y, cell_types=unseen, cohort=named_cohort()
    )
    assert model.type_names_ == (*TYPES, "fat")
    found = model.retrieve(given.X)
    own = found.indices < 3
    expected = np.array(["fat", "tumour", "tumour"])[found.indices[own]]
    assert (found.types[own] == expected).all()
    assert set(found.types[~own]) <= set(TYPES)


def test_an_encoder_that_nobody_named_passes() -> None:
    given = data()
    fitted = Ridge().fit(given.X, given.Y, cohort=named_cohort())
    assert fitted.encoder_ == "histology"
    assert fitted.predict(given.X).shape == fitted.predict(given.X, encoder="histology").shape


# --- cohorts of slides -----------------------------------------------------------------------


def slide(name: str, encoder: str, types: Any = ("a", "b")) -> Slide:
    rng = np.random.default_rng(3)
    return Slide.make(
        name,
        rng.uniform(0, 900, (12, 2)),
        features=rng.normal(size=(12, N_FEATURES)),
        counts=rng.poisson(5, (12, 3)),
        genes=["x", "y", "z"],
        types=np.eye(2)[np.arange(12) % 2],
        type_names=types,
        encoder=encoder,
    )


def test_a_cohort_carries_the_names_of_its_slides() -> None:
    cohort = Cohort.from_slides([slide("s1", "uni"), slide("s2", "uni")], ["z", "x"])
    assert cohort.encoder == "uni"
    assert cohort.genes == ("z", "x")
    assert cohort.type_names == ("a", "b")
    assert np.asarray(cohort.spot_names).tolist() == [str(spot % 12) for spot in range(24)]
    part = cohort.subset(np.arange(24) >= 12)
    assert np.unique(np.asarray(part.groups)).tolist() == ["s2"]
    assert (part.encoder, part.genes, part.type_names) == ("uni", ("z", "x"), ("a", "b"))


def test_slides_of_different_encoders_make_no_cohort() -> None:
    with pytest.raises(InputError, match=r"slide 's2' .*'uni'.*'conch'"):
        Cohort.from_slides([slide("s1", "conch"), slide("s2", "uni")], ["x"])


def test_slides_that_order_their_types_differently_are_aligned() -> None:
    cohort = Cohort.from_slides([slide("s1", ""), slide("s2", "", ("b", "c"))], ["x"])
    assert cohort.type_names == ("a", "b", "c")
    assert cohort.cell_types is not None
    np.testing.assert_array_equal(cohort.cell_types[0], [1, 0, 0])
    np.testing.assert_array_equal(cohort.cell_types[12], [0, 1, 0])
    np.testing.assert_array_equal(cohort.cell_types[13], [0, 0, 1])


def test_names_that_do_not_fit_a_cohort_are_refused() -> None:
    cohort = toy_cohort()
    for options, message in (
        ({"genes": ["g0"]}, "1 genes for 8 columns"),
        ({"type_names": ["a"]}, "1 type_names for 3 columns"),
        ({"spot_names": ["a"]}, "spot names have shape"),
    ):
        with pytest.raises(InputError, match=message):
            Cohort(cohort.features, cohort.expression, cohort.cell_types, cohort.groups, **options)
