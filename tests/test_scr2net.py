"""SCR2Net: what is trained, what is believed, and what comes back from disk."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from test_predictors import N_GENES, tissue, toy_cohort

from predictor import Cohort, GaussianProcess, MeanPredictor, Ridge, SCR2Net
from predictor.base import Measured
from predictor.gaussian_process import USUAL
from predictor.metrics import mean_pearson_per_gene
from predictor.scr2net import training
from predictor.scr2net.experts import Linear
from predictor.scr2net.gate import ProgramGate, convex_weights
from predictor.scr2net.kriging import PROGRAM_NOISES, Kriging
from predictor.scr2net.learning import learn
from predictor.scr2net.losses import info_nce, matching, pearson_loss, soft_label_loss
from predictor.scr2net.modules import Network, Sizes
from predictor.scr2net.programs import programs_of
from predictor.scr2net.training import Examples, Settings, _Loop, embed_images, memory_bank, train
from scr2st_env import InputError


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(**changes: Any) -> Settings:
    return SCR2Net(width=32, device="cpu", **changes)._settings()


def examples(n_spots: int = 60, seed: int = 0) -> Examples:
    features, expression, _, types = tissue(n_spots, seed)
    targets = (expression - expression.mean(axis=0)) / expression.std(axis=0)
    return Examples(features.astype(np.float32), targets.astype(np.float32), types.argmax(axis=1))


def fitted(n_measured: int = 30, **options: Any) -> tuple[SCR2Net, tuple[Any, ...]]:
    features, expression, places, types = tissue(80)
    bought = slice(n_measured)
    model = SCR2Net(width=32, **options).fit(
        features[bought],
        expression[bought],
        coordinates=places[bought],
        cell_types=types[bought],
    )
    return model, (features, expression, places, types)


# --- losses ----------------------------------------------------------------------------------


def test_info_nce_is_the_mean_cross_entropy_of_rows_and_columns() -> None:
    rng = np.random.default_rng(0)
    images, expressions = rng.normal(size=(2, 5, 3))
    logits = images @ expressions.T / 0.5
    rows = -np.mean([logits[i, i] - np.log(np.exp(logits[i]).sum()) for i in range(5)])
    columns = -np.mean([logits[i, i] - np.log(np.exp(logits[:, i]).sum()) for i in range(5)])
    loss = info_nce(torch.tensor(images), torch.tensor(expressions), 0.5)
    assert loss.item() == pytest.approx((rows + columns) / 2)


def test_info_nce_of_nothing_aligned_is_log_n() -> None:
    same = torch.ones(7, 3)
    assert info_nce(same, same, 0.1).item() == pytest.approx(np.log(7))


def test_spots_of_like_expression_match_each_other() -> None:
    targets = torch.tensor([[1.0, 0.0], [2.0, 0.1], [-1.0, 0.0]])
    match = matching(targets, 0.1)
    torch.testing.assert_close(match.sum(dim=1), torch.ones(3))
    assert match[0, 1] > 0.4
    assert match[0, 2] < 1e-6


def test_pearson_loss_is_one_minus_the_mean_correlation() -> None:
    rng = np.random.default_rng(0)
    predicted, target = rng.normal(size=(2, 20, 4))
    expected = 1 - np.mean([np.corrcoef(predicted[:, g], target[:, g])[0, 1] for g in range(4)])
    loss = pearson_loss(torch.tensor(predicted), torch.tensor(target))
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_confidence_weighs_each_spot_by_itself() -> None:
    predicted = torch.zeros(3, 2)
    labels = torch.tensor([[1.0, 1.0], [2.0, 2.0], [9.0, 9.0]])
    loss = soft_label_loss(predicted, labels, torch.tensor([1.0, 0.5, 0.0]))
    assert loss.item() == pytest.approx((1 * 1 + 0.5 * 4 + 0 * 81) / 3)


# --- training --------------------------------------------------------------------------------


def test_every_module_gets_a_gradient_and_moves() -> None:
    known, how = examples(), settings()
    torch.manual_seed(0)
    network = Network(Sizes(12, N_GENES, how.width))
    before = copy.deepcopy(network.state_dict())
    loop = _Loop(network, known, how)
    loop.run_epoch()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        assert not torch.equal(parameter, before[name]), name
    modules = {name.split(".")[0] for name, _ in network.named_parameters()}
    assert modules == {
        "encoder",
        "regression",
        "image_projection",
        "expression_projection",
        "log_temperature",
    }
    in_optimiser = sum(len(group["params"]) for group in loop.optimiser.param_groups)
    assert in_optimiser == len(list(network.parameters()))


def retrieval_score(network: Network, known: Examples, query: Examples) -> float:
    bank = memory_bank(network, known)
    found = bank.retrieve(embed_images(network, query.features), 5, temperature=0.1)
    return mean_pearson_per_gene(query.targets, bank.soft_labels(found))


def test_trained_heads_retrieve_better_than_untrained_ones() -> None:
    """Features are mostly noise here, so an untrained projection finds the wrong neighbours."""
    known, query = examples(150, seed=0), examples(150, seed=1)
    rng = np.random.default_rng(2)
    loud = [
        Examples(
            np.hstack([part.features, 2 * rng.normal(size=(150, 24))]).astype(np.float32),
            part.targets,
            None,
        )
        for part in (known, query)
    ]
    how = settings()
    untrained = retrieval_score(train(loud[0], how, 0), *loud)
    trained = retrieval_score(train(loud[0], how, 30), *loud)
    assert trained > untrained + 0.1  # about .75 against .5


def test_half_precision_products_train_the_same_network_but_for_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a GPU does, done by the processor; an untrained network scores about 0."""
    known, query = examples(150, seed=0), examples(150, seed=1)
    exact = train(known, settings(), 20)
    monkeypatch.setattr(training, "mixed_precision", lambda _: torch.autocast("cpu"))
    mixed = train(known, settings(), 20)
    assert all(value.dtype == torch.float32 for value in mixed.state_dict().values())
    assert not torch.equal(mixed.encoder.entry.weight, exact.encoder.entry.weight)
    scores = [
        mean_pearson_per_gene(query.targets, training.regress(network, query.features))
        for network in (exact, mixed)
    ]
    assert scores[0] > 0.2
    assert scores[1] == pytest.approx(scores[0], abs=0.03)


