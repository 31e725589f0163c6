"""Across patients: what is bought on some patients' slides, and nothing else, predicts others'."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_slide
from test_benchmark_run import (
    atlas_study,
    episodes_of,
    study_of,
    toy_config,
    toy_section,
    toy_study,
    with_other_expression,
)

from benchmarks import Results, run_benchmark, write_markdown, write_report
from benchmarks.across import bought_cohorts, prepare_across
from benchmarks.cohort import Study
from benchmarks.contrasts import contrasts
from benchmarks.judging import predict_slide
from benchmarks.protocols import Fold, patient_folds
from predictor import Ridge
from scr2st_env.errors import InputError

JUDGES = ["ridge", "scr2net"]
FOLLOWER = "test_benchmark_run:Follower"


def across_config(**changes: Any) -> Any:
    values = {"protocol": "cross-patient", "judges": JUDGES, "primary_judge": "ridge"}
    return toy_config(**({**values, "seeds": 1, "random_budgets": []} | changes))


def two_sections_each(study: Study) -> Study:
    """The same slides, two of each patient."""
    slides = {
        name: replace(slide, public=replace(slide.public, patient=f"P{index // 2}"))
        for index, (name, slide) in enumerate(study.slides.items())
    }
    return replace(study, slides=slides)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("across")
    study = two_sections_each(toy_study(6))
    return run_benchmark(across_config(), folder, progress=False, study=study)


def test_agents_buy_on_the_slides_of_other_patients_and_spend_alike(results: Results) -> None:
    study = two_sections_each(toy_study(6))
    for episode in episodes_of(results):
        bought = {study.patients[name] for name in episode["picks"]}
        assert bought == {"P0", "P1", "P2"} - {episode["patient"]}
        for name, picks in episode["picks"].items():
            n_spots = study.slides[name].n_spots
            assert len(set(picks)) == len(picks) == round(episode["budget"] * n_spots)
        assert episode["spent"] == sum(map(len, episode["picks"].values()))


def test_every_slide_is_scored_once_per_agent_and_budget(results: Results) -> None:
    keys = ["slide", "agent", "budget", "seed"]
    scores = results.scores[results.scores["metric"] == "pearson_per_gene"]
    assert len(scores) == 6 * 4 * 2 * len(JUDGES)
    assert not scores.duplicated([*keys, "judge"]).any()
    assert np.isfinite(results.scores["value"]).all()


def test_the_slides_of_one_patient_share_what_was_bought(results: Results) -> None:
    found: dict[Any, list[Any]] = {}
    for episode in episodes_of(results):
        key = episode["fold"], episode["agent"], episode["budget"]
        found.setdefault(key, []).append(episode["picks"])
    assert len(found) == 3 * 4 * 2
    for picks in found.values():
        assert len(picks) == 2
        assert picks[0] == picks[1]


def test_what_patients_share_is_no_sample_of_patients(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reward is of the training slides, which the tested patients have in common."""
    monkeypatch.setattr("benchmarks.contrasts.MIN_PATIENTS", 3)
    contrasts.cache_clear()
    table = contrasts(results)
    contrasts.cache_clear()
    is_reward = table["judge"] == "environment"
    assert is_reward.any()
    assert table.loc[is_reward, "p"].isna().all()
    assert table.loc[~is_reward, "p"].notna().all()


def test_the_score_is_that_of_a_ridge_on_the_bought_spots_over_all_spots(results: Results) -> None:
    study = two_sections_each(toy_study(6))
    episode = next(e for e in episodes_of(results) if e["agent"] == "farthest")
    fold = next(f for f in patient_folds(study.patients) if f.name == episode["fold"])
    (across,) = prepare_across(across_config(), study, fold, fold.test, Path())
    ground = next(g for g in across.tested if g.slide.name == episode["slide"])
    assert ground.test_part(3) == list(range(ground.slide.n_spots))
    cohorts = bought_cohorts(across_config(), across, episode["picks"])
    assert len(cohorts["ridge"].features) == episode["spent"]
    fitted = Ridge().fit(np.empty((0, 6)), np.empty((0, 20)), cohort=cohorts["ridge"])
    predicted = fitted.predict(ground.slide.public.standardised_features)
    truth = ground.slide.expression(ground.genes.genes)
    expected = np.mean([np.corrcoef(truth[:, g], predicted[:, g])[0, 1] for g in range(20)])
    found = episode["scores"]["ridge"]["pearson_per_gene"]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("make_study", [toy_study, atlas_study])
