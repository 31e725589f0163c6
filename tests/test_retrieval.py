"""Retrieval: who is found, who is dropped, and what the rest say."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from predictor.scr2net.retrieval import MemoryBank, majority, softmax_of_kept
from predictor.scr2net.search import EXACT_ROWS, NearestRows
from scr2st_env import InputError


def unit(rng: np.random.Generator, *shape: int) -> Any:
    vectors = rng.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def a_bank(n_spots: int = 30, n_types: int | None = 3) -> MemoryBank:
    rng = np.random.default_rng(0)
    types = None if n_types is None else rng.integers(n_types, size=n_spots)
    return MemoryBank(unit(rng, n_spots, 8), rng.normal(size=(n_spots, 5)), types)


@given(
    arrays(
        np.int64,
        st.tuples(st.integers(1, 6), st.integers(1, 9)),
        elements=st.integers(0, 4),
    ),
    st.integers(1, 4),
)
def test_the_majority_filter_is_a_counter_per_neighbourhood(types: Any, n_types: int) -> None:
    expected = []
    for row in types.tolist():
        # most_common keeps the order of first meeting among equals, as the filter promises
        frequent = [kind for kind, _ in Counter(row).most_common(n_types)]
        expected.append([kind in frequent for kind in row])
    np.testing.assert_array_equal(majority(types, n_types), expected)


def test_of_equally_frequent_types_the_nearer_one_is_kept() -> None:
    assert majority(np.array([[2, 0, 0, 2, 1]]), 1).tolist() == [[True, False, False, True, False]]
    assert majority(np.array([[0, 2, 2, 0, 1]]), 1).tolist() == [[True, False, False, True, False]]


@pytest.mark.parametrize("n_neighbors", [1, 5, 29, 1000])
def test_a_measured_spot_never_retrieves_itself(n_neighbors: int) -> None:
    bank = a_bank()
    own = np.arange(30)
    found = bank.retrieve(bank.keys, n_neighbors, own=own)
    assert found.indices.shape == (30, min(n_neighbors, 29))
    assert not (found.indices == own[:, None]).any()
    assert (found.indices >= 0).all()


def test_even_among_copies_of_itself_only_the_spot_itself_is_left_out() -> None:
    rng = np.random.default_rng(0)
    key = unit(rng, 1, 8)
    bank = MemoryBank(np.repeat(key, 6, axis=0), rng.normal(size=(6, 2)))
    found = bank.retrieve(bank.keys, 5, own=np.arange(6))
    for spot in range(6):
        assert sorted(found.indices[spot]) == [row for row in range(6) if row != spot]


def test_without_exclusion_a_key_finds_itself_first() -> None:
    bank = a_bank()
    found = bank.retrieve(bank.keys, 3)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(30))


@pytest.mark.parametrize("own", [None, np.arange(30)])
def test_neighbours_are_those_of_a_sorted_list_of_inner_products(own: Any) -> None:
    bank = a_bank(n_types=None)
    found = bank.retrieve(bank.keys, 4, own=own)
    similarity = bank.keys @ bank.keys.T
    if own is not None:
        np.fill_diagonal(similarity, -np.inf)
    expected = np.argsort(-similarity, axis=1)[:, :4]
    np.testing.assert_array_equal(found.indices, expected)


def test_soft_labels_are_weighted_means_of_kept_profiles() -> None:
    bank = a_bank()
    queries = unit(np.random.default_rng(3), 7, 8)
    found = bank.retrieve(queries, 6, n_types=1, temperature=0.2)
    labels, spread = bank.soft_labels(found), bank.spread(found)
    for query in range(7):
        rows = found.indices[query]
        kind, _ = Counter(bank.types[rows].tolist()).most_common(1)[0]
        kept = [row for row in rows if bank.types[row] == kind]
        similarity = bank.keys[kept] @ queries[query]
        weights = np.exp(similarity / 0.2) / np.exp(similarity / 0.2).sum()
        label = weights @ bank.profiles[kept]
        np.testing.assert_allclose(labels[query], label, atol=1e-5)
        variance = weights @ ((bank.profiles[kept] - label) ** 2).mean(axis=1)
        assert spread[query] == pytest.approx(variance, abs=1e-5)
        share = len(kept) / 6
        assert found.confidence[query] == pytest.approx(
            share * np.clip(weights @ similarity, 0, 1), abs=1e-5
        )


@given(
    arrays(np.float32, (4, 6), elements=st.floats(-1, 1, width=32)),
    arrays(np.bool_, (4, 6)),
    st.sampled_from([0.01, 0.1, 1.0]),
)
def test_weights_sum_to_one_and_are_zero_for_the_dropped(
    similarity: Any, kept: Any, temperature: float
) -> None:
    kept[:, 0] = True
    weights = softmax_of_kept(similarity, kept, temperature)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert (weights[~kept] == 0).all()


def test_confidence_is_between_zero_and_one_and_higher_for_a_nearer_query() -> None:
    bank = a_bank(n_types=None)
    near = bank.retrieve(bank.keys[:5], 1)
    far = bank.retrieve(unit(np.random.default_rng(9), 5, 8), 1)
    assert (near.confidence > 0.999).all()
    assert ((far.confidence >= 0) & (far.confidence < near.confidence)).all()


def test_no_query_is_no_problem_and_no_other_spot_is_one() -> None:
    bank = a_bank()
    assert bank.retrieve(bank.keys[:0], 4, own=np.arange(0)).indices.shape == (0, 4)
    lonely = MemoryBank(bank.keys[:1], bank.profiles[:1])
    with pytest.raises(InputError, match="other than the query"):
        lonely.retrieve(lonely.keys, 1, own=np.arange(1))


def heavy_tailed(n_rows: int, seed: int, width: int = 32) -> Any:
    rows = np.random.default_rng(seed).standard_t(2, (n_rows, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def recall(found: Any, truth: Any) -> float:
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return float(np.mean([len(set(ours) & set(theirs)) / len(theirs) for ours, theirs in pairs]))


@pytest.mark.parametrize("width", [31, 32])
def test_among_very_many_rows_the_nearest_are_found_though_nothing_clusters(width: int) -> None:
    """Looking at a twentieth of the rows, drawn at random, would find a twentieth."""
    rows, queries = heavy_tailed(20_000, 0, width), heavy_tailed(200, 1, width)
    coarse = NearestRows(rows, exact_rows=1_000)
    assert not coarse.exact
    similarity, indices = coarse.search(queries, 20)
    truth = np.argsort(-queries @ rows.T, axis=1)[:, :20]
    assert recall(indices, truth) > 0.95
    np.testing.assert_allclose(
        similarity, (queries[:, None] * rows[indices]).sum(axis=2), atol=2e-3
    )
    assert (np.diff(similarity, axis=1) <= 0).all()


def test_the_search_is_the_same_every_time_and_takes_no_queries_too() -> None:
    rows, queries = heavy_tailed(5_000, 0), heavy_tailed(50, 1)
    once, again = (NearestRows(rows, exact_rows=0).search(queries, 400) for _ in range(2))
    for ours, theirs in zip(once, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert NearestRows(rows, exact_rows=0).search(queries[:0], 5)[1].shape == (0, 5)


def test_a_bank_of_measured_spots_is_searched_exactly_and_a_huge_one_coarsely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert a_bank()._nearest_rows.exact
    assert EXACT_ROWS >= 100_000
    monkeypatch.setattr("predictor.scr2net.retrieval.EXACT_ROWS", 500)
    keys = heavy_tailed(2_000, 0)
    bank = MemoryBank(keys, keys)
    assert not bank._nearest_rows.exact
    own = np.arange(2_000)
    found = bank.retrieve(keys, 10, own=own)
    assert not (found.indices == own[:, None]).any()
    exact = keys @ keys.T
    np.fill_diagonal(exact, -1)
    assert recall(found.indices, np.argsort(-exact, axis=1)[:, :10]) > 0.95
