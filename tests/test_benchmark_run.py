"""The runner: equal money, nothing learned from the test part, the same results after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from conftest import toy_reference, toy_slide
from safetensors.numpy import load_file

from benchmarks import BenchmarkConfig, Results, load_config, packaged_configs, run_benchmark
from benchmarks.buying import trained_agent
from benchmarks.cohort import Study, load_study
from benchmarks.folds import prepare_fold, train_fold_agent
from benchmarks.judging import make_judge, predict_slide, scores
from benchmarks.protocols import held_out_spots, patient_folds
from benchmarks.results import read_episodes
from scr2st_env import Slide
from scr2st_env.errors import InputError

AGENTS = ["random", "farthest", "design", "oracle"]


def toy_study(n_slides: int = 4) -> Study:
    slides = {
        f"s{index}": toy_slide(f"s{index}", 7 + index % 2, index) for index in range(n_slides)
    }
    return Study(slides, reference=toy_reference())


def counted(types: Any, names: list[str], seed: int) -> anndata.AnnData:
    """Counts of mixtures of three cell types, which express 60 genes differently."""
    programs = np.random.default_rng(0).gamma(1.0, size=(3, 60))
    return anndata.AnnData(
        np.random.default_rng(seed).poisson(5 * types @ programs).astype(np.float32),
        obs=pd.DataFrame(index=names),
        var=pd.DataFrame(index=[f"g{index}" for index in range(60)]),
    )


def toy_section(name: str, side: int, seed: int) -> anndata.AnnData:
    """A toy slide as a user keeps it, not embedded yet."""
    slide = toy_slide(name, side, seed)
    assert slide.hidden is not None
    adata = counted(np.asarray(slide.hidden.types), slide.public.spot_names.tolist(), seed)
    adata.obsm["spatial"] = np.array(slide.public.coordinates)
    adata.obsm["X_patch"] = np.array(slide.public.features)
    return adata


def toy_atlas() -> anndata.AnnData:
    """120 cells of three types."""
    labels = np.random.default_rng(1).integers(3, size=120)
    adata = counted(np.eye(3)[labels], [f"c{index}" for index in range(120)], seed=99)
    adata.obs["cell_type"] = np.array(["a", "b", "c"])[labels]
    return adata


def atlas_study(n_slides: int = 4) -> Study:
    """Sections that are embedded fold by fold, with a reference's counts."""
    sections = {
        f"s{index}": toy_section(f"s{index}", 7 + index % 2, index) for index in range(n_slides)
    }
    return study_of(sections)


def study_of(sections: dict[str, anndata.AnnData]) -> Study:
    slides = {
        name: Slide.from_anndata(
            adata, name=name, patient=f"patient of {name}", embedding=None, types=None
        )
        for name, adata in sections.items()
    }
    return Study(slides, sections, toy_atlas(), n_states=10)


def toy_config(**changes: Any) -> BenchmarkConfig:
    values: dict[str, Any] = {
        "slides": ["toy"],
        "agents": AGENTS,
        "budgets": [0.1, 0.2],
        "random_budgets": [0.4],
        "seeds": 2,
        "judges": ["gp", "ridge"],
        "n_genes": 20,
        "n_top_genes": 5,
        "jobs": 1,
    }
    return BenchmarkConfig(**(values | changes))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("toy")
    return run_benchmark(toy_config(), folder, progress=False, study=toy_study())


def episodes_of(results: Results) -> list[dict[str, Any]]:
    return read_episodes([results.folder / "episodes.jsonl"])


def test_every_agent_plays_every_slide_budget_and_seed(results: Results) -> None:
    played = pd.DataFrame(episodes_of(results))[["slide", "agent", "budget", "seed"]]
    assert len(played) == 4 * (len(AGENTS) * 2 + 1) * 2
    assert not played.duplicated().any()
    assert set(played.query("budget == 0.4")["agent"]) == {"random"}


def test_all_agents_spend_the_same_share_of_all_spots(results: Results) -> None:
    sizes = {name: slide.n_spots for name, slide in toy_study().slides.items()}
    for episode in episodes_of(results):
        assert episode["spent"] == round(episode["budget"] * sizes[episode["slide"]])
        assert len(set(episode["picks"])) == episode["spent"]


def test_no_test_spot_is_ever_bought(results: Results) -> None:
    slides = toy_study().slides
    for episode in episodes_of(results):
        part = held_out_spots(slides[episode["slide"]].public, 0.25, episode["seed"])
        assert not set(part.tolist()) & set(episode["picks"])


