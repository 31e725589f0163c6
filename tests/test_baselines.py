"""Baselines: what each of them promises, against brute force and against the libraries."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from agents import (
    FacilityLocationAgent,
    KCenterAgent,
    KMeansAgent,
    LeverageAgent,
    MutualInformationAgent,
    PosteriorSamplingAgent,
    RandomAgent,
    SCRLAgent,
    agent_names,
    evaluate,
    load_agent,
    run_episode,
)
from agents.baselines.design import DesignGain
from agents.baselines.discovery import newness
from agents.baselines.feedback import Returned, returned
from agents.baselines.leverage import ridge_leverage, smooth
from agents.baselines.mutual_information import SchurComplement
from agents.baselines.posterior_sampling import draw_field
from agents.baselines.space import metric_space
from agents.registry import BUILT_IN
from benchmarks.buying import make_buyer, origin_unchecked
from scr2st_env import InputError, Kernel, Slide
from scr2st_env.cell_states import state_shares
from scr2st_env.envs.spot_sampling import SpotSamplingEnv
from scr2st_env.gaussian_process import Posterior, low_rank, posterior_mean, principal_components

PUBLIC_ONLY = [
    "k-center",
    "k-means",
    "typiclust",
    "facility-location",
    "geosketch",
    "leverage",
    "mutual-information",
    "scrl-released",
]
LEARN_FROM_FEEDBACK = ["ensemble-uncertainty", "posterior-sampling", "scrl"]
DETERMINISTIC = {
    "k-center": KCenterAgent,
    "facility-location": FacilityLocationAgent,
    "mutual-information": MutualInformationAgent,
    "leverage": lambda: LeverageAgent("top"),
}


def make_env(slides: Sequence[Slide] | None = None, **options: Any) -> Any:
    slides = slides or [toy_slide("one", 8, 1), toy_slide("two", 6, 2)]
    reward = {"states": 0.0, "types": 0.0, "density": 1.0}
    defaults = {"budget": 0.2, "reward": reward, "observation": "compact", "feedback": True}
    return SpotSamplingEnv(slides, toy_reference(), **(defaults | options))


def imageless(slide: Slide) -> Slide:
    hidden = slide.hidden
    return Slide.make(
        slide.name,
        slide.public.coordinates,
        counts=hidden.counts,
        genes=hidden.genes,
        embedding=hidden.embedding,
        types=hidden.types,
        type_names=hidden.type_names,
    )


def permuted(slide: Slide, order: Any) -> Slide:
    hidden, public = slide.hidden, slide.public
    return Slide.make(
        slide.name,
        public.coordinates[order],
        features=public.features[order],
        counts=hidden.counts[order],
        genes=hidden.genes,
        embedding=hidden.embedding[order],
        types=hidden.types[order],
        type_names=hidden.type_names,
    )


def test_every_baseline_has_a_name_of_its_own() -> None:
    names = [*PUBLIC_ONLY, *LEARN_FROM_FEEDBACK]
    assert set(names) <= set(agent_names())
    assert [load_agent(name).name for name in names] == names


@pytest.mark.parametrize("name", [*PUBLIC_ONLY, *LEARN_FROM_FEEDBACK])
@pytest.mark.parametrize(("observation", "round_size"), [("full", 1), ("compact", 4)])
def test_a_baseline_spends_exactly_the_budget_and_wastes_nothing(
    name: str, observation: Any, round_size: int
) -> None:
    excluded, initial = {"one": range(0, 64, 3), "two": [5]}, {"one": [1, 10], "two": [0]}
    env = make_env(
        round_size=round_size, observation=observation, excluded=excluded, initial=initial
    )
    table = evaluate(name, env, seeds=[0, 1])
    assert (table.spent == table.budget).all()
    assert (table.wasted == 0).all()
    for row in table.itertuples():
        assert not set(row.picks) & (set(excluded[row.slide]) | set(initial[row.slide]))


@pytest.mark.parametrize("name", [*PUBLIC_ONLY, *LEARN_FROM_FEEDBACK])
@pytest.mark.parametrize("with_image", [True, False])
def test_a_baseline_can_buy_all_that_is_for_sale(name: str, with_image: bool) -> None:
    slide = toy_slide("one", 5, 1)
    env = make_env([slide if with_image else imageless(slide)], budget=18, excluded={"one": [0, 9]})
    assert len(set(run_episode(name, env, seed=2).picks)) == 18
    env = make_env([slide if with_image else imageless(slide)], budget=1.0)
    assert sorted(run_episode(name, env, seed=2).picks) == list(range(25))


@pytest.mark.parametrize("name", [*PUBLIC_ONLY, *LEARN_FROM_FEEDBACK])
def test_a_baseline_repeats_itself_under_a_seed_in_any_observation(name: str) -> None:
    agent = load_agent(name)
    np.random.seed(5)  # noqa: NPY002 - one library knows no other generator
    played = [
        run_episode(agent, make_env(observation=mode), slide="one", seed=3).picks
        for mode in ("compact", "full")
    ]
    assert played[0] == played[1]
    assert np.random.random() == np.random.RandomState(5).random()  # noqa: NPY002


@pytest.mark.parametrize("name", ["k-means", "typiclust", "geosketch", "leverage", "scrl"])
def test_other_seeds_buy_other_spots(name: str) -> None:
    env = make_env()
    assert len({run_episode(name, env, slide="one", seed=s).picks for s in range(4)}) > 1


@pytest.mark.parametrize("name", DETERMINISTIC)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_spots_changes_nothing(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    slide = toy_slide("one", 6, seed)
    shaken = slide.public.coordinates + rng.uniform(-20, 20, (36, 2))  # a lattice would tie
    slide = Slide.make(
        "one",
        shaken,
        features=slide.public.features,
        counts=slide.hidden.counts,
        genes=slide.hidden.genes,
        embedding=slide.hidden.embedding,
        types=slide.hidden.types,
        type_names=["a", "b", "c"],
    )
    order = rng.permutation(36)
    env = make_env([slide], budget=4, initial={"one": [int(order[0])]})
    played = {run_episode(DETERMINISTIC[name](), env, seed=s).picks for s in range(16)}
    assume(len(played) == 1)  # two spots that serve each other alone are a tie, drawn by seed
    env = make_env([permuted(slide, order)], budget=4, initial={"one": [0]})
    picks = run_episode(DETERMINISTIC[name](), env).picks
    assert played == {tuple(int(order[spot]) for spot in picks)}


@pytest.mark.parametrize("name", LEARN_FROM_FEEDBACK)
def test_a_learner_without_feedback_says_what_it_needs(name: str) -> None:
    with pytest.raises(InputError, match=rf"'{name}' learns from .* feedback=True") as told:
        run_episode(name, make_env(feedback=False))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", LEARN_FROM_FEEDBACK)
@given(seed=st.integers(0, 1000), round_size=st.sampled_from([1, 3]))
@settings(max_examples=3, deadline=None)
def test_a_learner_decides_by_measured_spots_alone(name: str, seed: int, round_size: int) -> None:
    slide = toy_slide("one", 6, 1)
    env = make_env([slide], budget=14, round_size=round_size)
    picks = list(run_episode(name, env, seed=seed).picks)
    embedding = slide.hidden.embedding.copy()
    n_back = 13 // round_size * round_size  # of 14, when the last one is chosen
    embedding[sorted(set(range(36)) - set(picks[:n_back]))] += 5.0
    spoiled = Slide.make(
        "one",
        slide.public.coordinates,
        features=slide.public.features,
        counts=slide.hidden.counts,
        genes=slide.hidden.genes,
        embedding=embedding,
        types=slide.hidden.types,
        type_names=["a", "b", "c"],
    )
    env = make_env([spoiled], budget=14, round_size=round_size)
    assert list(run_episode(name, env, seed=seed).picks) == picks


@pytest.mark.parametrize("name", LEARN_FROM_FEEDBACK)
def test_a_learner_does_use_what_it_measured(name: str) -> None:
    slide = toy_slide("one", 8, 1)
    shuffled = np.random.default_rng(0).permutation(slide.hidden.embedding)
    other = Slide.make(
        "one",
        slide.public.coordinates,
        features=slide.public.features,
        counts=slide.hidden.counts,
        genes=slide.hidden.genes,
        embedding=shuffled,
        types=slide.hidden.types,
        type_names=["a", "b", "c"],
    )
    played = [run_episode(name, make_env([s], budget=30), seed=1).picks for s in (slide, other)]
    assert played[0] != played[1]


@pytest.mark.parametrize("name", LEARN_FROM_FEEDBACK)
def test_a_learner_plays_a_live_slide_on_which_nothing_returns(name: str) -> None:
    env = make_env([toy_slide("one", 6, 1).live()], reward=None)
    assert len(set(run_episode(name, env).picks)) == 7


@pytest.mark.parametrize("mode", ["full", "compact"])
def test_feedback_is_read_alike_from_both_observations(mode: str) -> None:
    slide = toy_slide("one", 6, 1)
    env = make_env([slide], budget=10, round_size=3, observation=mode, initial={"one": [30]})
    observation, _ = env.reset(seed=0)
    for action in (7, 2, 11, 20):
        observation = env.step(action)[0]
    known = returned(observation, "me")
    assert sorted(known.spots.tolist()) == [2, 7, 11, 30]
    np.testing.assert_array_equal(known.embedding, slide.hidden.embedding[known.spots])


def test_in_the_metric_space_features_and_coordinates_weigh_alike() -> None:
    public = toy_slide("one", 8, 1, n_features=30).public
    points = metric_space(public)
    np.testing.assert_allclose(
        2 * cdist(points[:, :20], points[:, :20]) ** 2,
        cdist(*2 * [principal_components(public.standardised_features, 20)]) ** 2,
        atol=1e-9,
    )
    blocks = points[:, :20], points[:, 20:]
    assert [np.mean(cdist(block, block) ** 2) for block in blocks] == pytest.approx([0.5, 0.5])
    place = metric_space(imageless(toy_slide("one", 8, 1)).public)
    ratio = cdist(place, place)[0, 1:] / cdist(public.coordinates, public.coordinates)[0, 1:]
    np.testing.assert_allclose(ratio, ratio[0])


def test_k_center_is_the_core_set_of_scikit_activeml() -> None:
    from skactiveml.pool import CoreSet

    slide = toy_slide("one", 8, 3)
    env = make_env([slide], budget=12, initial={"one": [9]})
    labels = np.full(64, np.nan)
    labels[9] = 0
    expected = CoreSet(random_state=0).query(metric_space(slide.public), labels, batch_size=12)
    assert list(run_episode(KCenterAgent(), env).picks) == expected.tolist()


def test_facility_location_is_the_greedy_choice_of_apricot() -> None:
    from apricot import FacilityLocationSelection

    slide = toy_slide("one", 8, 3)
    selector = FacilityLocationSelection(13).fit(metric_space(slide.public))
    picks = run_episode(FacilityLocationAgent(), make_env([slide], budget=13)).picks
    assert list(picks) == selector.ranking.tolist()


@given(seed=st.integers(0, 1000), round_size=st.sampled_from([1, 4]))
@settings(max_examples=10, deadline=None)
def test_facility_location_is_the_brute_force_minimum(seed: int, round_size: int) -> None:
    slide, excluded, initial = toy_slide("one", 6, seed), [0, 7, 20, 33], [3, 30]
    env = make_env(
        [slide],
        budget=8,
        excluded={"one": excluded},
        initial={"one": initial},
        round_size=round_size,
    )
    points = metric_space(slide.public)
    away, bought = cdist(points, points, "sqeuclidean"), initial
    for pick in run_episode(FacilityLocationAgent(), env).picks:
        open_spots = sorted(set(range(36)) - {*excluded, *bought})
        best = min(away[[*bought, spot]].min(axis=0).sum() for spot in open_spots)
        assert away[[*bought, pick]].min(axis=0).sum() == pytest.approx(best, rel=1e-9)
        bought = [*bought, pick]


@pytest.mark.parametrize("kernel", [Kernel(), Kernel(length=2, feature_weight=0.5, noise=0.3)])
def test_mutual_information_is_the_brute_force_maximum(kernel: Kernel) -> None:
    slide, excluded = toy_slide("one", 6, 1), list(range(0, 36, 4))
    env = make_env([slide], excluded={"one": excluded}, initial={"one": [7]}, budget=6)
    joint = kernel.for_slide(slide.public) + kernel.noise * np.eye(36)
    bought = [7]

    def variance(spot: int, given_spots: list[int]) -> Any:
        cross = joint[spot, given_spots]
        inner = np.linalg.solve(joint[np.ix_(given_spots, given_spots)], cross)
        return joint[spot, spot] - cross @ inner

    def ratio(spot: int) -> Any:
        others = sorted(set(range(36)) - {*bought, spot})
        return variance(spot, bought) / variance(spot, others)

    for pick in run_episode(MutualInformationAgent(kernel), env).picks:
        best = max(ratio(s) for s in range(36) if s not in excluded and s not in bought)
        assert ratio(pick) == pytest.approx(best, rel=1e-5)
        bought.append(pick)


@given(seed=st.integers(0, 1000), weight=st.sampled_from([0.0, 0.5]))
@settings(max_examples=10, deadline=None)
def test_the_design_gain_is_that_of_the_posterior(seed: int, weight: float) -> None:
    kernel = Kernel(feature_weight=weight, noise=0.4)
    prior = kernel.for_slide(toy_slide("one", 7, seed).public)
    posterior, kept = Posterior(prior, kernel.noise), DesignGain(prior, kernel.noise)
    for spot in np.random.default_rng(seed).permutation(49)[:30].tolist():
        posterior.observe(spot)
        kept.observe(spot)
    np.testing.assert_allclose(kept.gain, posterior.design_gain(), rtol=1e-9)
    np.testing.assert_allclose(kept.variance, posterior.variance, rtol=1e-9)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_schur_complements_are_what_inverting_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(40, 40))
    matrix = root @ root.T + 5 * np.eye(40)
    rows = rng.permutation(40)[:20]
    complement = SchurComplement(matrix)
    for row in rows:
        complement.eliminate(int(row))
    rest = np.setdiff1d(np.arange(40), rows)
    expected = 1 / np.linalg.inv(matrix)[np.ix_(rest, rest)].diagonal()
    others = [1 / np.linalg.inv(matrix[np.ix_([*rows, j], [*rows, j])])[-1, -1] for j in rest]
    np.testing.assert_allclose(complement.diagonal[rest], others, rtol=1e-9)
    assert (complement.diagonal[rest] >= expected - 1e-9).all()


def test_leverage_scores_are_the_hat_matrix_and_smoothing_a_mean_over_neighbours() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 3))
    centred = points - points.mean(axis=0)
    ridge = 0.2 * np.trace(centred.T @ centred) / 3
    hat = centred @ np.linalg.inv(centred.T @ centred + ridge * np.eye(3)) @ centred.T
    np.testing.assert_allclose(ridge_leverage(points, 0.2), hat.diagonal())
    place = np.stack(np.meshgrid(np.arange(3), np.arange(3)), axis=-1).reshape(-1, 2)
    scores = np.arange(9.0)
    near = cdist(place, place) < 1.5
    np.testing.assert_allclose(smooth(scores, place, 1), near @ scores / near.sum(axis=1))
    np.testing.assert_array_equal(smooth(scores, place, 0), scores)


def test_leverage_buys_what_stands_out() -> None:
    slide = toy_slide("one", 8, 1)
    public = slide.public
    env = make_env([slide], budget=10)
    scores = ridge_leverage(metric_space(public, 1.0), 0.1)
    scores = smooth(scores, public.pitch_coordinates, 1)
    top = run_episode(LeverageAgent("top"), env).picks
    assert sorted(scores[list(top)]) == pytest.approx(sorted(scores)[-10:])
    drawn = [scores[list(run_episode(LeverageAgent(), env, seed=s).picks)].mean() for s in range(8)]
    assert scores.mean() < np.mean(drawn) < scores[list(top)].mean()


def test_k_means_represents_the_slide_better_than_chance() -> None:
    slide = toy_slide("wide", 14, 1)
    env = make_env([slide], budget=20)
    points = metric_space(slide.public)

    def distance(agent: Any) -> Any:
        picks = [list(run_episode(agent, env, seed=seed).picks) for seed in range(3)]
        return np.mean([(cdist(points, points[p], "sqeuclidean")).min(axis=1) for p in picks])

    chance = distance(RandomAgent())
    assert distance(KMeansAgent()) < 0.85 * chance
    assert distance(FacilityLocationAgent()) < distance(KMeansAgent()) * 1.05
    assert distance("typiclust") < 0.9 * chance


def test_a_drawn_field_has_the_moments_of_the_posterior() -> None:
    slide = toy_slide("one", 5, 1)
    kernel = Kernel(length=1.5, noise=0.2)
    prior = kernel.for_slide(slide.public)
    spots = np.array([3, 12, 20, 21])
    known = Returned(spots, slide.hidden.embedding[spots].astype(np.float64))
    rng = np.random.default_rng(0)
    factor = low_rank(prior, 25)
    draws = np.stack([draw_field(factor, known, kernel.noise, rng) for _ in range(4000)])
    mean, scale = known.embedding.mean(axis=0), known.embedding.std(axis=0)
    expected = mean + posterior_mean(
        prior[np.ix_(spots, spots)], prior[:, spots], known.embedding - mean, kernel.noise
    )
    system = prior[np.ix_(spots, spots)] + kernel.noise * np.eye(4)
    left = (prior - prior[:, spots] @ np.linalg.solve(system, prior[spots])).diagonal()
    np.testing.assert_allclose(draws.mean(axis=0), expected, atol=0.08 * scale.max())
    np.testing.assert_allclose(draws.var(axis=0), np.outer(left, scale**2), rtol=0.15, atol=1e-6)


def test_newness_is_the_rise_of_the_expected_states_or_the_distance() -> None:
    rng = np.random.default_rng(0)
    reference = toy_reference()
    known, fresh = rng.normal(size=(5, 4)), rng.normal(size=(7, 4))

    def coverage(rows: Any) -> Any:
        shares = state_shares(rows, reference.states, reference.sharing_width)
        return (1 - (1 - shares).prod(axis=0)).sum()

    rise = [coverage(np.vstack([known, row])) - coverage(known) for row in fresh]
    np.testing.assert_allclose(newness(fresh, known, reference), rise, atol=1e-5)
    np.testing.assert_allclose(newness(fresh, known, None), cdist(fresh, known).min(axis=1))
    with pytest.raises(InputError, match=r"width 4, the measured spots one of 3"):
        newness(fresh[:, :3], known[:, :3], reference)


def half_and_half(side: int = 12) -> Slide:
    """The left half shows one and the same, the right half something new in every spot."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    right = grid[:, 0] >= side // 2
    embedding = np.where(right[:, None], rng.normal(size=(side**2, 4)), 0.01)
    return Slide.make(
        "halves",
        grid * 100.0,
        features=np.where(right, 1.0, -1.0)[:, None] + 0.1 * rng.normal(size=(side**2, 2)),
        counts=rng.poisson(5, (side**2, 6)),
        genes=list("abcdef"),
        embedding=embedding,
        types=np.full((side**2, 3), 1 / 3),
        type_names=["a", "b", "c"],
    )


