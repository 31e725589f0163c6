"""A benchmark refuses what would waste hours, leak a patient, or mix two runs."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from test_benchmark_run import toy_atlas, toy_config, toy_section, toy_study

from agents import PredictionOracle, RandomAgent, SpotAgent
from benchmarks import BenchmarkConfig, run_benchmark
from benchmarks.buying import LEARNED, checkpoint_slides, train_agent
from benchmarks.checks import check_study, study_folds
from benchmarks.cohort import Study, load_study
from benchmarks.inputs import claim_inputs
from benchmarks.names import file_stem
from benchmarks.protocols import patient_folds
from benchmarks.units import Unit
from scr2st_env import Slide
from scr2st_env.errors import InputError


class Clairvoyant(PredictionOracle):
    """An oracle of somebody else."""


class Newcomer(RandomAgent):
    """An agent of somebody else."""


# --- what is wrong is found before anything is trained ------------------------------------------


def small_spots(study: Study) -> Study:
    return replace(study, slides=study.slides | {"s9": toy_slide("s9", side=5)})


def failed_spots(study: Study) -> Study:
    slide = toy_slide("s9", side=10)
    public = replace(slide.public, measurable=np.arange(100) < 45)
    return replace(study, slides=study.slides | {"s9": replace(slide, public=public)})


def same(study: Study) -> Study:
    return study


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        (small_spots, {}, "slide 's9': test_fraction 0.25 leaves 6 spots to score"),
        (failed_spots, {}, "slide 's9': budget 0.4 asks for 40 spots but only 34 are for sale"),
        (same, {"budgets": [0.1, 0.005]}, "budget 0.005 is less than one of 49 spots"),
        (
            same,
            {"agents": ["random", "design", "learned:reward"], "training_budgets": [0.001]},
            "training_budgets 0.001 is less than one",
        ),
        (
            same,
            {"agents": ["random", "design", "learned:prediction"], "training_budget": 0.001},
            "training_budget 0.001 is less than one",
        ),
        (same, {"protocol": "within-slide"}, "takes its gene list from the single-cell reference"),
        (same, {"agents": ["random", "design", "learned:fun"]}, "there is no agent 'learned:fun'"),
        (same, {"agents": ["random", "design", "nope"]}, "there is no agent 'nope'"),
        (same, {"agents": ["random", "design", "learned:lookahead"]}, "set feedback = true"),
        (same, {"agents": ["random", "design", "posterior-sampling"]}, "set feedback = true"),
        (
            same,
            {"agents": ["random", "reward-oracle"], "primary_agent": "reward-oracle"},
            "primary_agent 'reward-oracle' is an oracle",
        ),
        (same, {"primary_agent": "oracle"}, "primary_agent 'oracle' is an oracle"),
        (same, {"primary_against": ["random", "oracle"]}, "primary_against 'oracle' is an oracle"),
        (
            same,
            {
                "agents": ["random", "test_benchmark_checks:Clairvoyant"],
                "primary_agent": "test_benchmark_checks:Clairvoyant",
            },
            "is an oracle, an upper bound",
        ),
    ],
)
def test_a_study_that_cannot_be_finished_is_refused_before_it_begins(
    tmp_path: Path, change: Any, fields: dict[str, Any], message: str
) -> None:
    folder = tmp_path / "out"
    with pytest.raises(InputError, match=re.escape(message)):
        run_benchmark(toy_config(**fields), folder, progress=False, study=change(toy_study()))
    assert not folder.exists()


def test_more_states_than_cells_are_refused() -> None:
    study = replace(toy_study(), reference=None, atlas=toy_atlas(), n_states=121)
    with pytest.raises(InputError, match="n_states 121 is more than the reference's 120 cells"):
        check_study(toy_config(), study)
    check_study(toy_config(), replace(study, n_states=120))


def test_an_oracle_of_any_name_is_known_in_the_results(tmp_path: Path) -> None:
    spec = "test_benchmark_checks:Clairvoyant"
    config = toy_config(
        agents=["random", "design", spec], seeds=1, judges=["ridge"], primary_judge="ridge"
    )
    results = run_benchmark(config, tmp_path, progress=False, study=toy_study(2))
    assert results.oracles == {spec}


# --- patients -----------------------------------------------------------------------------------


def write_study(folder: Path, **patients: Any) -> BenchmarkConfig:
    for index, (name, patient) in enumerate(patients.items()):
        section = toy_section(name, 8, index)
        if patient is not None:
            section.obs["donor"] = patient
        section.write_h5ad(folder / f"{name}.h5ad")
    toy_atlas().write_h5ad(folder / "atlas.h5ad")
    paths = [str(folder / f"{name}.h5ad") for name in patients]
    return toy_config(
        slides=paths, reference=str(folder / "atlas.h5ad"), patient_key="donor", n_states=10
    )


def test_patients_are_read_from_the_column_that_is_named(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, s1="p1", s2="p1", s3=7))
    assert study.patients == {"s1": "p1", "s2": "p1", "s3": "7"}
    assert [fold.test for fold in patient_folds(study.patients)] == [("s1", "s2"), ("s3",)]


@pytest.mark.parametrize(
    "patient", [None, [*["p1"] * 63, "p2"], [*["p1"] * 63, np.nan], "", [np.nan] * 64]
)
def test_a_slide_of_no_single_patient_is_refused(tmp_path: Path, patient: Any) -> None:
    config = write_study(tmp_path, s1="p1", s2=patient)
    with pytest.raises(InputError, match=r"s2.h5ad.*obs\['donor'\].*patient_key"):
        load_study(config)


def of_patients(names: str) -> list[Slide]:
    """Slides in order, each of the patient that a letter names."""
    slides = [toy_slide(f"{name}{number}", 4, number) for number, name in enumerate(names)]
    publics = [replace(slide.public, patient=slide.name[0]) for slide in slides]
    return [replace(slide, public=own) for slide, own in zip(slides, publics, strict=True)]


@pytest.mark.parametrize(
    ("patients", "kept"), [("DABCA", "A"), ("ABCDEFG", "AD"), ("ABCDEFGHIKLM", "AEI")]
)
def test_a_quarter_of_the_patients_is_kept_from_learning_for_the_reward(
    patients: str, kept: str
) -> None:
    slides = of_patients(patients)
    learned_from, judged_on = checkpoint_slides("reward", slides)
    assert {slide.patient for slide in judged_on} == set(kept)
    assert {slide.patient for slide in learned_from} == set(patients) - set(kept)
    assert len(learned_from) + len(judged_on) == len(slides)
    assert checkpoint_slides("reward", slides[::-1])[1] == judged_on[::-1]


@pytest.mark.parametrize(("objective", "patients"), [("reward", "AABBC"), ("prediction", "ABCDE")])
def test_few_patients_and_prediction_learn_from_all(objective: str, patients: str) -> None:
    slides = of_patients(patients)
    learned_from, judged_on = checkpoint_slides(objective, slides)
    assert learned_from == slides
    assert [slide.patient for slide in judged_on] == sorted(set(patients))


def test_policies_are_trained_at_the_budgets_they_are_used_at(tmp_path: Path) -> None:
    slides = of_patients("ABCD")
    config = toy_config(training_steps=8, budgets=[0.1, 0.2], training_budget=0.15)
    for objective, budget, patients in (("reward", (0.1, 0.2), "BCDA"), ("prediction", 0.15, "")):
        path = tmp_path / f"{objective}.safetensors"
        train_agent(LEARNED + objective, config, slides, toy_reference(), path)
        record = SpotAgent.load(path).record
        assert record is not None
        assert record.budget == budget
        assert "".join(record.patients) == (patients or "ABCD")
        assert len(record.slides) == (3 if objective == "reward" else 4)
    other = toy_config(training_budgets=[0.3])
    assert (other.learned_at("reward"), other.learned_at("prediction")) == ([0.3], [0.1])


@pytest.fixture(scope="module")
def saved_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on the slides s1 and s2."""
    study, path = toy_study(), tmp_path_factory.mktemp("saved") / "mine.safetensors"
    slides = [study.slides["s1"], study.slides["s2"]]
    assert study.reference is not None
    config = toy_config(training_steps=64)
    train_agent("learned:reward", config, slides, study.reference, path)
    return path


