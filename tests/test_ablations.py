"""Each part of SCR2Net can be left out by one setting, and each one says something."""

from typing import Any

import numpy as np
import pytest
import torch
from test_predictors import tissue, toy_cohort

from predictor import ABLATIONS, SCR2Net
from predictor.metrics import mean_pearson_per_gene
from predictor.scr2net.learning import PRIOR
from predictor.scr2net.parameters import settings_of
from predictor.scr2net.training import Examples, train
from scr2st_env import InputError

LEFT_OUT = [name for name in ABLATIONS if name != "complete"]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fitted(name: str, n_measured: int = 24) -> tuple[SCR2Net, Any]:
    features, expression, places, types = tissue(80, noise=1.0)
    model = SCR2Net(width=16, epochs=10, device="cpu", **ABLATIONS[name]).fit(
        features[:n_measured],
        expression[:n_measured],
        coordinates=places[:n_measured],
        cell_types=types[:n_measured],
        cohort=toy_cohort(),
    )
    predicted = model.predict(features[n_measured:], coordinates=places[n_measured:])
    return model, (predicted, expression[n_measured:])


def test_the_table_names_each_part_once() -> None:
    assert dict(ABLATIONS["complete"]) == {}
    assert all(len(ABLATIONS[name]) == 1 for name in LEFT_OUT)
    known = SCR2Net().get_params()
    for name in LEFT_OUT:
        for parameter, value in ABLATIONS[name].items():
            assert known[parameter] != value, f"{name} changes nothing"


@pytest.mark.parametrize("name", LEFT_OUT)
def test_leaving_a_part_out_changes_the_prediction_and_keeps_it_sane(name: str) -> None:
    _, (complete, truth) = fitted("complete")
    _, (without, _) = fitted(name)
    assert np.abs(without - complete).max() > 1e-4
    assert mean_pearson_per_gene(truth, without) > 0.4


@pytest.mark.parametrize("name", ABLATIONS)
@pytest.mark.parametrize("n_measured", [2, 5])
def test_no_part_is_needed_on_a_handful_of_spots(name: str, n_measured: int) -> None:
    _, (predicted, _) = fitted(name, n_measured)
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("name", ["regression only", "retrieval only"])
def test_one_expert_alone_has_all_the_weight(name: str) -> None:
    model, _ = fitted(name)
    assert model.weights_ == {name.removesuffix(" only"): 1.0}


def test_without_the_filter_every_neighbour_counts() -> None:
    features, *_ = tissue(80, noise=1.0)
    assert fitted("no majority filter")[0].retrieve(features).kept.all()
    assert not fitted("complete")[0].retrieve(features).kept.all()


def test_without_the_gate_nothing_is_decided_on_held_out_spots() -> None:
    model, _ = fitted("no gate")
    assert model.weights_ == pytest.approx(PRIOR)
    assert model.gate_.gains.size == 0
    assert fitted("complete")[0].gate_.gains.size > 0


def test_without_alignment_the_projections_do_not_learn() -> None:
    features, expression, *_ = tissue(40)
    targets = expression - expression.mean(axis=0)
    known = Examples(features.astype(np.float32), targets.astype(np.float32), None)
    for name, learns in (("complete", True), ("no contrastive alignment", False)):
        parameters = SCR2Net(width=16, weight_decay=0.0, device="cpu", **ABLATIONS[name])
        how = settings_of(parameters.get_params())
        before, after = train(known, how, 0).state_dict(), train(known, how, 3).state_dict()
        for part, value in after.items():
            aligned = "projection" in part or part == "log_temperature"
            moved = not torch.equal(value, before[part])
            assert moved == (not part.startswith("skip") and (learns or not aligned)), part


def test_without_the_prior_a_cohort_is_as_good_as_absent() -> None:
    features, expression, places, types = tissue(40)
    data = {"coordinates": places, "cell_types": types}
    quick = {"width": 8, "epochs": 2, "device": "cpu"}
    alone = SCR2Net(**quick).fit(features, expression, **data)
    ignoring = SCR2Net(**quick, use_cohort=False)
    ignoring.fit(features, expression, **data, cohort=toy_cohort())
    np.testing.assert_array_equal(
        alone.predict(features, coordinates=places),
        ignoring.predict(features, coordinates=places),
    )
    with pytest.raises(InputError, match="use_cohort=False"):
        ignoring.fit(features[:1], expression[:1], cohort=toy_cohort())


def test_without_coordinates_places_have_no_say() -> None:
    model, _ = fitted("no coordinates")
    features, _, places, _ = tissue(80)
    assert "kriging" in model.weights_
    np.testing.assert_array_equal(
        model.predict(features), model.predict(features, coordinates=places)
    )
