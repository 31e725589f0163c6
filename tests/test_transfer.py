"""A slide of which nothing was measured: what carries over is decided on patients left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_slide
from test_predictors import N_FEATURES, N_GENES, tissue, toy_cohort

from predictor import Cohort, SCR2Net
from predictor.base import centred_by_group
from predictor.cohort import joined_cohorts
from predictor.metrics import mean_pearson_per_gene
from predictor.ridge import ridge_path
from predictor.scr2net import left_out as module
from predictor.scr2net.left_out import PATIENT_SPOTS, PENALTIES, Evidence, left_out, ridges
from predictor.scr2net.transfer import LEAST_COSINE, PRIOR, penalty_shares, transfer_weights
from scr2st_env import InputError

RIDGES = len(PENALTIES)
N_SPOTS, WIDE = 40, 30


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def straight(rng: Any) -> tuple[Any, Any]:
    """Expression follows one of thirty directions, and neighbours are near in the others."""
    features = rng.normal(size=(N_SPOTS, WIDE))
    signal = features[:, :1] * np.linspace(1, 2, N_GENES)
    return features, signal + 0.5 * rng.normal(size=signal.shape)


def crossed(rng: Any) -> tuple[Any, Any]:
    """Four kinds of spots, like an exclusive or: no line tells them apart, their looks do."""
    sides = rng.choice([-1.0, 1.0], size=(N_SPOTS, 2))
    kinds = np.repeat(sides, WIDE // 2, axis=1)
    signal = np.prod(sides, axis=1)[:, None] * np.linspace(1, 2, N_GENES)
    features = kinds + 0.5 * rng.normal(size=kinds.shape)
    return features, signal + 0.5 * rng.normal(size=signal.shape)


def nothing(rng: Any) -> tuple[Any, Any]:
    """Looks that say nothing about expression."""
    return rng.normal(size=(N_SPOTS, WIDE)), rng.normal(size=(N_SPOTS, N_GENES))


def patients_of(make: Any, n_patients: int = 6, seed: int = 0, **options: Any) -> Cohort:
    slides = [make(np.random.default_rng([seed, index])) for index in range(n_patients)]
    features, expression = (np.concatenate(parts) for parts in zip(*slides, strict=True))
    groups = np.repeat(np.arange(n_patients), N_SPOTS)
    return Cohort(features, expression + 3 * groups[:, None], None, groups, **options)


def on_nothing(cohort: Cohort, **options: Any) -> SCR2Net:
    """Return SCR2Net fitted on a cohort and no measured spot."""
    n_features, n_genes = cohort.features.shape[1], cohort.expression.shape[1]
    model = SCR2Net(**{"width": 16, "device": "cpu"} | options)
    return model.fit(np.empty((0, n_features)), np.empty((0, n_genes)), cohort=cohort)


# --- what is decided -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "better", "worse"),
    [(straight, "linear", "retrieval"), (crossed, "retrieval", "linear")],
)
def test_the_weight_goes_to_the_expert_that_carries_over(
    make: Any, better: str, worse: str
) -> None:
    """Before evidence linear has .8, retrieval .2; alone the worse one scores .45 and -.02."""
    cohort = patients_of(make)
    model = on_nothing(cohort)
    assert model.weights_[better] > 0.85
    assert model.weights_[worse] < 0.05
    features, expression = make(np.random.default_rng(99))
    scores = {
        name: mean_pearson_per_gene(expression, fitted.predict(features))
        for name, fitted in {
            "decided": model,
            "fixed": on_nothing(cohort, gate=False),
            worse: on_nothing(cohort, experts=(worse,)),
        }.items()
    }
    assert scores["decided"] > 0.9
    assert scores["decided"] > scores["fixed"]
    assert scores["decided"] > scores[worse] + 0.3


def test_where_nothing_carries_over_the_prior_stands_and_little_is_claimed() -> None:
    model = on_nothing(patients_of(nothing))
    for name, weight in model.weights_.items():
        assert weight == pytest.approx(PRIOR[name], abs=0.15)
    features, _ = nothing(np.random.default_rng(99))
    predicted = model.predict(features)
    assert 0 < (predicted - predicted.mean(axis=0)).std() < 0.1  # of 1


@pytest.mark.parametrize("cohort", ["one slide", "four spots"])
def test_with_nobody_to_leave_out_the_prior_stands(cohort: str) -> None:
    found = patients_of(straight, 1)
    if cohort == "four spots":
        found = patients_of(straight, 2).subset([0, 1, N_SPOTS, N_SPOTS + 1])
    pretrained = SCR2Net(width=16, device="cpu").pretrain(found)
    assert left_out(pretrained) is None
    model = on_nothing(pretrained)
    assert model.weights_ == PRIOR
    features, expression = straight(np.random.default_rng(99))
    predicted = model.predict(features)
    assert np.isfinite(predicted).all()
    if cohort == "one slide":
        assert mean_pearson_per_gene(expression, predicted) > 0.5


def test_patients_are_left_out_whole() -> None:
    """Both slides of a patient share what looks mean there, and no two patients do."""
    meanings = np.random.default_rng(5).choice([-1.0, 1.0], size=(6, N_GENES))
    slides = [straight(np.random.default_rng(index)) for index in range(12)]
    features = np.concatenate([slide[0] for slide in slides])
    expression = np.concatenate([slide[1] * meanings[i // 2] for i, slide in enumerate(slides)])
    groups = np.repeat(np.arange(12), N_SPOTS)
    model = SCR2Net(width=16, device="cpu")
    found = {}
    for known in (True, False):
        patients = groups // 2 if known else None
        cohort = Cohort(features, expression, None, groups, patients=patients)
        evidence = left_out(model.pretrain(cohort))
        assert evidence is not None
        found[known] = evidence.agreement[:RIDGES].max()
        assert evidence.n_spots == (6 if known else 12) * PATIENT_SPOTS
    assert found[True] < 0.05
    assert found[False] > found[True] + 0.1


def evidence_of(agreement: Any, n_spots: int) -> Evidence:
    """Seven equal ridge regressions, regression and retrieval, the three unlike each other."""
    alike = np.eye(RIDGES + 2)
    alike[:RIDGES, :RIDGES] = 1
    linear, regression, retrieval = agreement
    return Evidence(alike, np.array([*[linear] * RIDGES, regression, retrieval]), 1.0, n_spots)


def weights(evidence: Evidence, names: Any = tuple(PRIOR)) -> tuple[dict[str, float], Any]:
    return transfer_weights(evidence, penalty_shares(evidence), names)


@pytest.mark.parametrize("name", list(PRIOR))
def test_clear_evidence_is_heeded_and_faint_evidence_is_not(name: str) -> None:
    agreement = [0.7 if other == name else 0.1 for other in PRIOR]
    clear, slope = weights(evidence_of(agreement, 120))
    assert clear[name] > 0.75
    assert 0.6 < slope < 1
    faint, slope = weights(evidence_of(np.array(agreement) / 10, 40))
    for other, weight in faint.items():
        assert weight == pytest.approx(PRIOR[other], abs=0.1)
    assert slope >= LEAST_COSINE
    assert sum(clear.values()) == pytest.approx(sum(faint.values())) == pytest.approx(1)


def test_experts_that_lean_the_wrong_way_are_not_turned_round() -> None:
    found, slope = weights(evidence_of([-0.3, -0.3, -0.3], 120))
    assert all(weight >= 0 for weight in found.values())
    assert slope == LEAST_COSINE


def test_an_expert_alone_has_all_the_weight() -> None:
    for name in PRIOR:
        assert weights(evidence_of([0.1, 0.1, 0.1], 40), [name])[0] == {name: pytest.approx(1)}


def test_penalties_share_alike_until_they_are_told_apart() -> None:
    agreement = np.append(np.linspace(0.1, 0.7, RIDGES), [0, 0])
    shares = [
        penalty_shares(Evidence(np.eye(RIDGES + 2), scale * agreement, 1.0, 100))
        for scale in (0.0, 0.1, 1.0)
    ]
    np.testing.assert_allclose(shares[0], penalty_shares(None))
    assert shares[1].max() < 0.3
    assert shares[2][-1] > 0.9
    for share in shares:
        assert share.sum() == pytest.approx(1)


# --- how it is found out ---------------------------------------------------------------------


def test_the_evidence_is_what_fits_without_the_patient_would_have_said() -> None:
    cohort = patients_of(straight, 3)
    model = SCR2Net(width=16, device="cpu")
    evidence = left_out(model.pretrain(cohort))
    assert evidence is not None
    said: list[Any] = []
    groups = np.asarray(cohort.groups)
    truth = centred_by_group(cohort.expression, groups)
    spread = np.stack([truth[groups == g].std(axis=0) for g in range(3)])
    pooled = np.sqrt((0.9 * spread**2) + 0.1 * (spread**2).mean(axis=1, keepdims=True) + 1e-6)
    for expert in ("regression", "retrieval"):
        predicted = np.zeros_like(truth)
        for patient in range(3):
            rest = cohort.subset(groups != patient)
            known = on_nothing(rest, experts=(expert,), gate=False)
            own = cohort.features[groups == patient]
            predicted[groups == patient] = (known.predict(own) - known.level_) / known.spread_
        said.append(centred_by_group(predicted, groups))
    truth = truth / pooled[groups]
    for index, predicted in enumerate(said):
        cosine = (truth * predicted).sum() / np.sqrt((truth**2).sum() * (predicted**2).sum())
        assert evidence.agreement[RIDGES + index] == pytest.approx(cosine, abs=1e-4)
    between = (said[0] * said[1]).sum() / np.sqrt((said[0] ** 2).sum() * (said[1] ** 2).sum())
    assert evidence.alike[-2, -1] == pytest.approx(between, abs=1e-4)
    assert evidence.size == pytest.approx(np.sqrt((truth**2).mean()), abs=1e-6)


def test_a_ridge_at_every_penalty_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(20, 5)), rng.normal(size=(20, 3))
    z = (features - features.mean(axis=0)) / features.std(axis=0)
    for penalty, found in zip((0.1, 10.0), ridge_path(features, values, (0.1, 10.0)), strict=True):
        system = z.T @ z + penalty * (z**2).sum() / 20 * np.eye(5)
        expected = np.linalg.solve(system, z.T @ (values - values.mean(axis=0)))
        np.testing.assert_allclose(found * features.std(axis=0)[:, None], expected, atol=1e-10)


def test_a_slide_that_varies_more_counts_no_more() -> None:
    cohort = patients_of(straight, 3)
    loud = cohort.expression * np.where(np.asarray(cohort.groups) == 1, 5, 1)[:, None]
    other = Cohort(cohort.features, loud.astype(np.float32), None, cohort.groups)
    for one, two in zip(ridges(cohort), ridges(other), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4 * np.abs(one).max())


def test_at_most_five_cohorts_are_learned_from_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    true = module.pretrain
    monkeypatch.setattr(module, "pretrain", lambda *a: trained.append(1) or true(*a))
    model = SCR2Net(width=16, device="cpu")
    pretrained = model.pretrain(patients_of(straight, 12))
    assert not trained  # a slide with measured spots needs none of it
    for _ in range(3):
        on_nothing(pretrained)
    assert len(trained) == 5
    on_nothing(pretrained, gate=False)
    assert len(trained) == 5


# --- what every model promises ---------------------------------------------------------------


def test_the_same_seed_decides_the_same_bits() -> None:
    features, _ = straight(np.random.default_rng(99))
    one, two, other = (on_nothing(patients_of(straight), random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.predict(features), two.predict(features))
    assert one.weights_ == two.weights_
    assert not np.array_equal(one.predict(features), other.predict(features))


@pytest.mark.parametrize("n_measured", [0, 2])
def test_what_was_decided_is_saved(n_measured: int, tmp_path: Path) -> None:
    features, expression, *_ = tissue(60)
    model = SCR2Net(width=16, device="cpu")
    model.fit(features[:n_measured], expression[:n_measured], cohort=toy_cohort())
    model.save(tmp_path / "model.safetensors")
    back = SCR2Net.load(tmp_path / "model.safetensors")
    assert back.weights_ == model.weights_
    np.testing.assert_array_equal(back.predict(features), model.predict(features))


def test_groups_of_bought_spots_are_left_out_like_a_cohort() -> None:
    """The setting across patients, in scikit-learn's words."""
    cohort = patients_of(crossed)
    model = SCR2Net(width=16, device="cpu").fit(
        cohort.features, cohort.expression, groups=np.asarray(cohort.groups)
    )
    assert model.weights_["retrieval"] > 0.9


