"""A backbone trained through SCR2Net's heads: it learns, and comes back as an encoder."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_cache import cached
from test_timm_encoders import Tokens, calls, hub, write_model  # noqa: F401 - fixtures
from test_trained_encoders import tissue

from predictor import Cohort, Ridge, SCR2Net, train_end_to_end
from predictor.metrics import mean_pearson_per_gene
from predictor.scr2net import end_to_end
from predictor.scr2net.end_to_end import _learner, _train
from predictor.scr2net.pretraining import cohort_examples
from scr2st_env import InputError
from scr2st_env.encoders import get_encoder, train_encoder
from scr2st_env.encoders.views import Views

N_GENES = 12
QUIET = Views(stain=0.05)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(end_to_end, "WIDTHS", (8, 16, 24))
    monkeypatch.setattr(end_to_end, "SIDE", 32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(**changes: Any) -> SCR2Net:
    return SCR2Net(width=16, n_neighbors=10, device="cpu", **changes)


def slides(n: int, seed: int = 0) -> tuple[Any, Cohort]:
    """Half of the genes follow how many dots a patch has; no feature of the cohort says so."""
    patches, labels = tissue(n, seed)
    rng = np.random.default_rng(seed + 100)
    follows = np.where(np.arange(N_GENES) % 2, 2.0, 0.0)
    expression = 3 + labels[:, None] * follows + rng.normal(0, 0.5, (n, N_GENES))
    types = np.eye(2)[labels].astype(np.float32)
    groups = np.repeat(["a", "b"], [n // 2, n - n // 2])
    cohort = Cohort(np.zeros((n, 1), np.float32), expression.astype(np.float32), types, groups)
    return patches, cohort


def score(encoder: Any, known: Any, query: Any) -> float:
    """Pearson's r per gene of a ridge regression on the features, over patches never seen."""
    features = [encoder.encode(patches) for patches, _ in (known, query)]
    mean, spread = features[0].mean(axis=0), features[0].std(axis=0) + 1e-6
    first, second = ((each - mean) / spread for each in features)
    predicted = Ridge().fit(first, known[1].expression).predict(second)
    return mean_pearson_per_gene(query[1].expression, predicted)


def test_what_is_trained_end_to_end_predicts_new_patches_and_random_weights_do_not(
    tmp_path: Path,
) -> None:
    """Half of the genes can be predicted, so a perfect encoder scores about .45."""
    known, query = slides(240), slides(200, seed=1)
    trained = train_end_to_end(
        *known, tmp_path / "e.safetensors", model=model(), epochs=25, views=QUIET
    )
    untrained = train_encoder(
        known[0], tmp_path / "r.safetensors", epochs=0, side=32, widths=(8, 16, 24), device="cpu"
    )
    assert score(trained, known, query) > score(untrained, known, query) + 0.1
    assert score(trained, known, query) > 0.35


def test_every_weight_gets_a_gradient_and_moves() -> None:
    patches, cohort = slides(40)
    settings = model()._settings()
    torch.manual_seed(0)
    learner = _learner(None, N_GENES, 16)
    before = copy.deepcopy(learner.state_dict())
    pixels = end_to_end.scaled_patches(patches, learner.preprocessing)
    examples = cohort_examples(cohort, np.ones(N_GENES))
    _train(learner, pixels, examples, settings, 1, 20, 1e-3, QUIET)
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        assert not torch.equal(parameter, before[name]), name
    assert {name.split(".")[0] for name, _ in learner.named_parameters()} == {
        "backbone",
        "norm",
        "network",
    }


def test_the_encoder_is_found_by_its_file_and_serves_scr2net(tmp_path: Path) -> None:
    known, query = slides(60), slides(50, seed=1)
    path = tmp_path / "e.safetensors"
    trained = train_end_to_end(*known, path, model=model(), epochs=1, batch_size=32)
    loaded = get_encoder(str(path), device="cpu")
    assert loaded.name == trained.name
    features = loaded.encode(query[0])
    np.testing.assert_array_equal(features, trained.encode(query[0]))
    fitted = model().fit(features[:30], query[1].expression[:30])
    assert fitted.predict(features).shape == (50, N_GENES)


def test_equal_seeds_give_equal_encoders_and_the_global_generator_is_left_alone(
    tmp_path: Path,
) -> None:
    known = slides(40)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, two, other = (
        train_end_to_end(
            *known, tmp_path / f"{name}.safetensors", model=model(random_state=seed), epochs=1
        )
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert one.name == two.name != other.name


def test_a_trained_encoder_goes_on_from_where_it_was(tmp_path: Path) -> None:
    known = slides(40)
    first = str(tmp_path / "first.safetensors")
    start = train_encoder(known[0], first, epochs=1, side=32, widths=(8, 16), device="cpu")
    weights = copy.deepcopy(start.network.state_dict())
    further = train_end_to_end(*known, tmp_path / "on.safetensors", first, model=model(), epochs=1)
    assert further.dim == 16
    assert further.preprocessing == start.preprocessing
    moved = further.network.state_dict()
    for name in ("stem.0.weight", "stages.1.block.3.weight"):
        torch.testing.assert_close(moved[name], weights[name], atol=0.01, rtol=0)
        assert not torch.equal(moved[name], weights[name])


def test_a_timm_backbone_is_trained_saved_and_found_again(
    hub: Path,  # noqa: F811
    calls: list[dict[str, Any]],  # noqa: F811
    tmp_path: Path,
) -> None:
    write_model(cached(hub, "timm/resnet50.a1_in1k"), 6)
    known = slides(40)
    path = tmp_path / "tuned.safetensors"
    tuned = train_end_to_end(*known, path, "timm:resnet50", model=model(), epochs=2)
    published = get_encoder("timm:resnet50", device="cpu")
    assert tuned.dim == published.dim == 6
    assert not np.allclose(tuned.encode(known[0]), published.encode(known[0]))
    loaded = get_encoder(str(path), device="cpu")
    np.testing.assert_array_equal(loaded.encode(known[0]), tuned.encode(known[0]))
    assert isinstance(loaded.network, Tokens)
    assert calls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "e.pt"}, "ends in .safetensors"),
        ({"backbone": "histology-v1"}, "histology-v1 is no network that can be trained"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: Any, message: str) -> None:
    patches, cohort = slides(20)
    given = {"path": "e.safetensors", "model": model()} | options
    given["path"] = tmp_path / given["path"]
    with pytest.raises(InputError, match=message):
        train_end_to_end(patches, cohort, **given)
    with pytest.raises(InputError, match="has 20 spots, but 19 patches"):
        train_end_to_end([patches[:9], patches[9:19]], cohort, tmp_path / "e.safetensors")