def test_without_its_loss_nothing_is_retrieved_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "memory_bank", lambda *_, **__: pytest.fail("retrieved in vain"))
    train(examples(), settings(retrieval_weight=0.0), 1)
    with pytest.raises(pytest.fail.Exception):
        train(examples(), settings(), 1)


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(examples(20), settings(), 2)
    torch.testing.assert_close(torch.rand(2), expected, rtol=0, atol=0)


# --- the gate --------------------------------------------------------------------------------


def test_weights_go_to_the_expert_that_is_right_when_there_is_evidence() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(200, 20))
    truth = signal + rng.normal(size=signal.shape)
    experts = [rng.normal(size=signal.shape), signal, rng.normal(size=signal.shape)]
    weights = convex_weights(experts, truth, [0.4, 0.2, 0.4], 0.01)
    assert weights[1] > 0.9
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()


def test_without_evidence_the_prior_stands() -> None:
    rng = np.random.default_rng(0)
    experts = rng.normal(size=(3, 10, 5))
    prior = [0.5, 0.3, 0.2]
    firm = convex_weights(list(experts), rng.normal(size=(10, 5)), prior, 1e6)
    np.testing.assert_allclose(firm, prior, atol=1e-3)
    nothing = convex_weights([np.zeros((10, 5))] * 3, rng.normal(size=(10, 5)), prior, 1.0)
    np.testing.assert_allclose(nothing, prior, atol=1e-6)


