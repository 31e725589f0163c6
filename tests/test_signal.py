"""What can be anticipated of the reward: forecasts, candidates, purchases, and the page."""

from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import solve

from benchmarks.signal import buying
from benchmarks.signal.buying import foreseeing_spots, oracle_spots, random_spots
from benchmarks.signal.candidates import (
    CHOSEN,
    CLOSEST,
    HARD,
    TYPES,
    BoundCandidate,
    Candidate,
    mixtures,
)
from benchmarks.signal.forecasts import Forecaster, class_skill, r_squared
from benchmarks.signal.measuring import measure
from benchmarks.signal.report import gap_closed, tables, write_between_marks
from benchmarks.signal.sections import Fold, Section
from scr2st_env.errors import InputError
from scr2st_env.rewards import (
    ExpectedStates,
    HardStates,
    Setting,
    SoftStates,
    Term,
    TypeEntropy,
)

BUDGET = 0.2
SMALL = {"n_states": 8, "n_components": 4}
FORMS = ["nearest", "closest", "expected", "closest expected", "any"]


@cache
def bound_to_toy(form: str) -> BoundCandidate:
    return small(form).bind(toy_reference())


def small(form: str, cells_per_spot: int = 3) -> Candidate:
    return Candidate(form, form, cells_per_spot, **SMALL)


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    return [Section.of(toy_slide(f"s{seed}", 8, seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def forecaster(sections: list[Section]) -> Forecaster:
    return Forecaster.fit(sections[1:], [section.embedding for section in sections[1:]])


@pytest.mark.parametrize("form", FORMS)
@given(seed=st.integers(0, 10_000))
def test_every_candidate_of_states_is_bounded_monotone_and_blind_to_order(
    form: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bound = bound_to_toy(form)
    rows = bound.rows(rng.normal(size=(6, 4)))
    value = bound.value(rows)
    assert 0 <= value / bound.attainable(6) <= 1 + 1e-6 or form == "closest"
    assert value == pytest.approx(bound.value(rows[rng.permutation(6)]), abs=1e-6)
    assert bound.value(rows[:3]) <= value + 1e-6


def test_expected_states_is_the_mean_number_seen_when_each_spot_shows_a_state_at_random() -> None:
    bound = small("expected").bind(toy_reference())
    rng = np.random.default_rng(0)
    rows = bound.rows(rng.normal(size=(5, 4)))
    assert rows.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    shown = np.stack(
        [[rng.choice(8, p=np.float64(row) / np.float64(row).sum()) for row in rows]
         for _ in range(4000)]
    )  # fmt: skip
    seen = np.mean([len(set(spots)) for spots in shown.tolist()])
    assert bound.value(rows) * 8 == pytest.approx(seen, abs=0.08)


def test_expected_states_with_certain_assignments_counts_nearest_states() -> None:
    reference = toy_reference()
    certain = Candidate("certain", "expected", 1, vagueness=1e-9, **SMALL).bind(reference)
    nearest = Candidate("nearest", "nearest", 1, **SMALL).bind(reference)
    spots = reference.embedding[:20]
    assert certain.value(certain.rows(spots)) == pytest.approx(
        nearest.value(nearest.rows(spots)), abs=1e-3
    )


@pytest.mark.parametrize(
    ("candidate", "term", "width"),
    [
        (CHOSEN, ExpectedStates(), "sharing_width"),
        (HARD, HardStates(), "bandwidth"),
        (CLOSEST, SoftStates(), "bandwidth"),
        (TYPES, TypeEntropy(), "bandwidth"),
    ],
    ids=lambda value: value.name if isinstance(value, Candidate) else "",
)
def test_what_is_measured_is_what_the_environment_pays(
    candidate: Candidate, term: Term, width: str
) -> None:
    slide, reference = toy_slide("one", 6, 1), toy_reference(n_states=10)
    states = np.eye(len(reference.type_names)) if candidate.reads_types else reference.states
    measured = BoundCandidate(candidate, states.astype(np.float32), getattr(reference, width))
    spots = np.random.default_rng(0).permutation(slide.n_spots)[:7]
    setting = Setting(slide, reference, 7, np.ones(slide.n_spots, bool), np.zeros(0, np.int32))
    paid = term.bind(setting)
    paid.reset(spots.astype(np.int32))
    rows = measured.rows(candidate.read(Section.of(slide)))
    assert measured.value(rows[spots]) / measured.attainable(7) == pytest.approx(
        paid.value, abs=1e-5
    )


def test_gains_are_differences_of_the_potential() -> None:
    rng = np.random.default_rng(1)
    for candidate in [small(form) for form in FORMS] + [Candidate("types", "entropy")]:
        bound = candidate.bind(toy_reference())
        rows = bound.rows(rng.uniform(size=(7, 3 if candidate.reads_types else 4)))
        summary = bound.add(bound.add(bound.empty(), rows[0]), rows[1])
        gains = bound.gains(summary, rows)
        by_hand = [bound.value(rows[[0, 1, spot]]) for spot in range(7)]
        assert gains - gains[0] == pytest.approx(np.array(by_hand) - by_hand[0], abs=1e-6)


def test_mixtures_keep_centre_and_total_variance_of_the_cells() -> None:
    cells = toy_reference().embedding
    spots = mixtures(cells, 5, 3000)
    assert spots.mean(axis=0) == pytest.approx(cells.mean(axis=0), abs=1e-4)
    assert spots.var(axis=0).sum() == pytest.approx(cells.var(axis=0).sum(), rel=1e-4)


def test_kriging_solves_the_equations_of_a_gaussian_process(
    sections: list[Section], forecaster: Forecaster
) -> None:
    section, measured = sections[0], np.arange(0, 64, 5)
    values = section.embedding[measured]
    mean, variance = forecaster.predict(section, measured, values, "feedback")
    kernel, residual = section.near, values - values.mean(axis=0)
    for column, share in enumerate(forecaster.shares):
        system = kernel[np.ix_(measured, measured)] + np.eye(len(measured)) * (1 - share) / share
        weights = solve(system, kernel[measured])
        wanted = values[:, column].mean() + weights.T @ residual[:, column]
        assert mean[:, column] == pytest.approx(wanted, abs=1e-5)
        left = 1 - (weights * kernel[measured]).sum(axis=0)
        spread = residual[:, column].var()
        assert variance[:, column] == pytest.approx(spread * (share * left + 1 - share), abs=1e-5)


def test_what_follows_from_place_and_image_is_foretold_and_noise_is_not(
    sections: list[Section], forecaster: Forecaster
) -> None:
    measured = np.arange(0, 64, 3)
    rest = np.setdiff1d(np.arange(64), measured)

    def score(truth: np.ndarray, model: Forecaster, source: str) -> float:
        mean, _ = model.predict(sections[0], measured, truth[measured], source)
        return r_squared(truth[rest], mean[rest])[1]

    waves = np.sin(sections[0].public.pitch_coordinates / 2)
    smooth = Forecaster(np.full(2, 0.9), forecaster.ridge)
    assert score(waves, smooth, "feedback") > 0.8
    noise = [np.random.default_rng(seed).normal(size=(64, 2)) for seed in range(3)]
    learned = Forecaster.fit(sections[1:], noise[1:])
    assert all(score(noise[0], learned, source) < 0.1 for source in ("feedback", "both"))
    looks = [section.public.standardised_features[:, :2] for section in sections]
    seen = Forecaster.fit(sections[1:], looks[1:])
    assert score(looks[0], seen, "features") > 0.8
    assert score(looks[0], seen, "features") > score(looks[0], seen, "feedback") + 0.2


def test_forecasts_use_no_row_that_was_not_measured(
    sections: list[Section], forecaster: Forecaster
) -> None:
    rng, bound = np.random.default_rng(0), small("expected").bind(toy_reference())
    spots = foreseeing_spots(bound, sections[0], forecaster, "both", 8, rng)
    hidden = np.array(sections[0].embedding)
    hidden[np.setdiff1d(np.arange(64), spots)] = 99.0
    changed = Section(sections[0].public, hidden, sections[0].types)
    again = foreseeing_spots(bound, changed, forecaster, "both", 8, np.random.default_rng(0))
    assert spots.tolist() == again.tolist()


def test_each_round_of_foresight_starts_from_what_is_measured(
    sections: list[Section], forecaster: Forecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, starts = small("expected").bind(toy_reference()), []
    greedy = buying._greedy

    def watched(
        bound: BoundCandidate, worlds: np.ndarray, summaries: np.ndarray, *rest: Any
    ) -> Any:
        starts.append(summaries)
        return greedy(bound, worlds, summaries, *rest)

    monkeypatch.setattr(buying, "_greedy", watched)
    rng = np.random.default_rng(0)
    spots = foreseeing_spots(bound, sections[0], forecaster, "feedback", 12, rng)
    rows = bound.rows(sections[0].embedding[spots])
    for n_measured, start in zip((4, 8), starts, strict=True):
        for world in start:
            assert world == pytest.approx(np.prod(1 - rows[:n_measured], axis=0), abs=1e-6)


def test_oracle_is_best_of_all_pairs_within_its_bound(sections: list[Section]) -> None:
    bound = small("expected").bind(toy_reference())
    rows = bound.rows(sections[0].embedding)
    found = bound.value(rows[oracle_spots(bound, sections[0], rows, 2)])
    best = max(bound.value(rows[list(pair)]) for pair in combinations(range(64), 2))
    assert found >= (1 - 1 / np.e) * best
    chance = [
        bound.value(rows[random_spots(sections[0], 2, np.random.default_rng(seed))])
        for seed in range(20)
    ]
    assert found > np.mean(chance)


def test_class_skill_of_the_truth_is_large_and_of_the_base_rate_zero() -> None:
    truth = np.array([0, 1, 2, 2, 2, 1])
    frequency = np.array([1, 2, 3]) / 6
    assert class_skill(truth, np.tile(frequency, (6, 1)), frequency) == pytest.approx((0, 0))
    accuracy, skill = class_skill(truth, np.eye(3)[truth], frequency)
    assert accuracy == pytest.approx(0.5)
    assert skill > 0.8


def test_gap_closed_is_a_ratio_of_means_with_an_interval_from_six_patients() -> None:
    random = np.zeros(6)
    assert gap_closed(random + 0.25, random, random + 0.5).startswith(".50 ± ")
    assert gap_closed([0.1, 0.3], [0.0, 0.0], [0.2, 0.6]) == ".50"


def test_page_is_changed_between_its_marks_only(tmp_path: Path, sections: list[Section]) -> None:
    fold = Fold("toy", "one", sections[:1], sections[1:], toy_reference())
    records = measure(fold, BUDGET, seeds=1)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- signal: begin -->\nold\n<!-- signal: end -->\nafter\n")
    write_between_marks(page, tables(records, BUDGET, 1))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "image, places and feedback" in text


def test_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(InputError, match="once each"):
        write_between_marks(page, "text")
    assert page.read_text() == "nothing"


def test_the_page_of_rewards_has_room_for_the_tables(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "rewards.md"
    copy = tmp_path / "rewards.md"
    copy.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    write_between_marks(copy, "new tables")
    text = copy.read_text(encoding="utf-8")
    assert "new tables" in text
    assert "## The choice of defaults" in text
    assert "gap closed |" not in text


def test_where_the_oracle_is_level_with_chance_there_is_no_gap() -> None:
    assert gap_closed([0.2, 0.4], [0.25, 0.5], [0.0, 0.75]) == "no gap"