@pytest.mark.parametrize("experts", [("linear",), ("regression",), ("retrieval",), ("kriging",)])
def test_each_expert_can_be_used_by_itself(experts: tuple[str, ...]) -> None:
    features, expression, *_ = tissue(60)
    model = on_nothing(toy_cohort(), experts=experts)
    assert set(model.weights_) == {"linear" if experts == ("kriging",) else experts[0]}
    assert mean_pearson_per_gene(expression, model.predict(features)) > 0.4


def test_features_that_never_differ_predict_the_level() -> None:
    cohort = patients_of(nothing, 3)
    same = Cohort(np.ones_like(cohort.features), cohort.expression, None, cohort.groups)
    predicted = on_nothing(same, experts=("linear",)).predict(np.ones((4, WIDE)))
    np.testing.assert_allclose(
        predicted, np.tile(cohort.expression.mean(axis=0), (4, 1)), rtol=1e-5
    )


# --- patients travel with a cohort -----------------------------------------------------------


def test_slides_bring_their_patients_and_groups_stand_in_for_them() -> None:
    slides = [toy_slide(name) for name in ("a", "b")]
    genes = slides[0].hidden.genes[:N_GENES].tolist() if slides[0].hidden else []
    cohort = Cohort.from_slides(slides, genes)
    n_spots, of = slides[0].n_spots, ["patient of a", "patient of b"]
    assert np.asarray(cohort.patients).tolist() == np.repeat(of, n_spots).tolist()
    assert np.asarray(cohort.subset([0, n_spots]).patients).tolist() == of
    both = joined_cohorts(cohort, Cohort(cohort.features, cohort.expression, groups=None))
    assert np.unique(np.asarray(both.patients)).tolist() == ["0", *of]
    toy = toy_cohort()
    np.testing.assert_array_equal(toy.patient_codes, toy.group_codes)


def test_patients_of_another_number_are_refused() -> None:
    with pytest.raises(InputError, match=r"cohort patients have shape \(2,\), not \(5,\)"):
        Cohort(np.zeros((5, N_FEATURES)), np.zeros((5, N_GENES)), patients=["P", "Q"])