def test_two_weights_are_the_best_of_a_fine_grid() -> None:
    rng = np.random.default_rng(1)
    one, two, truth = rng.normal(size=(3, 12, 4))
    truth = truth + 0.8 * one + 0.4 * two
    grid = np.linspace(0, 1, 2001)
    power = ((one**2).sum() + (two**2).sum()) / 2
    prior = np.array([0.5, 0.5])
    blend = 0.5 * one + 0.5 * two
    slope = (truth * blend).sum() / (blend**2).sum()
    loss = [
        ((truth / slope - w * one - (1 - w) * two) ** 2).sum()
        + 0.3 * power * ((np.array([w, 1 - w]) - prior) ** 2).sum()
        for w in grid
    ]
    weights = convex_weights([one, two], truth, prior.tolist(), 0.3)
    assert weights[0] == pytest.approx(grid[int(np.argmin(loss))], abs=1e-3)


def test_a_program_that_was_not_predicted_is_turned_down() -> None:
    rng = np.random.default_rng(0)
    programs = np.linalg.qr(rng.normal(size=(10, 2)))[0].T
    scores = rng.normal(size=(80, 2)) * [3, 2]
    truth = scores @ programs
    held_out = np.column_stack([scores[:, 0], 2 * rng.normal(size=80)]) @ programs
    gate = ProgramGate.fit(held_out, truth)
    good, bad = programs[0], programs[1]
    assert np.linalg.norm(gate(good[None])) == pytest.approx(1, abs=0.15)
    assert np.linalg.norm(gate(bad[None])) < 0.4
    outside = np.linalg.svd(programs)[2][-1:]
    np.testing.assert_allclose(gate(outside), outside, atol=1e-9)


def test_an_open_gate_changes_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(4, 6))
    np.testing.assert_array_equal(ProgramGate.open(6)(values), values)


# --- kriging ---------------------------------------------------------------------------------


def test_kriging_leaves_one_out_as_if_fitted_without_the_spot() -> None:
    rng = np.random.default_rng(0)
    places, looks, values = rng.uniform(0, 9, (15, 2)), rng.normal(size=(15, 3)), None
    values = rng.normal(size=(15, 4))
    values -= values.mean(axis=0)
    kriging = Kriging.fit(places, looks, values, programs_of(values, 2))
    held_out, variance = kriging.held_out(), kriging.held_out_variance()
    for spot in range(15):
        rest = np.delete(np.arange(15), spot)
        others = values[rest] - values[rest].mean(axis=0)
        other = replace(kriging, places=places[rest], looks=looks[rest], values=others)
        at = places[[spot]], looks[[spot]]
        np.testing.assert_allclose(other.predict(*at)[0], held_out[spot], atol=1e-9)
        np.testing.assert_allclose(other.relative_variance(*at)[0], variance[spot], atol=1e-9)


@pytest.mark.parametrize("n_measured", [9, 20])
def test_held_out_predictions_of_pure_noise_do_not_lean_away_from_the_truth(
    n_measured: int,
) -> None:
    """A mean of the others leans: its correlation with the truth is -1 here."""
    rng = np.random.default_rng(0)
    features, noise = rng.normal(size=(n_measured, 5)), rng.normal(size=(n_measured, 400))
    measured = Measured(features, noise, rng.uniform(0, 9, (n_measured, 2)), None)
    noise = noise - noise.mean(axis=0)
    nothing = Linear(features.mean(axis=0), np.zeros((5, 400)))
    for name in ("linear", "retrieval", "regression", "kriging"):
        held_out = learn(measured, noise, [name], settings(), nothing, None).held_out
        assert abs(np.corrcoef(held_out.ravel(), noise.ravel())[0, 1]) < 0.15, name


def test_kriging_with_one_kernel_is_a_gaussian_process() -> None:
    features, expression, places, _ = tissue(30)
    process = GaussianProcess(USUAL).fit(features, expression, coordinates=places)
    level = expression.mean(axis=0)
    looks = process.projection_(features)
    noises = np.array(PROGRAM_NOISES)[:, None] == USUAL.noise
    nothing = np.zeros((N_GENES, 0))
    shares = noises[None].astype(float)
    kriging = Kriging(places, looks, expression - level, (USUAL,), np.ones(1), nothing, shares)
    # the process also moves its level a little, so the two agree up to a constant per gene
    difference = (
        level + kriging.predict(places, looks) - process.predict(features, coordinates=places)
    )
    assert difference.std(axis=0).max() < 0.05 * expression.std(axis=0).min()