def test_a_saved_agent_is_not_tested_on_what_it_was_trained_on(saved_agent: Path) -> None:
    config = toy_config(agents=["random", "design", str(saved_agent)])
    with pytest.raises(InputError, match=r"was trained on slide 's1', which is tested"):
        check_study(config, toy_study())
    check_study(config.model_copy(update={"test_slides": ["s0", "s3"]}), toy_study())


def test_nor_on_another_slide_of_the_same_patient(saved_agent: Path) -> None:
    study = toy_study()
    public = replace(study.slides["s0"].public, patient=study.patients["s1"])
    sisters = replace(
        study, slides=study.slides | {"s0": replace(study.slides["s0"], public=public)}
    )
    config = toy_config(agents=["random", "design", str(saved_agent)], test_slides=["s0"])
    with pytest.raises(InputError, match="or on its patient"):
        check_study(config, sisters)
    check_study(config, study)


def test_the_embedded_tissue_is_tested_on_its_test_patients_alone() -> None:
    config = BenchmarkConfig(test_slides=["p1s1"])
    with pytest.raises(InputError, match="'p1s1' leaves the patients that the embedded tissue"):
        study_folds(config, load_study(config))
    config = BenchmarkConfig(sections=["p1s1", "p2s1"])
    with pytest.raises(InputError, match="sections leaves the patients"):
        study_folds(config, load_study(config))
    (fold,) = study_folds(config := BenchmarkConfig(), load_study(config))
    assert fold.test == ("p5s1", "p5s2", "p6s1")


