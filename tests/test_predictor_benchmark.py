"""The comparison of predictors: its figures against brute force, its page, its command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from conftest import toy_reference, toy_slide
from scipy import stats
from test_benchmark_run import toy_config, toy_study

from benchmarks import Results, run_benchmark
from benchmarks.cohort import Study
from benchmarks.contrasts import PRIMARY
from benchmarks.predictors import __main__ as command
from benchmarks.predictors.page import write_predictors
from benchmarks.predictors.parts import ABLATED, OWN, PEERS, Part, parts, rival
from benchmarks.predictors.table import comparison, losses, rows_for_readers, section_rows
from benchmarks.statistics import holm
from benchmarks.synthetic_patients import patient_slides, slides_to_test
from scr2st_env.errors import InputError

JUDGES = ["mean", "ridge", "gp:own-kernel", "scr2net"]


def small_config(**changes: Any) -> Any:
    alone = {"agents": ["random"], "primary_agent": "random", "random_budgets": []}
    judged = {"judges": JUDGES, "primary_judge": OWN, "budgets": [0.1, 0.3], "seeds": 1}
    return toy_config(**{**alone, **judged, **changes})


def seven_slides() -> Study:
    slides = {f"s{index}": toy_slide(f"s{index}", 7, index) for index in range(7)}
    return Study(slides, reference=toy_reference())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("predictors")
    return run_benchmark(small_config(), folder, progress=False, study=seven_slides())


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("few")
    return run_benchmark(small_config(), folder, progress=False, study=toy_study(3))


def test_differences_are_paired_over_patients(results: Results) -> None:
    table = comparison(results).set_index(["judge", "budget"])
    scores = results.scores.query("metric == 'pearson_per_gene'")
    for budget in (0.1, 0.3):
        means = {
            judge: np.array([own["value"].mean() for _, own in rows.groupby("patient")])
            for judge, rows in scores[scores["budget"] == budget].groupby("judge")
        }
        for judge in JUDGES:
            row = table.loc[(judge, budget)]
            assert row["r"] == pytest.approx(means[judge].mean())
            if judge == OWN:
                continue
            difference = means[OWN] - means[judge]
            expected = stats.ttest_1samp(difference, 0.0)
            interval = expected.confidence_interval(0.95)
            assert row["difference"] == pytest.approx(difference.mean())
            assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
            assert row["ahead"] == (difference > 0).sum()
            assert row["sections"] == 7


def test_one_contrast_is_named_beforehand_and_holm_covers_the_rest(results: Results) -> None:
    table = comparison(results)
    primary = table[table["family"] == PRIMARY]
    assert primary[["judge", "budget"]].to_numpy().tolist() == [["gp:own-kernel", 0.1]]
    others = table[(table["judge"] != OWN) & (table["family"] != PRIMARY)]
    assert len(others) == 5
    np.testing.assert_allclose(others["p_holm"], holm(others["p"]))


def test_losses_are_said_like_wins(results: Results) -> None:
    table = comparison(results)
    assert "mean" not in " ".join(losses(table)).replace("in the mean", "").lower()
    ahead = table.assign(difference=table["difference"].where(table["judge"] != "ridge", -0.01))
    for said in losses(ahead):
        assert "Ridge regression (+0.0100)" in said
    header, rows = rows_for_readers(table)
    assert {len(row) for row in rows} == {len(header)}
    assert [row[0] for row in rows][-1] == "**SCR2Net**"


def test_three_patients_get_sections_and_no_intervals(few: Results) -> None:
    header, rows = rows_for_readers(comparison(few))
    assert "95 % interval" not in header
    assert {len(row) for row in rows} == {len(header)}
    header, rows = section_rows(few, 0.1)
    assert header == ["Predictor", "s0", "s1", "s2"]
    scores = few.scores.query("metric == 'pearson_per_gene' and budget == 0.1")
    wide = scores.pivot_table(index="judge", columns="slide", values="value").loc[JUDGES]
    for column, slide in enumerate(wide.columns, start=1):
        cells = [row[column] for row in rows]
        best = [cell.startswith("**") for cell in cells]
        assert best.index(True) == wide[slide].to_numpy().argmax()
        assert sum(best) == 1
        np.testing.assert_allclose([float(cell.strip("*")) for cell in cells], wide[slide],
                                   atol=6e-5)  # fmt: skip


def test_the_page_has_both_kinds_of_part_and_their_tables(
    results: Results, few: Results, tmp_path: Path
) -> None:
    page = write_predictors({"many": results, "few": few}, tmp_path, "the command")
    text = page.read_text("utf-8")
    assert "Written by `the command`" in text
    assert text.count("Level with or above SCR2Net in the mean at 10%") == 2
    assert "Section by section at 10 %" in text.split("## ")[2]
    assert "Section by section" not in text.split("## ")[1]
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    table = pd.read_csv(tmp_path / "tables" / "many.csv")
    assert table["r"].to_numpy() == pytest.approx(comparison(results)["r"].to_numpy())
    assert len(pd.read_csv(tmp_path / "tables" / "few-sections.csv")) == 3 * 2 * len(JUDGES)
    assert (tmp_path / "tables" / "few.json").exists()


def test_all_parts_are_there_with_their_peers_and_ablations() -> None:
    known = parts(2, 1, 1)
    assert len(known) == 8
    assert known["her2st-new-slide"].config.judges == PEERS
    assert known["her2st-ablations"].config.judges == [OWN, *ABLATED]
    assert len(ABLATED) == 8
    for name, part in known.items():
        assert (rival(part.config) is None) == name.endswith("ablations")
        assert not part.config.compares_agents
        if part.config.protocol != "new-slide":
            assert not any(judge.endswith("no-cohort") for judge in part.config.judges)


def test_synthetic_parts_share_their_patients() -> None:
    known = [part.config for name, part in parts(2, 1, 1).items() if name.startswith("synthetic")]
    assert len(known) == 4
    for config in known:
        assert config.slides == ["synthetic-patients"]
        assert (len(patient_slides(config)), len(slides_to_test(config))) == (26, 20)
    grown = {(c.synthetic_depth, *c.synthetic_spots, c.features, c.encoder) for c in known}
    assert len(grown) == 1


@dataclass(frozen=True)
class ToyPart(Part):
    def study(self, folder: Path) -> Study:  # noqa: ARG002
        return toy_study(3)


def test_the_command_runs_its_parts_prints_them_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal folds names
    config = small_config(judges=["mean", "gp", "scr2net"])
    known = {name: ToyPart(name, config) for name in ("one", "two")}
    monkeypatch.setattr("benchmarks.predictors.parts.parts", lambda *_: known)
    command.main(output=tmp_path / "out", markdown=tmp_path / "docs", only=["two"], jobs=1)
    said = capsys.readouterr().out
    assert "Gaussian process" in said
    assert "Level with or above SCR2Net" in said
    text = (tmp_path / "docs" / "README.md").read_text("utf-8")
    assert "python -m benchmarks.predictors --draws 3 --synthetic-draws 1 --only two" in text
    assert not (tmp_path / "out" / "one").exists()
    stamp = (tmp_path / "out" / "two" / "run.json").stat().st_mtime_ns
    command.main(output=tmp_path / "out", only=["two"], jobs=1)
    assert (tmp_path / "out" / "two" / "run.json").stat().st_mtime_ns == stamp


def test_a_part_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        command.main(only=["three"])
    assert "there is no part 'three'; there are her2st-new-slide" in " ".join(
        capsys.readouterr().out.split()
    )


def test_random_alone_is_for_predictors_only(tmp_path: Path) -> None:
    from scr2st.stages import run_and_report

    with pytest.raises(InputError, match=r"random alone.*python -m benchmarks\.predictors"):
        run_and_report(small_config(), tmp_path)
    with pytest.raises(ValueError, match="primary_agent 'random' must be one of agents"):
        toy_config(primary_agent="random")