def test_every_score_is_finite_and_both_boards_are_there(results: Results) -> None:
    assert np.isfinite(results.scores["value"]).all()
    found = results.scores.groupby("judge")["metric"].agg(set)
    assert {"reward", "state_coverage", "type_entropy", "mean_distance"} <= found["environment"]
    assert {"pearson_per_gene", "pearson_per_gene_top", "mse"} <= found["gp"] & found["ridge"]


def test_the_parts_of_the_reward_add_up(results: Results) -> None:
    own = results.scores.query("judge == 'environment'")
    keys = ["slide", "agent", "budget", "seed"]
    total = own.query("metric == 'reward'").set_index(keys)["value"]
    terms = own[own["metric"].str.startswith("reward.")].groupby(keys)["value"].sum()
    pd.testing.assert_series_equal(total.sort_index(), terms.sort_index(), check_names=False)


def test_results_are_read_back_as_they_were(results: Results) -> None:
    again = Results.load(results.folder)
    pd.testing.assert_frame_equal(again.scores, results.scores)
    assert again.config == results.config
    assert pd.read_csv(results.folder / "results.csv").shape == results.scores.shape
    assert results.info["packages"]["numpy"] == np.__version__


def test_two_processes_give_the_results_of_one(results: Results, tmp_path: Path) -> None:
    parallel = run_benchmark(toy_config(jobs=2), tmp_path, progress=False, study=toy_study())
    pd.testing.assert_frame_equal(parallel.scores, results.scores)