# --- the estimator ---------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    (one, data), (two, _) = fitted(), fitted()
    other, _ = fitted(random_state=1)
    features, _, places, _ = data
    prediction = one.predict(features, coordinates=places)
    np.testing.assert_array_equal(prediction, two.predict(features, coordinates=places))
    assert not np.array_equal(prediction, other.predict(features, coordinates=places))


@pytest.mark.parametrize("n_measured", [2, 3, 4, 9, 14])
def test_a_handful_of_spots_does_not_make_it_collapse(n_measured: int) -> None:
    model, (features, expression, places, _) = fitted(n_measured)
    predicted, std = model.predict(features, coordinates=places, return_std=True)
    assert predicted.dtype == std.dtype == np.float32
    assert (std > 0).all()
    rest = slice(n_measured, None)
    mean = MeanPredictor().fit(features[:n_measured], expression[:n_measured])
    error = ((predicted[rest] - expression[rest]) ** 2).mean()
    assert error < 1.1 * ((mean.predict(features[rest]) - expression[rest]) ** 2).mean()
    assert sum(model.weights_.values()) == pytest.approx(1)
    if n_measured >= 9:
        assert mean_pearson_per_gene(expression[rest], predicted[rest]) > 0.6


def test_it_is_at_least_as_good_as_ridge_and_the_gaussian_process() -> None:
    scores: dict[str, list[float]] = {"scr2net": [], "ridge": [], "gp": []}
    models = {"scr2net": SCR2Net(width=32), "ridge": Ridge(), "gp": GaussianProcess()}
    for seed in range(3):
        features, expression, places, types = tissue(120, seed, noise=1.5)
        for name, model in models.items():
            model.fit(
                features[:30], expression[:30], coordinates=places[:30], cell_types=types[:30]
            )
            predicted = model.predict(features[30:], coordinates=places[30:])
            scores[name].append(mean_pearson_per_gene(expression[30:], predicted))
    assert np.mean(scores["scr2net"]) > np.mean(scores["ridge"])
    assert np.mean(scores["scr2net"]) > np.mean(scores["gp"]) - 0.01


@pytest.mark.parametrize("n_measured", [0, 1, 3, 4, 20])
def test_a_cohort_serves_from_the_first_spot_on(n_measured: int) -> None:
    features, expression, places, _ = tissue(60)
    model = SCR2Net(width=32)
    cohort = model.pretrain(toy_cohort())
    model.fit(
        features[:n_measured],
        expression[:n_measured],
        coordinates=places[:n_measured],
        cohort=cohort,
    )
    predicted = model.predict(features, coordinates=places)
    assert mean_pearson_per_gene(expression, predicted) > 0.5


def test_pretraining_first_or_in_fit_is_the_same() -> None:
    features, expression, *_ = tissue(60)
    cohort = toy_cohort()
    model = SCR2Net(width=32)
    at_once = model.fit(features[:20], expression[:20], cohort=cohort).predict(features)
    pretrained = model.pretrain(cohort)
    state = {name: value.clone() for name, value in pretrained.network.state_dict().items()}
    first = model.fit(features[:20], expression[:20], cohort=pretrained).predict(features)
    np.testing.assert_array_equal(at_once, first)
    for name, value in pretrained.network.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)  # shared, so not touched
    Ridge().fit(features[:20], expression[:20], cohort=pretrained)  # it is a cohort too


def test_a_cohort_pretrained_otherwise_is_refused() -> None:
    features, expression, *_ = tissue(60)
    pretrained = SCR2Net(width=32).pretrain(toy_cohort())
    with pytest.raises(InputError, match="pretrained with other parameters"):
        SCR2Net(width=16).fit(features[:20], expression[:20], cohort=pretrained)