@pytest.mark.parametrize("name", LEARN_FROM_FEEDBACK)
def test_a_learner_finds_the_half_that_is_worth_buying(name: str) -> None:
    """A sampler that learns nothing buys half of its spots there; SCRL as released does."""
    env = make_env([half_and_half()], budget=60)
    options = {"density": 0.0} if name == "scrl" else {}

    def share(agent: Any) -> Any:
        late = np.concatenate([run_episode(agent, env, seed=s).picks[30:] for s in range(2)])
        return np.mean(late % 12 >= 6)

    assert share(load_agent(name, **options)) > 0.58
    assert share("scrl-released") < 0.58


def test_scrl_heeds_the_weights_of_its_reward() -> None:
    env = make_env([half_and_half()], budget=60)
    weights = [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)]
    agents = [SCRLAgent(novelty=novelty, density=density) for novelty, density in weights]
    assert len({run_episode(agent, env, seed=1).picks for agent in agents}) == 3


def test_scrl_pays_for_newness_and_for_new_tissue() -> None:
    slide = half_and_half()
    agent = SCRLAgent(toy_reference(), density=0.0)
    agent.begin_episode(slide.public, 20, 1, 0)
    spots = np.array([0, 8, 9, 80])
    known = Returned(spots, slide.hidden.embedding[spots].astype(np.float64))
    rise = [
        newness(known.embedding[[2 + k]], known.embedding[: 2 + k], toy_reference())[0]
        for k in (0, 1)
    ]
    paid = agent.rewards(slide.public, known, [9, 80])
    assert paid[1] - paid[0] == pytest.approx((rise[1] - rise[0]) / np.std(rise))
    agent.novelty, agent.density = 0.0, 1.0
    near, far = agent.rewards(slide.public, known, [9, 80])
    assert near < far  # spot 8 covers most of what spot 9 reaches


