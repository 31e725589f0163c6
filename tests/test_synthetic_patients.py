"""Synthetic patients: grown once, scored against a truth that nobody else can reach."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_benchmark_run import READERS, episodes_of, toy_config, toy_study

from benchmarks import BenchmarkConfig, Results, load_config, run_benchmark
from benchmarks.checks import check_study, study_folds
from benchmarks.cohort import Study, load_study
from benchmarks.contrasts import contrasts
from benchmarks.evidence import gains
from benchmarks.folds import prepare_fold
from benchmarks.judging import scores, scores_of_truth
from benchmarks.report.content import words
from benchmarks.report.table import headline, scoreboard
from benchmarks.statistics import t_interval
from benchmarks.synthetic_patients import COHORT, patient_slides, slides_to_test
from scr2st.stages import run_and_report
from scr2st_env.errors import InputError
from scr2st_env.slide import HiddenPart, PublicSlide, Slide
from scr2st_env.synthetic import TEST, TRAINING, SyntheticTissue
from scr2st_env.synthetic.tissue import TRUTH

TINY: dict[str, Any] = {
    "slides": [COHORT],
    "features": "",
    "synthetic_training": 2,
    "synthetic_tested": 6,
    "synthetic_spots": [45, 50],
    "agents": ["random", "farthest", "design", "learned:lookahead", "oracle"],
    "primary_agent": "learned:lookahead",
    "primary_against": ["farthest", "design"],
    "feedback": True,
    "score": "truth",
    "judges": ["gp", "knn"],
    "n_states": 10,
    "seeds": 1,
}


def tiny_config(**changes: Any) -> BenchmarkConfig:
    return toy_config(**(TINY | changes))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def study(output: Path) -> Study:
    return load_study(tiny_config(), output, progress=False)


@pytest.fixture(scope="module")
def results(output: Path, study: Study) -> Results:
    return run_benchmark(tiny_config(), output, progress=False, study=study)


# --- the cohort ---------------------------------------------------------------------------------


def test_patients_are_of_nobody_that_comes_with_the_package(study: Study) -> None:
    met = {name.split("s")[0] for name in (*TRAINING, *TEST)}
    assert not met & set(study.patients.values())
    assert list(study.slides) == patient_slides(tiny_config())
    assert len(set(study.patients.values())) == 8
    (fold,) = study_folds(tiny_config(), study)
    assert (fold.training, list(fold.test)) == (("p7s1", "p8s1"), slides_to_test(tiny_config()))
    for slide in study.slides.values():
        assert 45 <= slide.n_spots <= 50
        assert (slide.public.n_features, slide.public.image) == (0, None)


def test_what_was_grown_is_read_and_only_what_is_missing_is_grown(
    study: Study, tmp_path: Path
) -> None:
    config = tiny_config(sections=["p7s1", "p8s1", "p9s1"])
    grown = load_study(config, tmp_path, progress=False)
    paths = sorted(tmp_path.rglob("*.h5ad"))
    assert [path.stem for path in paths] == config.sections
    paths[1].unlink()
    before = [path.stat().st_mtime_ns for path in (paths[0], paths[2])]
    again = load_study(config, tmp_path, progress=False)
    assert [path.stat().st_mtime_ns for path in (paths[0], paths[2])] == before
    unkept = load_study(config)
    for name in config.sections:
        for other in (grown, again, unkept):
            assert (other.sections[name].X != study.sections[name].X).nnz == 0
            pd.testing.assert_frame_equal(other.truth[name], study.truth[name])
            np.testing.assert_array_equal(
                other.slides[name].public.coordinates, study.slides[name].public.coordinates
            )


def test_other_settings_in_the_same_folder_are_kept_apart(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"synthetic_depth": 4.0},
        {"synthetic_depth": 4.0000001},
        {"synthetic_spots": [45, 60]},
        {"features": "X_patch"},
    ]
    for _ in range(2):  # grown, then read
        studies = [
            load_study(tiny_config(sections=["p7s1"], **own), tmp_path, progress=False)
            for own in settings
        ]
        first = [own.slides["p7s1"] for own in studies]
        totals = [slide.hidden.counts.sum() for slide in first if slide.hidden is not None]
        assert totals[1] / totals[0] == pytest.approx(4, rel=0.05)
        assert len({slide.n_spots for slide in first}) == 2
        assert [slide.public.n_features > 0 for slide in first] == [False] * 4 + [True]
        assert totals[4] == totals[0]
    assert len(list(tmp_path.rglob("*.h5ad"))) == len(settings)


def test_a_drawn_section_is_described_and_keeps_no_picture(tmp_path: Path) -> None:
    config = tiny_config(features="X_patch", sections=["p7s1"])
    study = load_study(config, tmp_path, progress=False)
    section, slide = study.sections["p7s1"], study.slides["p7s1"]
    assert slide.public.encoder == "histology-v1"
    assert slide.public.image is None
    assert set(section.obsm) == {"spatial", "X_patch"}


# --- the truth ----------------------------------------------------------------------------------


def test_the_truth_is_what_counts_are_draws_of(study: Study) -> None:
    tissue = SyntheticTissue(n_spots=(45, 50))
    for name, known in study.truth.items():
        grown = tissue.sequenced(int(name[1:-2]), 1)
        assert known.columns.tolist() == list(tissue.programs.genes)
        np.testing.assert_array_equal(known.to_numpy(), grown.expression)


def test_neither_slides_nor_sections_have_a_place_for_the_truth(study: Study) -> None:
    places = {field.name for kind in (Slide, HiddenPart, PublicSlide) for field in fields(kind)}
    assert "truth" not in places
    assert TRUTH not in places
    for section in study.sections.values():
        assert not section.layers
        assert set(section.obsm) == {"spatial"}
        assert not [key for key in section.uns if "truth" in key]
    embedded, _ = study.embedded(list(study.slides)[:2], list(study.slides))
    for name, slide in embedded.items():
        assert slide.hidden is not None
        truth = study.truth[name].to_numpy()
        for array in (slide.hidden.counts.toarray(), slide.hidden.embedding, slide.hidden.types):
            assert array is not None
            assert array.shape != truth.shape or not np.allclose(array, truth)


def test_the_truth_decides_nothing_but_its_own_scores(tmp_path: Path, output: Path) -> None:
    """Replace the truth of all slides: purchases, trained agents and other scores stay."""
    config = tiny_config(
        features="X_patch",  # so that judges learn from the cohort, too
        sections=["p7s1", "p8s1", "p9s1"],
        agents=READERS,
        primary_agent="design:fitted",
        primary_against=["random"],
        judges=["gp", "ridge"],
        budgets=[0.1],
        random_budgets=[],
        training_steps=64,
    )
    study = load_study(config, output, progress=False)
    rng = np.random.default_rng(0)
    other = {
        name: pd.DataFrame(rng.normal(size=known.shape), columns=known.columns)
        for name, known in study.truth.items()
    }
    runs = [
        run_benchmark(config, tmp_path / label, progress=False, study=own)
        for label, own in (("a", study), ("b", replace(study, truth=other)))
    ]
    picks = [{e["agent"]: e["picks"] for e in episodes_of(run)} for run in runs]
    assert set(picks[0]) == set(READERS)
    assert picks[0] == picks[1]
    agents = [sorted((run.folder / "agents").rglob("*.safetensors")) for run in runs]
    assert len(agents[0]) == 3
    for one, twin in zip(*agents, strict=True):
        assert one.read_bytes() == twin.read_bytes()
    of_truth = runs[0].scores["metric"].str.endswith("_truth")
    first, second = (run.scores for run in runs)
    pd.testing.assert_frame_equal(first[~of_truth], second[~of_truth])
    assert not np.isclose(first[of_truth]["value"], second[of_truth]["value"]).any()


def test_correlations_with_the_truth_are_numpys_and_can_reach_one(
    study: Study, tmp_path: Path
) -> None:
    config = tiny_config()
    (fold,) = study_folds(config, study)
    ground = prepare_fold(config, study, fold, ["p9s1"], tmp_path)[0]
    truth, measured = ground.truth, ground.expression
    assert truth is not None
    assert truth.shape == measured.shape == (ground.slide.n_spots, 20)
    known = study.truth["p9s1"]
    for column, gene in enumerate(ground.genes.genes):
        np.testing.assert_array_equal(truth[:, column], known[gene])
    found = scores_of_truth(truth, measured, ground.genes.variable)
    per_gene = [np.corrcoef(truth[:, gene], measured[:, gene])[0, 1] for gene in range(20)]
    top = [per_gene[gene] for gene in ground.genes.variable]
    per_spot = [np.corrcoef(one, other)[0, 1] for one, other in zip(truth, measured, strict=True)]
    assert found == pytest.approx(
        {
            "pearson_per_gene_truth": np.mean(per_gene),
            "pearson_per_gene_top_truth": np.mean(top),
            "pearson_per_spot_truth": np.mean(per_spot),
        },
        rel=1e-4,
    )
    assert min(scores_of_truth(truth, truth, [0]).values()) == pytest.approx(1, abs=1e-5)
    # Who knows the truth is not right about measured counts: the rest is noise.
    assert scores(measured, truth, [0])["pearson_per_gene"] < 0.8


def test_a_truth_that_is_not_known_cannot_be_scored_against() -> None:
    message = re.escape("known of slides = ['synthetic-patients'] alone; set score = 'measured'")
    with pytest.raises(InputError, match=message):
        check_study(toy_config(score="truth"), toy_study())


# --- the evidence -------------------------------------------------------------------------------


def patient_values(results: Results, agent: str, metric: str) -> Any:
    at_budget = results.scores.query("judge == 'gp' and budget == 0.1")
    own = at_budget[(at_budget["agent"] == agent) & (at_budget["metric"] == metric)]
    return own.groupby("patient")["value"].mean().sort_index().to_numpy()


def test_contrasts_gaps_and_ranks_are_of_the_truth_and_measured_ones_stand_beside(
    results: Results,
) -> None:
    headlined, measured = "pearson_per_gene_truth", "pearson_per_gene"
    table = contrasts(results)
    own = patient_values(results, "learned:lookahead", headlined)
    rivals = {name: patient_values(results, name, headlined) for name in ("farthest", "design")}
    best = max(rivals, key=lambda name: rivals[name].mean())
    (primary,) = table[table["family"] == "primary"].to_dict("records")
    assert (primary["against"], primary["metric"]) == (best, headlined)
    assert (primary["low"], primary["high"]) == pytest.approx(t_interval(own - rivals[best]))
    assert set(table.query("family == 'prediction'")["metric"]) == {headlined}
    beside = table.query(
        "agent == 'design' and metric == @measured and judge == 'gp' and budget == 0.1"
    )
    difference = patient_values(results, "design", measured)
    difference = difference - patient_values(results, "random", measured)
    assert beside["difference"].item() == pytest.approx(difference.mean())
    assert beside["family"].item() == ""
    ranked = scoreboard(results).set_index("agent")
    for name in results.config.agents:
        mean = patient_values(results, name, headlined).mean()
        assert ranked.loc[name, "gp"] == pytest.approx(mean)
    ratios = gains(results).query("judge == 'gp' and budget == 0.1").set_index("agent")
    assert ratios.loc["design", "score"] == pytest.approx(rivals["design"].mean())


def test_the_report_says_that_it_is_the_truth_that_was_scored(
    results: Results, output: Path, tmp_path: Path
) -> None:
    assert "in Pearson r per gene with noise-free expression" in headline(results)
    shown = [name for name, _, _ in words(results)["others"]]
    assert shown == [
        "Nearest neighbours",
        "Gaussian process, r with measured counts",
        "Nearest neighbours, r with measured counts",
    ]
    run_and_report(tiny_config(), output, tmp_path / "docs")  # finished: read and reported
    for page in (output / "index.html", tmp_path / "docs" / "README.md"):
        text = page.read_text("utf-8")
        assert "with their expression free of noise" in text
        assert "judged by Gaussian process, r with measured counts" in text
    sections = pd.read_csv(tmp_path / "docs" / "tables" / "sections.csv")
    assert {"pearson_per_gene", "pearson_per_gene_truth", "reward"} == set(sections["metric"])


def test_measured_counts_are_scored_where_nothing_else_is_asked_for(
    study: Study, tmp_path: Path
) -> None:
    config = tiny_config(score="measured", budgets=[0.1], random_budgets=[], judges=["knn"],
                         primary_judge="knn", agents=["random", "design"], primary_agent="design",
                         primary_against=["random"])  # fmt: skip
    results = run_benchmark(config, tmp_path, progress=False, study=study)
    assert set(contrasts(results)["metric"]) == {"pearson_per_gene", "reward"}
    assert "pearson_per_gene_truth" in set(results.scores["metric"])
    assert "noise-free" not in headline(results)


@pytest.mark.parametrize("name", ["synthetic-patients", "synthetic-patients-deep"])
def test_the_two_configurations_differ_in_depth_alone(name: str) -> None:
    config, calibrated = load_config(name), load_config("synthetic-patients")
    assert (config.slides, config.score, config.features) == ([COHORT], "truth", "")
    assert len(slides_to_test(config)) == 60
    differs = {
        field
        for field in BenchmarkConfig.model_fields
        if getattr(config, field) != getattr(calibrated, field)
    }
    assert differs <= {"synthetic_depth", "title"}
    assert (config.synthetic_depth > 1) == name.endswith("deep")