def test_expression_of_the_tested_patient_decides_nothing_but_its_score(
    tmp_path: Path, make_study: Any
) -> None:
    study = make_study(3)
    changed = with_other_expression(study, "s0", np.arange(study.slides["s0"].n_spots))
    config = across_config(
        agents=["random", "farthest", "oracle", FOLLOWER],
        primary_agent="farthest",
        test_slides=["s0"],
        budgets=[0.1],
        feedback=True,
    )
    runs = [
        run_benchmark(config, tmp_path / label, progress=False, study=own)
        for label, own in (("a", study), ("b", changed))
    ]
    picks = [[e["picks"] for e in episodes_of(run)] for run in runs]
    assert picks[0] == picks[1]
    maps = [np.load(next((tmp_path / label / "units").glob("*.npz"))) for label in "ab"]
    shown = [key for key in maps[0].files if key.startswith("predicted/")]
    assert len(shown) == 4 * len(JUDGES)
    for key in shown:
        np.testing.assert_array_equal(maps[0][key], maps[1][key])
    assert not np.array_equal(maps[0]["truth"], maps[1]["truth"])


@pytest.mark.parametrize("sold", [True, False])
def test_spots_that_were_not_bought_decide_nothing_and_bought_ones_do(sold: bool) -> None:
    """Given the gene list, which is the training patients'."""
    study = toy_study(3)
    fold = patient_folds(study.patients)[0]
    config = across_config()
    (across,) = prepare_across(config, study, fold, fold.test, Path())
    picks = {ground.slide.name: [1, 5, 9, 20, 30] for ground in across.bought}
    spots = np.array(picks["s1"]) if sold else np.setdiff1d(np.arange(64), picks["s1"])
    changed = with_other_expression(study, "s1", spots)
    (other,) = prepare_across(config, changed, fold, fold.test, Path())
    other = replace(other, bought=tuple(replace(g, genes=across.bought[0].genes)
                                        for g in other.bought))  # fmt: skip
    (ground,) = across.tested
    predicted = []
    for own in (across, other):
        cohort = bought_cohorts(config, own, picks)["ridge"]
        predicted.append(predict_slide(Ridge(), ground.slide, ground.expression, [], cohort))
    assert np.array_equal(predicted[0], predicted[1]) is not sold


def test_a_slide_is_embedded_without_its_own_patient() -> None:
    """Agents see, and are paid for, what could be known of a slide that nobody measured."""
    study = atlas_study(3)
    fold = Fold("s0", ("s1", "s2"), ("s0",))
    changed = with_other_expression(study, "s1", np.arange(10, 64))
    (across,), (other,) = (
        prepare_across(across_config(), own, fold, fold.test, Path()) for own in (study, changed)
    )
    first, second = across.bought[0].slide.hidden, other.bought[0].slide.hidden
    assert across.bought[0].slide.name == "s1"
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.embedding[:10], second.embedding[:10])
    np.testing.assert_array_equal(first.types[:10], second.types[:10])
    assert not np.array_equal(first.embedding[10:], second.embedding[10:])
    assert not np.array_equal(
        across.bought[1].slide.hidden.embedding, other.bought[1].slide.hidden.embedding
    )


