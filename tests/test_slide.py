"""The value objects: slides with a public and a hidden part, and the single-cell reference."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import sparse

from scr2st_env import CellReference, InputError, PublicSlide, Slide, SlideImage

PLACES = np.array([[0, 0], [100, 0], [0, 100], [100, 100]], np.float32)
COUNTS = np.array([[1, 2, 0], [0, 0, 0], [3, 4, 5], [0, 1, 0]])
GENES = ["ACTB", "ERBB2", "KRT8"]


def arrays_of(slide: Slide) -> dict[str, NDArray]:
    hidden = slide.hidden
    public = {
        name: getattr(slide.public, name)
        for name in ("coordinates", "features", "spot_names", "measurable", "tissue_density")
    }
    derived = {
        name: getattr(slide.public, name)
        for name in ("scaled_coordinates", "pitch_coordinates", "standardised_features")
    }
    parts = {name: getattr(hidden.counts, name) for name in ("data", "indices", "indptr")}
    return (
        public | derived | parts | {n: getattr(hidden, n) for n in ("genes", "embedding", "types")}
    )


def test_every_array_is_read_only(slide: Slide) -> None:
    for name, array in arrays_of(slide).items():
        assert not array.flags.writeable, name


def test_every_array_is_read_only_after_a_trip_to_a_worker(slide: Slide) -> None:
    arrived = pickle.loads(pickle.dumps(slide))  # noqa: S301 - our own bytes
    assert arrived.public.fingerprint == slide.public.fingerprint
    for name, array in arrays_of(arrived).items():
        assert not array.flags.writeable, name


def test_a_slide_cannot_be_changed(slide: Slide) -> None:
    with pytest.raises(FrozenInstanceError):
        slide.public.pitch = 3.0
    with pytest.raises(ValueError, match="read-only"):
        slide.public.features[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        slide.hidden.counts.data[0] = 1


def test_a_deep_copy_is_the_object_itself(slide: Slide, reference: CellReference) -> None:
    for value in (slide, slide.public, slide.hidden, reference):
        assert copy.deepcopy(value) is value
        assert copy.copy(value) is value
        assert copy.deepcopy({"slides": [value]})["slides"][0] is value


def test_making_a_slide_neither_changes_nor_keeps_what_it_is_given() -> None:
    given_arrays = {
        "coordinates": PLACES.copy(),
        "features": np.eye(4, dtype=np.float32),
        "counts": sparse.csr_matrix(COUNTS),
        "genes": np.array(GENES),
        "embedding": np.ones((4, 2), np.float32),
        "types": np.full((4, 2), 0.5, np.float32),
        "spot_names": np.array(["a", "b", "c", "d"]),
        "measurable": np.array([True, False, True, True]),
        "tissue_density": np.ones(4, np.float32),
    }
    slide = Slide.make("s", **given_arrays, type_names=["t", "u"])
    before = {name: array.copy() for name, array in arrays_of(slide).items()}
    for value in given_arrays.values():
        array = value.data if sparse.issparse(value) else value
        assert array.flags.writeable
        array[...] = "x" if array.dtype.kind == "U" else 0
    for name, array in arrays_of(slide).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_live_slide_has_no_way_to_the_hidden_part(slide: Slide) -> None:
    live = slide.live()
    assert live.hidden is None
    assert live.public is slide.public
    reachable = pickle.dumps(live.public)
    assert slide.hidden.embedding.tobytes()[:64] not in reachable
    assert slide.hidden.counts.data.tobytes()[:64] not in reachable
    with pytest.raises(InputError, match="slide 'toy' is live: it has no expression yet"):
        live.expression(["g0"])
    with pytest.raises(InputError, match="is live: it has no expression to embed yet"):
        live.with_embedding(np.ones((64, 2)), np.ones((64, 1)), ["t"])


def test_defaults_are_those_of_a_plain_lattice() -> None:
    public = Slide.make("s1", PLACES).public
    assert (public.n_spots, public.n_features, public.pitch) == (4, 0, 100.0)
    assert public.patient == "s1"
    assert public.spot_names.tolist() == ["0", "1", "2", "3"]
    assert public.measurable.all()
    assert (public.tissue_density == 1).all()


@pytest.mark.parametrize("pitch", [0.37, 100.0, 5000.0])
def test_the_pitch_is_found_on_shaken_square_and_hexagonal_lattices(pitch: float) -> None:
    square = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2).astype(float)
    hexagonal = square * [1, np.sqrt(3) / 2]
    hexagonal[:, 0] += 0.5 * (square[:, 1] % 2)
    shake = np.random.default_rng(0).normal(0, 0.03, square.shape)
    for lattice in (square, hexagonal):
        assert Slide.make("s", (lattice + shake) * pitch).public.pitch == pytest.approx(
            pitch, rel=0.03
        )


def test_a_single_spot_has_pitch_one() -> None:
    public = Slide.make("s", [[5, 5]]).public
    assert public.pitch == 1.0
    np.testing.assert_array_equal(public.scaled_coordinates, [[0, 0]])


places = arrays(
    np.float64, st.tuples(st.integers(2, 12), st.just(2)), elements=st.floats(-1e4, 1e4, width=32)
).filter(lambda xy: len(np.unique(xy.astype(np.float32), axis=0)) == len(xy))


@given(places)
def test_scaled_coordinates_fill_the_unit_square_and_keep_the_aspect(xy: NDArray) -> None:
    public = Slide.make("s", xy, pitch=1.0).public
    scaled, extent = public.scaled_coordinates, np.ptp(public.coordinates, axis=0).max()
    assert scaled.min() == 0
    assert scaled.max() == pytest.approx(1.0 if extent > 0 else 0.0)
    expected = (public.coordinates - public.coordinates.min(axis=0)) / (extent or 1.0)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)


@given(arrays(np.float32, (6, 3), elements=st.floats(-100, 100, width=32)))
def test_standardised_features_have_unit_spread_and_a_constant_one_is_zero(
    features: NDArray,
) -> None:
    features[:, 0] = 7.0
    scaled = Slide.make("s", np.arange(12).reshape(6, 2), features=features).public
    scaled = scaled.standardised_features
    assert not scaled[:, 0].any()
    spread = features.astype(float).std(axis=0)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0)[spread > 1e-3], 1, rtol=1e-3)


def test_features_are_compared_free_of_the_section_s_stain(slide: Slide) -> None:
    stained = slide.with_features(slide.public.features * 3 + 5, "toy")
    np.testing.assert_allclose(
        stained.public.standardised_features, slide.public.standardised_features, atol=1e-5
    )


def test_the_fingerprint_follows_the_public_part_and_ignores_the_hidden_one(slide: Slide) -> None:
    public = slide.public
    assert toy_slide().public.fingerprint == public.fingerprint
    assert slide.with_embedding(np.zeros((64, 2)), np.ones((64, 1)), ["t"]).public.fingerprint == (
        public.fingerprint
    )
    moved = public.coordinates.copy()
    moved[0, 0] += 1
    masked = public.measurable.copy()
    masked[5] = False
    others: list[PublicSlide] = [
        replace(public, name="other"),
        replace(public, coordinates=moved),
        replace(public, features=public.features + 1),
        replace(public, features=public.features.reshape(128, 3)),
        replace(public, measurable=masked),
        replace(public, tissue_density=public.tissue_density * 2),
        replace(public, spot_names=public.spot_names[::-1]),
        replace(public, pitch=50.0),
    ]
    assert len({public.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)


def test_expression_is_normalised_by_all_genes_and_never_nan() -> None:
    slide = Slide.make("s", PLACES, counts=COUNTS, genes=GENES)
    expected = np.log1p([[1e4 * 2 / 3], [0], [1e4 * 4 / 12], [1e4]])
    np.testing.assert_allclose(slide.expression(["ERBB2"]), expected, rtol=1e-6)
    swapped = slide.expression(["KRT8", "ERBB2"])
    np.testing.assert_array_equal(swapped[:, 1:], slide.expression(["ERBB2"]))
    with pytest.raises(InputError, match=r"lacks 1 of 2 genes \(first: 'TP53'\)"):
        slide.expression(["ERBB2", "TP53"])


def test_duplicate_entries_of_a_sparse_matrix_are_one_count() -> None:
    doubled = sparse.csr_matrix(
        (np.array([2, 3]), np.array([1, 1]), np.array([0, 2, 2, 2, 2])), shape=(4, 3)
    )
    slide = Slide.make("s", PLACES, counts=doubled, genes=GENES)
    assert slide.hidden.counts.toarray()[0].tolist() == [0, 5, 0]


def test_types_are_scaled_to_shares() -> None:
    slide = Slide.make(
        "s", PLACES, counts=COUNTS, genes=GENES, types=[[2, 2]] * 4, type_names=["a", "b"]
    )
    assert (slide.hidden.types == 0.5).all()
    assert slide.hidden.type_names == ("a", "b")


def test_a_spot_whose_types_are_unknown_is_shared_equally() -> None:
    types = [[0, 0], [3, 1], [0, 0], [0, 2]]
    slide = Slide.make("s", PLACES, counts=COUNTS, genes=GENES, types=types, type_names=["a", "b"])
    assert slide.hidden.types.tolist() == [[0.5, 0.5], [0.75, 0.25], [0.5, 0.5], [0, 1]]


def test_another_embedding_leaves_everything_else_shared(slide: Slide) -> None:
    other = slide.with_embedding(np.zeros((64, 7)), np.ones((64, 2)), ["x", "y"])
    assert other.hidden.embedding.shape == (64, 7)
    assert other.hidden.type_names == ("x", "y")
    assert other.hidden.counts is slide.hidden.counts
    assert other.public is slide.public
    assert slide.hidden.embedding.shape == (64, 4)


def full(**changes: object) -> dict:
    return {"counts": COUNTS, "genes": GENES} | changes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinates": np.zeros((0, 2))}, "coordinates must be (N, 2) with N >= 1"),
        ({"coordinates": np.zeros((3, 3))}, "coordinates must be (N, 2) with N >= 1"),
        ({"coordinates": [1, 2]}, "coordinates must have two dimensions"),
        ({"coordinates": [[0, 0], [1]]}, "coordinates must be a table of numbers"),
        ({"coordinates": [["a", "b"]]}, "coordinates must be a table of numbers"),
        ({"coordinates": [[0, 0], [np.nan, 1]]}, "1 rows (first: row 1)"),
        ({"coordinates": np.zeros((6, 2))}, "spots 0 and 1 lie at one place (0, 0), as do 5 pairs"),
        (
            {"coordinates": [[5, 7], [1, 7], [9, 9], [1, 7]], "pitch": 3.0},
            "spots 1 and 3 lie at one place (1, 7)",
        ),
        ({"pitch": 0}, "pitch must be a positive number, got 0"),
        ({"pitch": np.inf}, "pitch must be a positive number"),
        ({"features": np.zeros((3, 2))}, "features has 3 rows, but there are 4"),
        ({"features": np.full((4, 2), np.inf)}, "features has NaN or infinite values in 4 rows"),
        ({"spot_names": ["a", "b"]}, "2 spot names for 4 spots"),
        ({"spot_names": ["a", "b", "b", "c"]}, "spot name 'b' occurs more than once"),
        ({"measurable": [True]}, "measurable has shape (1,), not (4,)"),
        ({"tissue_density": [1, 1]}, "tissue_density has shape (2,), not (4,)"),
        ({"tissue_density": [0, 0, 0, 0]}, "not all zero"),
        ({"tissue_density": [1, -1, 1, 1]}, "non-negative"),
        ({"tissue_density": [1, np.nan, 1, 1]}, "finite"),
        ({"embedding": np.zeros((4, 2))}, "embedding without counts; pass counts=, too"),
        ({"types": np.ones((4, 1)), "type_names": ["a"]}, "leave types out for a live slide"),
        ({"genes": GENES}, "genes without counts"),
        (full(counts=COUNTS[:3]), "counts have 3 rows for 4 spots"),
        (full(counts=COUNTS[0]), "counts must have two dimensions"),
        (full(counts=-COUNTS), "counts contain negative values; give raw counts"),
        (full(counts=COUNTS * np.nan), "counts contain NaN or infinite values"),
        (full(counts=COUNTS.astype(str)), "counts must be numbers, got <U21"),
        (full(genes=None), "0 gene names for 3 columns of counts"),
        (full(genes=["a", "b"]), "2 gene names for 3 columns of counts"),
        (full(genes=["a", "b", "a"]), "gene names repeat"),
        (full(embedding=np.zeros((2, 2))), "embedding has 2 rows"),
        (full(types=np.ones((4, 2)), type_names=["a"]), "1 type names for 2 columns of types"),
        (full(types=-np.ones((4, 1)), type_names=["a"]), "non-negative shares"),
        (full(types=np.zeros((4, 0)), type_names=[]), "types have no column"),
    ],
)
def test_wrong_input_is_refused_with_the_name_of_the_slide(arguments: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Slide.make("C2", **({"coordinates": PLACES} | arguments))
    assert "slide 'C2'" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_is_placed_by_its_scale() -> None:
    image = SlideImage(np.zeros((10, 20, 3), np.uint8), scale=0.1)
    public = Slide.make("s", PLACES, image=image).public
    assert (public.coordinates * public.image.scale).max() <= 10


def test_a_picture_is_frozen_and_keeps_nothing_of_what_it_is_given() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    image = SlideImage(pixels, scale=1)
    pixels[:] = 9
    assert not image.pixels.any()
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0] = 1


@pytest.mark.parametrize(
    ("pixels", "scale", "message"),
    [
        (np.zeros((4, 5, 3)), 1.0, "uint8, (height, width, 3), got float64, (4, 5, 3)"),
        (np.zeros((4, 5, 4), np.uint8), 1.0, "got uint8, (4, 5, 4)"),
        (np.zeros((4, 5), np.uint8), 1.0, "got uint8, (4, 5)"),
        (np.zeros((0, 5, 3), np.uint8), 1.0, "got uint8, (0, 5, 3)"),
        (np.zeros((4, 5, 3), np.uint8), 0.0, "scale must be a positive number"),
        (np.zeros((4, 5, 3), np.uint8), np.nan, "scale must be a positive number"),
    ],
)
def test_a_wrong_picture_is_refused(pixels: NDArray, scale: float, message: str) -> None:
    with pytest.raises(InputError) as caught:
        SlideImage(pixels, scale)
    assert message in str(caught.value)


def test_cell_states_are_centroids_and_the_bandwidth_their_typical_distance() -> None:
    reference = toy_reference(n_states=6)
    assert reference.states.shape == (6, 4)
    assert (reference.n_states, reference.n_dimensions) == (6, 4)
    distance = np.linalg.norm(reference.embedding[:, None] - reference.states, axis=2)
    members = distance.argmin(axis=1)
    for state in range(6):
        mean = reference.embedding[members == state].mean(axis=0)
        np.testing.assert_allclose(reference.states[state], mean, atol=1e-4)
    expected = np.sqrt((distance.min(axis=1) ** 2).mean())
    assert reference.bandwidth == pytest.approx(expected, rel=1e-4)


def test_equal_seeds_give_equal_states() -> None:
    np.testing.assert_array_equal(toy_reference().states, toy_reference().states)


def test_types_are_coded_in_the_order_of_their_names() -> None:
    cells = np.arange(8.0).reshape(4, 2)
    labels = ["b", "a", "b", "a"]
    assert CellReference.make(cells, labels, n_states=2).cell_types.tolist() == [1, 0, 1, 0]
    named = CellReference.make(cells, labels, n_states=2, type_names=["b", "a", "unseen"])
    assert named.cell_types.tolist() == [0, 1, 0, 1]
    assert named.type_names == ("b", "a", "unseen")


@pytest.mark.parametrize("name", ["embedding", "states", "cell_types"])
def test_the_reference_is_read_only(reference: CellReference, name: str) -> None:
    arrived = pickle.loads(pickle.dumps(reference))  # noqa: S301 - our own bytes
    assert not getattr(reference, name).flags.writeable
    assert not getattr(arrived, name).flags.writeable


CELLS = np.arange(12.0).reshape(6, 2)
LABELS = ["a", "b"] * 3


@pytest.mark.parametrize(
    ("cells", "labels", "options", "message"),
    [
        (CELLS, LABELS[:4], {}, "4 cell-type labels for 6 cells"),
        (CELLS, [*LABELS[:5], None], {}, "1 of 6 labels are no text (first: cell 5, None)"),
        (CELLS, [np.nan, *LABELS[1:]], {}, "1 of 6 labels are no text (first: cell 0, nan)"),
        (CELLS, LABELS, {"n_states": 7}, "n_states=7 but there are 6 cells"),
        (CELLS, LABELS, {"n_states": 0}, "n_states=0"),
        (
            CELLS * 0,
            LABELS,
            {"n_states": 2},
            "1 of them different; pass n_states=",
        ),
        (CELLS, ["a"] * 6, {"n_states": 2}, "at least two cell types"),
        (CELLS, LABELS, {"n_states": 2, "type_names": ["a", "c"]}, "'b' is not among type_names"),
        (CELLS, LABELS, {"n_states": 2, "type_names": ["a", "a", "b"]}, "type_names repeat"),
        (CELLS * np.nan, LABELS, {"n_states": 2}, "embedding has NaN"),
        (CELLS[0], LABELS, {"n_states": 2}, "embedding must have two dimensions"),
    ],
)
def test_a_wrong_reference_is_refused(
    cells: NDArray, labels: list[str], options: dict, message: str
) -> None:
    with pytest.raises(InputError, match="reference: ") as caught:
        CellReference.make(cells, labels, **options)
    assert message in str(caught.value)