def test_scrl_as_released_is_uniform_chance() -> None:
    env = make_env()
    for seed in range(3):
        released = run_episode("scrl-released", env, slide="one", seed=seed)
        assert released.picks == run_episode("random", env, slide="one", seed=seed).picks


def test_posterior_sampling_with_a_reference_buys_other_spots_than_without() -> None:
    env = make_env()
    played = [
        run_episode(PosteriorSamplingAgent(reference), env, slide="one").picks
        for reference in (None, toy_reference())
    ]
    assert played[0] != played[1]


@pytest.mark.parametrize(
    ("name", "module"), [("typiclust", "clusters"), ("geosketch", "sketching")]
)
def test_a_missing_library_is_named_before_anything_is_bought(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"agents.baselines.{module}.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'scr2st\[baselines\]'") as told:
        load_agent(name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("k-means", {"feature_weight": 2}, r"\[0, 1\]"),
        ("leverage", {"choice": "best"}, "'sampled' or 'top'"),
        ("leverage", {"ridge": 0}, "positive"),
        ("scrl", {"batch": 1}, ">= 2"),
        ("posterior-sampling", {"rank": 0}, "at least 1"),
        ("ensemble-uncertainty", {"n_members": 1}, ">= 2"),
        ("mutual-information", {"kernels": 1}, "kernels"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as told:
        load_agent(name, **options)
    assert "\n" not in str(told.value)


def test_a_sketch_of_a_lattice_prints_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    from geosketch import gs

    slide = imageless(toy_slide("one", 9, 1))
    gs(metric_space(slide.public), 5, seed=0)
    assert "Max iterations" in capsys.readouterr().err
    assert len(run_episode("geosketch", make_env([slide], budget=5)).picks) == 5
    assert capsys.readouterr().err == ""


ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "my_agent_package"
PLAY = """
import sys
sys.path.insert(0, {installed!r})
import gymnasium, agents, scr2st_env
assert "boundary" in agents.agent_names()
env = gymnasium.make("SpotSampling-v0", budget=0.1)
table = agents.evaluate(["boundary", agents.load_agent("random")], env, seeds=[0])
print(*dict.fromkeys(table.agent), (table.spent == table.budget).all(), table.wasted.sum())
"""


def test_the_example_package_is_an_agent_once_it_is_installed(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(EXAMPLE, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    flags = ["--no-deps", "--no-build-isolation", "--target", str(installed), str(source)]
    for command in ([*pip, *flags], [sys.executable, "-c", PLAY.format(installed=str(installed))]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["boundary", "random", "True", "0"]


def test_every_agent_has_its_line_in_the_docs() -> None:
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    assert [name for name in BUILT_IN if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", ["design", "mutual-information", "posterior-sampling"])
def test_a_benchmark_hands_its_fitted_kernel_to_any_agent_that_takes_one(
    name: str, tmp_path: Path
) -> None:
    kernel = Kernel(length=2.5)
    assert make_buyer(f"{name}:fitted", tmp_path, [], kernel).kernel == kernel
    assert make_buyer(name, tmp_path, [], kernel).kernel != kernel
    assert not origin_unchecked(f"{name}:fitted")
    with pytest.raises(InputError, match="'random'"):
        make_buyer("random:fitted", tmp_path, [], kernel)


def test_in_a_benchmark_the_atlas_guides_scrl_alone(tmp_path: Path) -> None:
    """Posterior sampling collects more without it: the stronger rival is the one to beat."""
    reference = toy_reference()
    assert make_buyer("scrl", tmp_path, [], Kernel(), reference).reference is reference
    assert make_buyer("scrl", tmp_path, [], Kernel()).reference is None
    for name in ("posterior-sampling", "posterior-sampling:fitted"):
        assert make_buyer(name, tmp_path, [], Kernel(), reference).reference is None


def test_a_benchmark_hands_its_oracles_what_they_refer_to(tmp_path: Path) -> None:
    reference, kernel, genes = toy_reference(), Kernel(length=2.5), ["g1", "g2"]
    weights = {"states": 0.0, "types": 0.0, "density": 2.0}
    for name in ("oracle", "oracle:denoised"):
        oracle = make_buyer(name, tmp_path, genes, kernel, reference, weights)
        assert (oracle.name, oracle.kernel, oracle.genes) == (name, kernel, genes)
        assert oracle.is_oracle
    for name in ("reward-oracle", "reward-oracle:denoised"):
        oracle = make_buyer(name, tmp_path, genes, kernel, reference, weights)
        assert (oracle.name, oracle.reference) == (name, reference)
        assert [(term.name, term.weight) for term in oracle.reward.terms] == [("density", 2.0)]
        assert oracle.is_oracle
