"""Expression programs, and kriging that smooths each one as far as it has to."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.gaussian_process import USUAL, kernel_between
from predictor.scr2net.gate import ProgramGate
from predictor.scr2net.kriging import PROGRAM_NOISES, Kriging
from predictor.scr2net.programs import programs_of

N_SPOTS, N_GENES = 24, 30


def woven(seed: int = 0) -> tuple[Any, ...]:
    """Thirty genes of one smooth program and one that is noise, both loud, and gene noise."""
    rng = np.random.default_rng(seed)
    places, looks = rng.uniform(0, 10, (2 * N_SPOTS, 2)), rng.normal(size=(2 * N_SPOTS, 3))
    axes = np.linalg.qr(rng.normal(size=(N_GENES, 2)))[0]
    smooth = np.sin(places[:, 0] / 2) + np.cos(places[:, 1] / 2)
    scores = np.column_stack([6 * smooth, 6 * rng.normal(size=2 * N_SPOTS)])
    values = scores @ axes.T + 0.5 * rng.normal(size=(2 * N_SPOTS, N_GENES))
    return places, looks, values - values[:N_SPOTS].mean(axis=0), axes


@given(st.integers(0, 50), st.integers(1, 8), st.integers(2, 12))
def test_programs_are_the_singular_vectors_whichever_way_they_are_found(
    seed: int, at_most: int, n_genes: int
) -> None:
    values = np.random.default_rng(seed).normal(size=(n_genes + 3, n_genes))
    _, _, right = np.linalg.svd(values, full_matrices=False)
    kept = min(at_most, n_genes)
    for found in (programs_of(values, at_most), programs_of(np.linalg.qr(values)[1], at_most)):
        assert found.shape == (n_genes, kept)
        np.testing.assert_allclose(np.abs((found * right.T[:, :kept]).sum(axis=0)), 1, atol=1e-6)


def test_directions_without_variance_are_no_programs() -> None:
    assert programs_of(np.zeros((5, 7))).shape == (7, 0)
    assert programs_of(np.zeros((9, 7))).shape == (7, 0)
    flat = np.outer(np.arange(9.0), np.ones(3))
    assert programs_of(flat).shape == (3, 1)


def test_a_prediction_is_the_mean_of_processes_program_by_program() -> None:
    places, looks, values, axes = woven()
    known = places[:N_SPOTS], looks[:N_SPOTS]
    kriging = Kriging.fit(*known, values[:N_SPOTS], axes)
    expected = np.zeros((N_SPOTS, N_GENES))
    parts = [np.outer(axis, axis) for axis in axes.T]
    parts.append(np.eye(N_GENES) - sum(parts))
    for kernel, weight, shares in zip(
        kriging.kernels, kriging.weights, kriging.shares, strict=True
    ):
        within = kernel_between(kernel, *known, *known)
        across = kernel_between(kernel, places[N_SPOTS:], looks[N_SPOTS:], *known)
        for noise, row in zip(PROGRAM_NOISES, shares, strict=True):
            solved = np.linalg.solve(within + noise * np.eye(N_SPOTS), values[:N_SPOTS])
            for share, part in zip(row, parts, strict=True):
                expected += weight * share * (across @ solved @ part)
    found = kriging.predict(places[N_SPOTS:], looks[N_SPOTS:])
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_a_program_that_places_explain_is_smoothed_less_than_one_that_is_noise() -> None:
    places, looks, values, axes = woven()
    kriging = Kriging.fit(places[:N_SPOTS], looks[:N_SPOTS], values[:N_SPOTS], axes)
    mean_noise = kriging.weights @ (np.array(PROGRAM_NOISES)[:, None] * kriging.shares).sum(axis=1)
    assert mean_noise[0] < 0.6 * mean_noise[1]
    np.testing.assert_allclose(kriging.shares.sum(axis=1), 1)


def test_noises_of_their_own_predict_better_than_one_for_all() -> None:
    errors: dict[str, list[float]] = {"own": [], "one": []}
    for seed in range(6):
        places, looks, values, axes = woven(seed)
        known = places[:N_SPOTS], looks[:N_SPOTS], values[:N_SPOTS]
        for name, programs in (("own", axes), ("one", np.zeros((N_GENES, 0)))):
            found = Kriging.fit(*known, programs).predict(places[N_SPOTS:], looks[N_SPOTS:])
            smooth = (values[N_SPOTS:] - found) @ axes[:, 0]
            errors[name].append(float((smooth**2).mean()))
    assert np.mean(errors["own"]) < 0.9 * np.mean(errors["one"])


@pytest.mark.parametrize("n_spots", [4, 5])
def test_four_spots_are_enough(n_spots: int) -> None:
    places, looks, values, axes = woven()
    kriging = Kriging.fit(places[:n_spots], looks[:n_spots], values[:n_spots], axes)
    assert np.isfinite(kriging.predict(places, looks)).all()
    assert np.isfinite(kriging.held_out()).all()


def test_a_program_that_no_spot_shows_keeps_its_gain() -> None:
    truth = np.random.default_rng(0).normal(size=(9, 6))
    truth[:, 0] = 0
    gate = ProgramGate.fit(np.zeros_like(truth), truth, np.eye(6)[:, :2])
    assert gate.gains[0] == pytest.approx(1)


def test_the_usual_kernel_is_among_what_shares_can_say() -> None:
    assert USUAL.noise in PROGRAM_NOISES