def test_a_cohort_of_the_same_biology_helps_on_few_spots() -> None:
    features, expression, *_ = tissue(120, seed=3)
    alone = SCR2Net(width=32).fit(features[:6], expression[:6])
    helped = SCR2Net(width=32).fit(features[:6], expression[:6], cohort=toy_cohort())
    score = mean_pearson_per_gene(expression[6:], helped.predict(features[6:]))
    assert score > mean_pearson_per_gene(expression[6:], alone.predict(features[6:])) + 0.02


def test_cohort_types_of_another_kind_are_not_mixed_in() -> None:
    features, expression, places, types = tissue(60)
    cohort = toy_cohort()
    without = Cohort(cohort.features, cohort.expression, None, cohort.groups)
    model = SCR2Net(width=32).fit(
        features[:2],
        expression[:2],
        coordinates=places[:2],
        cell_types=types[:2],
        cohort=without,
    )
    assert model.blend_.experts["retrieval"].bank.types is None


def test_without_coordinates_kriging_leaves_its_weight_to_the_others() -> None:
    model, (features, expression, places, _) = fitted(40)
    blind = model.predict(features)
    assert mean_pearson_per_gene(expression[40:], blind[40:]) > 0.5
    assert not np.allclose(blind, model.predict(features, coordinates=places))
    alone, _ = fitted(40, experts=("kriging",))
    with pytest.raises(InputError, match="coordinates"):
        alone.predict(features)


@pytest.mark.parametrize(
    "experts", [("regression",), ("retrieval",), ("linear",), ("kriging", "retrieval")]
)
def test_experts_can_be_used_by_themselves(experts: tuple[str, ...]) -> None:
    model, (features, expression, places, _) = fitted(40, experts=experts)
    assert set(model.weights_) == set(experts)
    predicted = model.predict(features[40:], coordinates=places[40:])
    assert mean_pearson_per_gene(expression[40:], predicted) > 0.4
    if "retrieval" not in experts:
        with pytest.raises(InputError, match="retrieval"):
            model.retrieve(features)


def test_retrieval_names_the_spots_that_support_a_prediction() -> None:
    model, (features, *_, types) = fitted(30, n_neighbors=5, n_types=1)
    found = model.retrieve(features[30:])
    assert found.indices.shape == (50, 5)
    assert found.indices.max() < model.n_measured_ == 30
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-5)
    kinds = types[:30].argmax(axis=1)[found.indices]
    for row, weights in zip(kinds, found.weights, strict=True):
        assert np.unique(row[weights > 0]).size == 1


def test_uncertainty_is_of_the_right_size_and_larger_where_it_knows_less() -> None:
    features, expression, places, _ = tissue(200, noise=0.8)
    near = places[:, 0] < 8
    bought = np.flatnonzero(near)[:60]
    rest = np.setdiff1d(np.arange(200), bought)
    model = SCR2Net(width=32).fit(features[bought], expression[bought], coordinates=places[bought])
    predicted, std = model.predict(features, coordinates=places, return_std=True)
    z = ((expression - predicted) / std)[rest]
    assert 0.7 < np.sqrt((z**2).mean()) < 1.4
    far = np.flatnonzero(places[:, 0] > 10)
    known = np.intersect1d(rest, np.flatnonzero(near))
    assert std[far].mean() > std[known].mean()


@pytest.mark.parametrize(
    "options",
    [
        {"experts": ()},
        {"experts": ("magic",)},
        {"width": 0},
        {"n_neighbors": 0},
        {"learning_rate": 0.0},
        {"contrastive_weight": -1.0},
        {"retrieval_temperature": float("nan")},
        {"random_state": None},
        {"device": "teapot"},
        {"device": "cuda:99"},
    ],
)
def test_parameters_out_of_range_are_refused_by_fit(options: dict[str, Any]) -> None:
    features, expression, *_ = tissue(10)
    with pytest.raises(InputError) as caught:
        SCR2Net(**options).fit(features, expression)
    assert "\n" not in str(caught.value)


def test_a_cohort_of_one_spot_teaches_nothing() -> None:
    features, expression, *_ = tissue(10)
    with pytest.raises(InputError, match="the cohort has one spot"):
        SCR2Net(width=8).fit(features, expression, cohort=Cohort(features[:1], expression[:1]))