# --- files --------------------------------------------------------------------------------------


def test_names_that_look_alike_are_kept_apart_and_stay_in_their_folder(tmp_path: Path) -> None:
    units = [Unit("f", "s 1", 0.1), Unit("f", "s_1", 0.1), Unit("f", "s_1", 0.1 + 1e-9)]
    units += [Unit("f-s", "1", 0.1), Unit("f", "s-1", 0.1), Unit("../../f", "s", 0.1)]
    paths = [unit.path(tmp_path) for unit in units]
    assert len(set(paths)) == len(units)
    assert {path.resolve().parent for path in paths} == {tmp_path / "units"}
    assert len(file_stem("x" * 1000)) < 100


def test_a_patient_called_like_a_path_writes_into_the_output_folder_alone(tmp_path: Path) -> None:
    study = toy_study(2)
    public = replace(study.slides["s1"].public, patient="../../evil")
    evil = replace(study, slides=study.slides | {"s1": replace(study.slides["s1"], public=public)})
    config = toy_config(
        agents=["random", "learned:reward"],
        primary_agent="learned:reward",
        judges=["ridge"],
        primary_judge="ridge",
        seeds=1,
        training_steps=32,
    )
    run_benchmark(config, tmp_path / "a" / "out", progress=False, study=evil)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert len(list((tmp_path / "a" / "out" / "agents").iterdir())) == 2


def test_a_unit_that_holds_another_slides_episodes_is_noticed(tmp_path: Path) -> None:
    config = toy_config(
        agents=["random", "design"], seeds=1, judges=["ridge"], primary_judge="ridge"
    )
    study = toy_study(2)
    results = run_benchmark(config, tmp_path, progress=False, study=study)
    fold = results.scores["fold"].unique()
    wrong, right = (
        Unit(name, slide, 0.1).path(tmp_path)
        for name, slide in zip(fold, ("s0", "s1"), strict=True)
    )
    wrong.write_bytes(right.read_bytes())
    (tmp_path / "run.json").unlink()
    with pytest.raises(InputError, match=r"holds episodes of slide 's1' at 0\.1; remove it"):
        run_benchmark(config, tmp_path, progress=False, study=study)


def test_a_run_goes_on_only_where_its_inputs_are_the_same(tmp_path: Path) -> None:
    config = write_study(tmp_path, s1="p1", s2="p2")
    folder = tmp_path / "out"
    claim_inputs(config, folder)
    claim_inputs(config, folder)
    changed = anndata.read_h5ad(config.slides[0])
    changed.obs["note"] = "x"
    changed.write_h5ad(config.slides[0])
    with pytest.raises(InputError, match=r"changed: .*s1.h5ad; name another output folder"):
        claim_inputs(config, folder)


def test_a_folder_that_does_not_say_its_inputs_is_not_continued(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "u.jsonl").write_text("{}")
    with pytest.raises(InputError, match="does not say what it was computed from"):
        claim_inputs(toy_config(), tmp_path)


def test_a_changed_agent_or_reference_is_noticed(tmp_path: Path) -> None:
    for name in ("mine.safetensors", "atlas.h5ad"):
        path = tmp_path / name
        path.write_bytes(b"one")
        fields = {"agents": ["random", "design", str(path)]} if "mine" in name else {}
        config = toy_config(**fields, reference="" if fields else str(path))
        claim_inputs(config, tmp_path / name.split(".")[0])
        path.write_bytes(b"two")
        with pytest.raises(InputError, match=name):
            claim_inputs(config, tmp_path / name.split(".")[0])