def test_a_lost_fold_is_played_again_to_the_same_scores(results: Results, tmp_path: Path) -> None:
    study = two_sections_each(toy_study(6))
    run_benchmark(across_config(), tmp_path, progress=False, study=study)
    min((tmp_path / "units").glob("*.jsonl")).unlink()
    again = run_benchmark(across_config(jobs=2), tmp_path, progress=False, study=study)
    assert again.info["units_in_this_run"] == 1
    np.testing.assert_array_equal(again.scores["value"], results.scores["value"])


def one_biology(*, pictured: bool) -> Study:
    """Three patients in whom the same cells look the same, or look like nothing."""
    programs = np.random.default_rng(0).gamma(1.0, size=(3, 60))
    looks = np.random.default_rng(7).normal(size=(3, 6)) * pictured
    sections = {f"s{index}": toy_section(f"s{index}", 9, index) for index in range(3)}
    for seed, section in enumerate(sections.values()):
        noise = np.random.default_rng(seed).normal(size=(section.n_obs, 6))
        section.obsm["X_patch"] = np.asarray(section.X) @ np.linalg.pinv(programs) @ looks + noise
    return study_of(sections)


def test_bought_spots_teach_what_pictures_show_and_more_of_them_more(tmp_path: Path) -> None:
    """r is about .45 from 60 % of the spots, .11 from 4 %, and .05 where pictures show nothing."""
    config = across_config(
        agents=["random", "farthest"],
        primary_agent="farthest",
        budgets=[0.04, 0.6],
        primary_budget=0.04,
        judges=["ridge"],
        seeds=3,
    )
    score = {}
    for pictured in (True, False):
        study = one_biology(pictured=pictured)
        run = run_benchmark(config, tmp_path / str(pictured), progress=False, study=study)
        own = run.scores.query("metric == 'pearson_per_gene'").groupby("budget")["value"].mean()
        score[pictured] = own
    assert score[True][0.6] > 0.35
    assert score[True][0.04] < score[True][0.6] - 0.2
    assert abs(score[False][0.6]) < 0.12


def test_the_report_says_what_was_bought_where(results: Results, tmp_path: Path) -> None:
    page = write_report(results, tmp_path).read_text("utf-8")
    text = write_markdown(results, tmp_path / "markdown").read_text("utf-8")
    for said in (page, text):
        assert "purchases.png" not in said
        assert "never sold" not in said
        assert "nothing is measured on the slides that are scored" in said
    assert not (tmp_path / "figures" / "purchases.png").exists()
    assert (tmp_path / "figures" / "predictions.png").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"agents": ["random", "design:fitted"], "primary_agent": "design:fitted"}, "lets it buy"),
        ({"agents": ["random", "learned:reward"], "primary_agent": "learned:reward"}, "lets it b"),
        ({"judges": ["ridge", "ridge:no-cohort"]}, "'ridge:no-cohort' has nothing to learn from"),
        ({"judges": ["ridge", "scr2net:no-prior"]}, "'scr2net:no-prior' has nothing to learn"),
        ({"budgets": [0.1, 0.001]}, "budget 0.001 is less than one of"),
    ],
)
def test_what_would_know_too_much_or_nothing_is_refused(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_benchmark(across_config(**fields), tmp_path, progress=False, study=toy_study(3))


def test_one_patient_to_buy_on_is_refused_where_slides_are_to_be_embedded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has one patient to buy on, 'patient of s1'"):
        run_benchmark(across_config(), tmp_path, progress=False, study=atlas_study(2))


def test_slides_without_images_are_refused(tmp_path: Path) -> None:
    slides = {name: toy_slide(name, n_features=0) for name in ("one", "two", "three")}
    study = replace(toy_study(1), slides=slides)
    with pytest.raises(InputError, match="needs patch features"):
        run_benchmark(across_config(), tmp_path, progress=False, study=study)


def test_a_whole_slide_may_be_bought() -> None:
    """No spot is kept from sale where none is scored."""
    assert across_config(budgets=[0.1, 0.9]).all_budgets == [0.1, 0.9]
