"""SCR2Net where it is hardest to trust: on a dozen spots, in its uncertainty, and from disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from test_predictors import tissue, toy_cohort

from predictor import MeanPredictor, Ridge, SCR2Net
from predictor.metrics import mean_pearson_per_gene
from predictor.scr2net.gate import held_out_error
from scr2st import cli
from scr2st_env import Slide
from scr2st_env.synthetic import TRAINING, load_slide

N_GENES = 100
QUICK = SCR2Net(width=32, epochs=10, device="cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def split(slide: Slide, n_measured: int, seed: int) -> dict[str, Any]:
    """Draw measured spots of a section, and leave all others to be predicted."""
    assert slide.hidden is not None
    assert slide.hidden.types is not None
    totals = np.asarray(slide.hidden.counts.sum(axis=0)).ravel()
    expression = slide.expression(slide.hidden.genes[np.argsort(-totals)[:N_GENES]].tolist())
    order = np.random.default_rng(seed).permutation(np.flatnonzero(slide.public.measurable))
    bought, rest = order[:n_measured], order[n_measured:]
    features, places = slide.public.standardised_features, slide.public.pitch_coordinates
    return {
        "X": features[bought],
        "Y": expression[bought],
        "coordinates": places[bought],
        "cell_types": slide.hidden.types[bought],
        "query": (features[rest], places[rest]),
        "truth": expression[rest],
    }


def scored(model: Any, parts: dict[str, Any]) -> tuple[float, float]:
    """r per gene, and the squared error over that of the measured spots' mean."""
    known = {name: parts[name] for name in ("X", "Y", "coordinates", "cell_types")}
    features, places = parts["query"]
    predicted = model.fit(**known).predict(features, coordinates=places)
    truth = parts["truth"]
    of_mean = MeanPredictor().fit(parts["X"], parts["Y"]).predict(features)
    error = ((predicted - truth) ** 2).mean() / ((of_mean - truth) ** 2).mean()
    return mean_pearson_per_gene(truth, predicted), float(error)


@pytest.mark.parametrize("n_measured", [9, 12, 16, 20])
def test_on_a_dozen_spots_it_does_not_collapse(n_measured: int) -> None:
    """Ridge scores about .20 on 9 spots and .27 on 20, SCR2Net .23 and .31; the mean scores 0."""
    scores: dict[str, list[tuple[float, float]]] = {"scr2net": [], "ridge": []}
    for seed, name in enumerate(TRAINING[:4]):
        parts = split(load_slide(name), n_measured, seed)
        for key, model in (("scr2net", QUICK), ("ridge", Ridge())):
            scores[key].append(scored(model, parts))
    net, ridge = np.array(scores["scr2net"]), np.array(scores["ridge"])
    assert net[:, 0].mean() > ridge[:, 0].mean()
    assert net[:, 1].mean() < ridge[:, 1].mean() + 0.005
    assert net[:, 0].min() > 0.1
    assert net[:, 1].max() < 1.02  # on no section worse than the mean


@pytest.mark.parametrize("n_measured", [9, 20, 60])
@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_standardised_residuals_spread_over_about_one(n_measured: int, noise: float) -> None:
    squared, inside = [], []
    for seed in range(3):
        features, expression, places, _ = tissue(150, seed, noise)
        model = SCR2Net(width=8, epochs=3, device="cpu").fit(
            features[:n_measured], expression[:n_measured], coordinates=places[:n_measured]
        )
        rest = slice(n_measured, None)
        predicted, std = model.predict(features[rest], coordinates=places[rest], return_std=True)
        z = (expression[rest] - predicted) / std
        squared.append((z**2).mean())
        inside.append((np.abs(z) < 1.96).mean())
    assert 0.75 < np.sqrt(np.mean(squared)) < 1.3
    assert 0.88 < np.mean(inside) < 0.995


def test_a_gene_that_no_spot_showed_is_not_certain() -> None:
    rng = np.random.default_rng(0)
    truth, spread = rng.normal(size=(10, 50)), np.ones(50)
    truth[:, 0] = 0
    error = held_out_error(np.zeros_like(truth), truth, spread)
    assert error[0] > 0.5
    assert held_out_error(truth[:0], truth[:0], 3 * spread).tolist() == [3.0] * 50


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["D1", "G2"])
def test_on_a_real_section_uncertainty_is_of_the_right_size(real_data: Path, name: str) -> None:
    """At 10 %, places being the features; a measurement is within 1.96 std for 95 %."""
    slide = Slide.from_anndata(
        real_data / "her2st" / f"{name}.h5ad", features=None, embedding=None, types=None
    )
    assert slide.hidden is not None
    totals = np.asarray(slide.hidden.counts.sum(axis=0)).ravel()
    expression = slide.expression(slide.hidden.genes[np.argsort(-totals)[:200]].tolist())
    places = slide.public.pitch_coordinates
    order = np.random.default_rng(0).permutation(np.flatnonzero(slide.public.measurable))
    bought, rest = np.split(order, [round(0.1 * slide.n_spots)])
    model = SCR2Net(width=16, epochs=5, device="cpu")
    model.fit(places[bought], expression[bought], coordinates=places[bought])
    predicted, std = model.predict(places[rest], coordinates=places[rest], return_std=True)
    z = (expression[rest] - predicted) / std
    assert 0.9 < np.sqrt((z**2).mean()) < 1.25
    assert 0.92 < (np.abs(z) < 1.96).mean() < 0.98


# --- bits and files --------------------------------------------------------------------------


def everything(model: SCR2Net, features: Any, places: Any) -> list[Any]:
    found = model.retrieve(features)
    return [
        *model.predict(features, coordinates=places, return_std=True),
        found.indices,
        found.weights,
        found.similarity,
        found.names,
    ]


@pytest.mark.parametrize("n_measured", [2, 20])
@pytest.mark.parametrize("with_cohort", [False, True])
def test_a_seed_and_a_file_give_the_same_bits(
    n_measured: int, with_cohort: bool, tmp_path: Path
) -> None:
    features, expression, places, types = tissue(60)

    def fitted() -> SCR2Net:
        return SCR2Net(width=16, epochs=3, device="cpu").fit(
            features[:n_measured],
            expression[:n_measured],
            coordinates=places[:n_measured],
            cell_types=types[:n_measured],
            cohort=toy_cohort() if with_cohort else None,
        )

    one, other = fitted(), fitted()
    one.save(tmp_path / "one.safetensors")
    other.save(tmp_path / "other.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (
        tmp_path / "other.safetensors"
    ).read_bytes()
    expected = everything(one, features, places)
    for model in (other, SCR2Net.load(tmp_path / "one.safetensors")):
        for ours, theirs in zip(expected, everything(model, features, places), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_info_describes_a_saved_predictor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features, expression, *_ = tissue(20)
    path = tmp_path / "model.safetensors"
    SCR2Net(width=8, epochs=1, device="cpu").fit(features, expression, encoder="uni").save(path)
    assert cli.main(["info", str(path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for fact in ("scr2net", "parameters.width 8", "attributes.encoder_ uni", "n_measured_ 20"):
        assert fact in text
    with safe_open(path, framework="numpy") as stored:
        assert list(stored.metadata()) == ["scr2st_arrays"]
