"""Judges by name: SCR2Net's peers, its ablations, and what is withheld from them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_slide
from test_benchmark_run import toy_config, toy_study

from benchmarks.ablations import CHANGES, DESIGNS, LEFT_OUT, NO_COHORT
from benchmarks.folds import cohort_of, prepare_fold
from benchmarks.judging import BUILT_IN, make_judge, predict_slide
from benchmarks.predictors.parts import ABLATED, PEERS
from benchmarks.protocols import GeneList, patient_folds
from benchmarks.report.style import JUDGES, judge_name
from benchmarks.units import judge_slide
from predictor import MeanPredictor, SCR2Net
from scr2st_env import InputError, Kernel

NAMED = sorted({*BUILT_IN, *PEERS, *ABLATED})


@pytest.mark.parametrize("name", NAMED)
def test_every_named_judge_predicts_with_and_without_a_cohort(name: str, tmp_path: Path) -> None:
    study, config = toy_study(), toy_config(judges=[name], primary_judge=name)
    fold = patient_folds(study.patients)[0]
    (ground,) = prepare_fold(config, study, fold, fold.test, tmp_path)
    bought = list(range(0, 40, 3))
    for cohorts in (ground.cohorts, {}):
        judged = judge_slide(config, ground, bought, cohorts, 0)
        assert np.isfinite(list(judged.scores[name].values())).all()
        assert judged.shown[name].shape == (ground.slide.n_spots,)


def test_every_ablation_changes_a_parameter_and_nothing_else() -> None:
    whole = make_judge("scr2net", Kernel(), 3).get_params()
    for change, changed in LEFT_OUT.items():
        ablated = make_judge(f"scr2net:{change}", Kernel(), 3).get_params()
        assert {key for key in whole if whole[key] != ablated[key]} == set(changed)


def test_every_ablation_changes_what_is_predicted() -> None:
    study, genes = toy_study(2), tuple(f"g{index}" for index in range(20))
    slide = study.slides["s0"]
    expression = slide.expression(genes)
    bought, cohort = range(0, 49, 2), cohort_of([study.slides["s1"]], GeneList(genes, (0,)))

    def predicted(name: str) -> Any:
        return predict_slide(make_judge(name, Kernel(), 0), slide, expression, bought, cohort)

    whole = predicted("scr2net")
    for name in ABLATED:
        assert not np.array_equal(predicted(name), whole), name


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_of_others_are_one_expert_without_gate(name: str) -> None:
    judge = make_judge(name, Kernel(), 0)
    assert isinstance(judge, SCR2Net)
    assert len(judge.experts) == 1
    assert not judge.gate
    assert judge.retrieval_weight == 0


class Witness(MeanPredictor):
    """Remembers what it was told."""

    def fit(self, X: Any, Y: Any, **told: Any) -> Any:
        self.told = {key for key, value in told.items() if value is not None}
        self.types = told["cell_types"]
        return super().fit(X, Y, **told)

    def predict(self, X: Any, *, coordinates: Any = None) -> Any:
        self.told_later = coordinates is not None
        return super().predict(X, coordinates=coordinates)


@pytest.mark.parametrize("where", [True, False])
def test_a_judge_without_coordinates_is_never_told_where_spots_are(where: bool) -> None:
    judge, slide = Witness(), toy_slide()
    expression = slide.expression(["g0", "g1"])
    predict_slide(judge, slide, expression, range(9), None, with_coordinates=where)
    assert judge.told == {"cell_types"} | ({"coordinates"} if where else set())
    assert judge.told_later is where


def test_a_judge_is_told_cell_types_by_name() -> None:
    judge, slide = Witness(), toy_slide()
    predict_slide(judge, slide, slide.expression(["g0", "g1"]), range(3, 9), None)
    assert slide.hidden is not None
    assert slide.hidden.types is not None
    assert tuple(judge.types.columns) == slide.hidden.type_names
    np.testing.assert_array_equal(judge.types, slide.hidden.types[3:9])


def test_a_judge_without_cohort_is_given_none(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(BUILT_IN, "mean", "test_peers:Witness")
    judges = ["mean", f"mean:{NO_COHORT}"]
    study, config = toy_study(), toy_config(judges=judges, primary_judge="mean")
    fold = patient_folds(study.patients)[0]
    (ground,) = prepare_fold(config, study, fold, fold.test, tmp_path)
    assert set(ground.cohorts) == {"mean"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oak", "judge 'oak' is none of gp"),
        ("scr2net:no-brain", "judge 'scr2net' knows no change 'no-brain'; there are scr2net:reg"),
        ("ridge:no-gate", "there are ridge:no-cohort, ridge:no-coordinates"),
        ("nowhere:Class", "cannot be imported"),
    ],
)
def test_a_judge_that_does_not_exist_is_an_error_that_names_those_that_do(
    name: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_judge(name, Kernel(), 0)


def test_every_judge_has_a_name_for_readers() -> None:
    assert set(JUDGES) >= set(BUILT_IN)
    changed = [f"{judge}:{change}" for judge, changes in CHANGES.items() for change in changes]
    names = [judge_name(name) for name in (*BUILT_IN, *changed, "ridge:no-cohort")]
    assert len(set(names)) == len(names)
    assert not any(":" in name or "-only" in name for name in names)