def test_a_lost_unit_is_played_again_to_the_same_scores(results: Results, tmp_path: Path) -> None:
    study = toy_study()
    run_benchmark(toy_config(), tmp_path, progress=False, study=study)
    lost = sorted((tmp_path / "units").glob("*.jsonl"))[2]
    kept = min((tmp_path / "units").glob("*.jsonl"))
    lost.unlink()
    (tmp_path / "units" / ".half-written.jsonl").write_text('{"protocol": ')
    before = kept.stat().st_mtime_ns
    again = run_benchmark(toy_config(), tmp_path, progress=False, study=study)
    pd.testing.assert_frame_equal(again.scores, results.scores)
    assert kept.stat().st_mtime_ns == before
    assert again.info["units_in_this_run"] == 1


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_benchmark_run import toy_config, toy_study
from benchmarks import run_benchmark
if __name__ == "__main__":
    run_benchmark(toy_config(), sys.argv[2], progress=False, study=toy_study())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_a_killed_run_continues_to_the_same_results(results: Results, tmp_path: Path) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(Path(__file__).parent), str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    deadline = time.monotonic() + 300
    while len(list((folder / "units").glob("[!.]*.jsonl"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list((folder / "units").glob("[!.]*.jsonl")))
    assert finished >= 3
    again = run_benchmark(toy_config(), folder, progress=False, study=toy_study())
    pd.testing.assert_frame_equal(again.scores, results.scores)
    assert again.info["units_in_this_run"] == 12 - finished


def test_another_configuration_in_the_same_folder_is_refused(results: Results) -> None:
    with pytest.raises(InputError, match=r"another configuration \(seeds differ\); name another"):
        run_benchmark(toy_config(seeds=3), results.folder, progress=False, study=toy_study())


def rewritten(section: anndata.AnnData, spots: Any, seed: int = 5) -> anndata.AnnData:
    """The same section, had other expression been found at these spots."""
    changed, rng = section.copy(), np.random.default_rng(seed)
    changed.X = np.array(section.X)
    changed.X[spots] = rng.permuted(changed.X[spots], axis=1) + rng.poisson(3, (len(spots), 60))
    return changed


def with_other_expression(study: Study, name: str, spots: Any, seed: int = 5) -> Study:
    """The same study, had other expression been found at these spots of one slide."""
    if study.sections:
        return study_of(study.sections | {name: rewritten(study.sections[name], spots, seed)})
    slide, rng = study.slides[name], np.random.default_rng(seed)
    hidden = slide.hidden
    assert hidden is not None
    assert hidden.embedding is not None
    assert hidden.types is not None
    counts, embedding = hidden.counts.toarray(), hidden.embedding.copy()
    types = hidden.types.copy()
    counts[spots] = rng.permuted(counts[spots], axis=1)
    embedding[spots] += rng.normal(size=embedding[spots].shape)
    types[spots] = rng.dirichlet(np.ones(types.shape[1]), size=len(spots))
    changed = replace(hidden, counts=type(hidden.counts)(counts), embedding=embedding, types=types)
    return replace(study, slides=study.slides | {name: Slide(slide.public, changed)})


STUDIES = [
    pytest.param("new-slide", toy_study, id="new-slide, embedded"),
    pytest.param("new-slide", atlas_study, id="new-slide, atlas"),
    pytest.param("within-slide", atlas_study, id="within-slide, atlas"),
]
FOLLOWER = "test_benchmark_run:Follower"
READERS = [
    "random", "design:fitted", "learned:reward", "learned:prediction", "learned:lookahead",
    "oracle:denoised", "oracle", FOLLOWER,
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "make_study"), STUDIES)
def test_expression_of_test_spots_decides_nothing_that_agents_buy(
    tmp_path: Path, protocol: Any, make_study: Any
) -> None:
    """Scramble the hidden rows of the fold's test part: purchases stay, scores do not."""
    study = make_study(2)
    part = held_out_spots(study.slides["s0"].public, 0.25)
    changed = with_other_expression(study, "s0", part)
    config = toy_config(
        protocol=protocol,
        agents=READERS,
        primary_agent="design:fitted",
        test_slides=["s0"],
        judges=["gp"],
        budgets=[0.1],
        random_budgets=[],
        seeds=1,
        round_size=2,
        feedback=True,
        training_steps=64,
    )
    runs = [
        run_benchmark(config, tmp_path / label, progress=False, study=own)
        for label, own in (("a", study), ("b", changed))
    ]
    picks = [{e["agent"]: e["picks"] for e in episodes_of(run)} for run in runs]
    assert set(picks[0]) == set(READERS)
    assert picks[0] == picks[1]
    judged = [run.scores.query("judge == 'gp'")["value"].to_numpy() for run in runs]
    assert not np.isclose(judged[0], judged[1]).any()


@pytest.mark.parametrize("agent", ["oracle", FOLLOWER])
def test_expression_of_spots_for_sale_does_decide_what_its_readers_buy(
    tmp_path: Path, agent: str
) -> None:
    """Else the test above could not fail."""
    study = toy_study(2)
    sold = np.setdiff1d(np.arange(49), held_out_spots(study.slides["s0"].public, 0.25))
    config = toy_config(
        agents=["random", "design", agent],
        test_slides=["s0"],
        judges=["gp"],
        budgets=[0.1],
        random_budgets=[],
        seeds=1,
        feedback=True,
    )
    picks = [
        next(e["picks"] for e in episodes_of(run) if e["agent"] == agent)
        for run in (
            run_benchmark(config, tmp_path / label, progress=False, study=own)
            for label, own in (("a", study), ("b", with_other_expression(study, "s0", sold)))
        )
    ]
    assert picks[0] != picks[1]


class Follower:
    """Buys where the last embedding that came back points to: it reads its feedback."""

    def predict(
        self, observation: Any, state: Any = None, action_masks: Any = None, **_: Any
    ) -> tuple[int, Any]:
        for_sale = np.flatnonzero(action_masks)
        seen = int(1000 * abs(np.asarray(observation["measured"], np.float64)).sum())
        return int(for_sale[seen % len(for_sale)]), state


@pytest.mark.parametrize(("protocol", "make_study"), STUDIES)
def test_a_fold_takes_nothing_from_the_expression_of_its_test_slides(
    tmp_path: Path, protocol: Any, make_study: Any
) -> None:
    study = make_study()
    fold = patient_folds(study.patients)[0]
    (name,) = fold.test
    everything = np.arange(study.slides[name].n_spots)
    changed = with_other_expression(study, name, everything)
    config = toy_config(protocol=protocol)
    (ground,) = prepare_fold(config, study, fold, fold.test, tmp_path)
    (other,) = prepare_fold(config, changed, fold, fold.test, tmp_path)
    assert ground.genes == other.genes
    assert ground.kernel == other.kernel
    assert ground.shown_gene == other.shown_gene
    assert ground.test_part(1) == other.test_part(1)
    np.testing.assert_array_equal(ground.reference.states, other.reference.states)
    np.testing.assert_array_equal(ground.reference.embedding, other.reference.embedding)
    assert bool(ground.cohorts) == (protocol == "new-slide")
    for judge, cohort in ground.cohorts.items():
        np.testing.assert_array_equal(cohort.expression, other.cohorts[judge].expression)
        np.testing.assert_array_equal(cohort.cell_types, other.cohorts[judge].cell_types)
    assert not np.array_equal(ground.expression, other.expression)


def test_what_embeds_a_fold_is_the_same_to_the_bit_whatever_the_test_slide_holds() -> None:
    study = atlas_study()
    fold = patient_folds(study.patients)[0]
    (name,) = fold.test
    section = study.sections[name]
    part = held_out_spots(study.slides[name].public, 0.25)
    changed = with_other_expression(study, name, part)
    names = [*fold.training, name]
    (slides, reference), (others, other_reference) = (
        own.embedded(fold.training, names) for own in (study, changed)
    )
    np.testing.assert_array_equal(reference.embedding, other_reference.embedding)
    kept = {training: np.arange(slides[training].n_spots) for training in fold.training}
    kept[name] = np.setdiff1d(np.arange(section.n_obs), part)
    for own, spots in kept.items():
        first, second = slides[own].hidden, others[own].hidden
        assert first is not None
        assert second is not None
        np.testing.assert_array_equal(first.embedding[spots], second.embedding[spots])
        np.testing.assert_array_equal(first.types[spots], second.types[spots])
    first, second = slides[name].hidden, others[name].hidden
    assert not np.array_equal(first.embedding[part], second.embedding[part])


def test_judges_never_see_the_expression_of_spots_that_were_not_bought(
    results: Results, tmp_path: Path
) -> None:
    """Scores of the measured world equal scores against a truth that the judge could not read."""
    episode = next(e for e in episodes_of(results) if e["agent"] == "random")
    study = toy_study()
    fold = next(f for f in patient_folds(study.patients) if f.test == (episode["slide"],))
    (ground,) = prepare_fold(toy_config(), study, fold, fold.test, tmp_path)
    blinded = np.full_like(ground.expression, np.nan)
    blinded[episode["picks"]] = ground.expression[episode["picks"]]
    judge = make_judge("gp", ground.kernel, 0)
    predicted = predict_slide(judge, ground.slide, blinded, episode["picks"], ground.cohorts["gp"])
    part = ground.test_part(episode["seed"])
    expected = scores(ground.expression[part], predicted[part], ground.genes.variable)
    assert episode["scores"]["gp"] == pytest.approx(expected)


def test_learned_agents_are_trained_on_the_training_slides_alone(tmp_path: Path) -> None:
    study = toy_study(2)
    fold = patient_folds(study.patients)[0]
    without = replace(study, slides={name: study.slides[name] for name in fold.training})
    config = toy_config(
        agents=["random", "learned:reward"], primary_agent="learned:reward", training_steps=64
    )
    for name, known in (("with", study), ("without", without)):
        train_fold_agent(config, known, fold, "learned:reward", tmp_path / name)
    first, second = (
        load_file(trained_agent("learned:reward", tmp_path / name)) for name in ("with", "without")
    )
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        np.testing.assert_array_equal(tensor, second[key])


def test_a_finished_run_is_read_and_not_run_again(results: Results) -> None:
    stamp = (results.folder / "run.json").stat().st_mtime_ns
    again = run_benchmark(toy_config(jobs=2), results.folder, progress=False, study=toy_study())
    assert again.info == results.info
    assert (results.folder / "run.json").stat().st_mtime_ns == stamp


def test_the_oracle_is_above_random_and_random_needs_more_budget(results: Results) -> None:
    own = results.scores.query("judge == 'gp' and metric == 'pearson_per_gene'")
    mean = own.groupby(["agent", "budget"])["value"].mean()
    assert mean["oracle", 0.1] > mean["random", 0.1]
    assert mean["random", 0.4] > mean["random", 0.1]


@pytest.mark.parametrize("name", packaged_configs())
def test_packaged_configurations_are_valid(name: str) -> None:
    config = load_config(name)
    assert config.primary_agent in config.agents
    assert json.loads(config.model_dump_json()) == config.model_dump()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("budgets = [0.9]\nprimary_budget = 0.9", "cannot be spent"),
        ("agents = ['design']", "must hold 'random'"),
        ("budget = 0.1", "budget: extra inputs"),
        ("seeds = '3'", "seeds: input should be a valid integer"),
        ("primary_budget = 0.07", "is not among budgets"),
        ('primary_against = ["somebody"]', "primary_against 'somebody' must be one of agents"),
        ("protocol = 'other'", "protocol: input should be"),
        ("seeds = ", "is not TOML"),
    ],
)
def test_a_wrong_configuration_is_one_line_that_names_the_field(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(line)
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_field_of_the_configuration_is_described() -> None:
    for name, field in BenchmarkConfig.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", ";")), name


def test_an_unknown_section_and_an_unknown_judge_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="paths need the path of a reference"):
        load_study(toy_config(slides=["a.h5ad"]))
    with pytest.raises(InputError, match="judge 'oak' is none of gp"):
        run_benchmark(
            toy_config(judges=["oak"], primary_judge="oak"), tmp_path, False, study=toy_study(2)
        )