def test_clones_have_the_same_parameters() -> None:
    model = SCR2Net(width=8, experts=("linear",), random_state=4)
    assert clone(model).get_params() == model.get_params()


# --- saving ----------------------------------------------------------------------------------


def test_numbers_of_numpy_serve_as_parameters_and_are_saved(tmp_path: Path) -> None:
    features, expression, *_ = tissue(20)
    grid = {"width": np.arange(8, 9)[0], "n_neighbors": np.arange(5, 6)[0], "epochs": np.int64(2)}
    model = SCR2Net(**grid, learning_rate=np.float32(1e-3), random_state=np.int64(3))
    predicted = model.fit(features, expression).predict(features)
    model.save(tmp_path / "model.safetensors")
    loaded = SCR2Net.load(tmp_path / "model.safetensors")
    assert loaded.get_params()["n_neighbors"] == 5
    np.testing.assert_array_equal(loaded.predict(features), predicted)


@pytest.mark.parametrize(
    "options", [{}, {"experts": ("linear", "kriging")}, {"experts": ("regression",)}]
)
def test_what_is_loaded_predicts_the_same_bits(options: dict[str, Any], tmp_path: Path) -> None:
    model, (features, _, places, _) = fitted(20, **options)
    path = tmp_path / "model.safetensors"
    model.save(path)
    back = SCR2Net.load(path)
    assert back.get_params() == model.get_params()
    for one, other in zip(
        model.predict(features, coordinates=places, return_std=True),
        back.predict(features, coordinates=places, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    if "retrieval" in model.weights_:
        np.testing.assert_array_equal(
            model.retrieve(features).indices, back.retrieve(features).indices
        )


def test_a_model_on_a_cohort_is_saved_whole(tmp_path: Path) -> None:
    features, expression, places, _ = tissue(60)
    for n_measured in (0, 12):
        model = SCR2Net(width=16).fit(
            features[:n_measured],
            expression[:n_measured],
            coordinates=places[:n_measured],
            cohort=toy_cohort(),
        )
        model.save(tmp_path / "model.safetensors")
        back = SCR2Net.load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(
            back.predict(features, coordinates=places),
            model.predict(features, coordinates=places),
        )


def test_foreign_files_are_refused_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("not a model")
    other = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(1)}, other, metadata={"scr2st_arrays": json.dumps({"kind": "pca"})})
    for path in (text, other, tmp_path / "missing.safetensors"):
        with pytest.raises(InputError) as caught:
            SCR2Net.load(path)
        assert "\n" not in str(caught.value)


def test_saving_needs_a_fit_first(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        SCR2Net().save(tmp_path / "model.safetensors")


# --- real tissue -----------------------------------------------------------------------------


@pytest.mark.real_data
def test_on_a_real_section_it_beats_ridge_at_ten_per_cent(real_data: Path) -> None:
    """Image-free: places are the features. Ridge scores about .10, SCR2Net .14."""
    from scr2st_env import Slide

    scores: dict[str, list[float]] = {"scr2net": [], "ridge": []}
    for name in ("D1", "H2"):
        slide = Slide.from_anndata(
            real_data / "her2st" / f"{name}.h5ad", features=None, embedding=None, types=None
        )
        assert slide.hidden is not None
        totals = np.asarray(slide.hidden.counts.sum(axis=0)).ravel()
        genes = slide.hidden.genes[np.argsort(-totals)[:200]].tolist()
        usable = slide.public.measurable
        places, expression = slide.public.pitch_coordinates[usable], slide.expression(genes)[usable]
        order = np.random.default_rng(0).permutation(len(places))
        test, bought = order[: len(order) // 4], order[len(order) // 4 :][: len(order) // 10]
        for key, model in (("scr2net", SCR2Net(width=32)), ("ridge", Ridge())):
            model.fit(places[bought], expression[bought], coordinates=places[bought])
            predicted = model.predict(places[test], coordinates=places[test])
            scores[key].append(mean_pearson_per_gene(expression[test], predicted))
    assert np.mean(scores["scr2net"]) > np.mean(scores["ridge"])
