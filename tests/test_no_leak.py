"""Nothing that an agent sees depends on the expression of spots that were not measured yet.

One exception, on files of the archive: spots that failed sequencing are not for sale by default.
"""

import gc
import types
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st

from scr2st_env import RewardWeights, Slide, SpotSamplingEnv

REFERENCE = toy_reference()
SLIDES = [toy_slide("one", 6, 1), toy_slide("two", 5, 2)]
BUDGET = 9
PUBLIC_TERMS = RewardWeights(hard_states=1.0, soft_states=1.0, information=1.0)
ALL_TERMS = replace(PUBLIC_TERMS, prediction=1.0)


def resequenced(slide: Slide, measured: Sequence[int], seed: int = 99) -> Slide:
    """The same section, had other expression been found at every spot but ``measured``."""
    rng = np.random.default_rng(seed)
    public, hidden = slide.public, slide.hidden
    counts = hidden.counts.toarray()
    embedding, composition = hidden.embedding.copy(), hidden.types.copy()
    unmeasured = np.setdiff1d(np.arange(slide.n_spots), measured)
    counts[unmeasured] = rng.poisson(30, size=counts[unmeasured].shape)
    embedding[unmeasured] = 5 * rng.normal(size=embedding[unmeasured].shape)
    composition[unmeasured] = rng.dirichlet(np.ones(3), size=len(unmeasured))
    return Slide.make(
        slide.name,
        public.coordinates,
        features=public.features,
        counts=counts,
        genes=hidden.genes.tolist(),
        embedding=embedding,
        types=composition,
        type_names=hidden.type_names,
        patient=public.patient,
        encoder=public.encoder,
    )


def environment(slides: Sequence[Slide], reward: Any = PUBLIC_TERMS, **options: Any) -> Any:
    return SpotSamplingEnv(
        slides,
        REFERENCE,
        budget=BUDGET,
        initial={"one": [7, 8]},
        excluded={"one": [0, 1]},
        reward=reward,
        render_mode="rgb_array",
        **options,
    )


def seen(env: SpotSamplingEnv, actions: Sequence[int], *, with_rewards: bool = True) -> list[Any]:
    """Everything that an agent could look at while it plays."""
    record: list[Any] = [env.reset(seed=3, options={"slide": "one"}), env.render()]
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        info.pop("privileged", None)
        record += [observation, info, terminated, truncated, env.action_masks(), env.render()]
        record += [env.public_slide.fingerprint, *([reward] if with_rewards else [])]
    return record


def measured_after(actions: Sequence[int], round_size: int) -> list[int]:
    n_back = len(actions) if len(actions) == BUDGET else len(actions) // round_size * round_size
    return [7, 8, *(spot for spot in actions[:n_back] if spot not in (0, 1))]


episodes = given(
    actions=st.lists(st.integers(0, 35), min_size=1, max_size=BUDGET),
    round_size=st.sampled_from([1, 2, 4]),
    feedback=st.booleans(),
    mode=st.sampled_from(["full", "compact", "picks"]),
)


@settings(max_examples=60, deadline=None)
@episodes
def test_what_is_seen_depends_on_measured_spots_alone(
    actions: list[int], round_size: int, feedback: bool, mode: str
) -> None:
    """At any moment: change all that is not measured by then, and all that was seen stays."""
    options = {"round_size": round_size, "feedback": feedback, "observation": mode}
    other = resequenced(SLIDES[0], measured_after(actions, round_size))
    one, another = (environment([first, SLIDES[1]], **options) for first in (SLIDES[0], other))
    assert data_equivalence(seen(one, actions), seen(another, actions), exact=True)
    assert one.observation_space == another.observation_space
    assert one.action_space == another.action_space


@settings(max_examples=20, deadline=None)
@episodes
def test_the_privileged_term_shows_in_the_reward_alone(
    actions: list[int], round_size: int, feedback: bool, mode: str
) -> None:
    options = {"round_size": round_size, "feedback": feedback, "observation": mode}
    other = resequenced(SLIDES[0], measured_after(actions, round_size))
    records = [
        seen(environment([slide, SLIDES[1]], ALL_TERMS, **options), actions, with_rewards=False)
        for slide in (SLIDES[0], other)
    ]
    assert data_equivalence(*records, exact=True)


@pytest.mark.parametrize("reward", [PUBLIC_TERMS, "released"])
def test_a_spot_that_is_measured_does_show(reward: Any) -> None:
    """The test above can fail: feedback and rewards do follow what was measured."""
    other = resequenced(SLIDES[0], [7, 8])
    one, another = (
        environment([slide, SLIDES[1]], reward, feedback=True) for slide in (SLIDES[0], other)
    )
    for env in (one, another):
        env.reset(seed=3, options={"slide": "one"})
    first, second = one.step(20), another.step(20)
    assert not np.array_equal(first[0]["measured"], second[0]["measured"])
    assert first[1] != second[1]


@pytest.mark.parametrize("mode", ["full", "compact", "picks"])
def test_a_live_slide_looks_like_a_retrospective_one(mode: str) -> None:
    """No hidden part at all: the same observations, masks and pictures, without a reward."""
    live, past = (
        environment([slide, SLIDES[1]], observation=mode) for slide in (SLIDES[0].live(), SLIDES[0])
    )
    assert live.observation_space == past.observation_space
    for env in (live, past):
        env.reset(seed=3, options={"slide": "one"})
    for action in (20, 21, 21, 0, 30, 5, 12, 33, 2):
        one, other = live.step(action), past.step(action)
        assert data_equivalence(one[0], other[0], exact=True)
        assert one[2:4] == other[2:4]
        assert np.array_equal(live.action_masks(), past.action_masks())
        assert np.array_equal(live.render(), past.render())
        assert one[1] == 0.0


def as_anndata(slide: Slide) -> anndata.AnnData:
    adata = anndata.AnnData(slide.hidden.counts)
    adata.var_names = slide.hidden.genes
    adata.obsm["spatial"] = slide.public.coordinates
    adata.obsm["X_patch"] = slide.public.features
    adata.obsm["X_cell"] = slide.hidden.embedding
    adata.obsm["X_type"] = slide.hidden.types
    adata.uns["X_type_names"] = list(slide.hidden.type_names)
    adata.uns["X_patch_encoder"] = slide.public.encoder
    adata.uns["spatial"] = {slide.name: {}}
    return adata


def written(adata: anndata.AnnData, folder: Path) -> str:
    folder.mkdir()
    adata.write_h5ad(folder / "one.h5ad")
    return str(folder / "one.h5ad")


def test_other_counts_in_the_file_change_nothing(tmp_path: Path) -> None:
    """The same through AnnData and the disk, everything rebuilt."""
    actions = [14, 20, 3, 3, 35]
    records = []
    for number, slide in enumerate((SLIDES[0], resequenced(SLIDES[0], [7, 8, *actions]))):
        path = written(as_anndata(slide), tmp_path / str(number))
        records.append(seen(environment([path], feedback=True), actions))
    assert data_equivalence(*records, exact=True)


def failed(adata: anndata.AnnData, spots: Sequence[int], totals: Sequence[int]) -> anndata.AnnData:
    """The same file, had sequencing all but failed at some spots."""
    counts = adata.X.toarray()
    counts[spots] = 0
    counts[spots, 0] = totals
    other = adata.copy()
    other.X = counts
    return other


failures = st.dictionaries(st.integers(0, 35), st.integers(0, 4), min_size=1)


@settings(max_examples=25, deadline=None)
@given(
    actions=st.lists(st.integers(0, 35), min_size=1, max_size=BUDGET),
    round_size=st.sampled_from([1, 2]),
    failing=failures,
)
def test_not_even_failed_sequencing_shows_when_all_spots_can_be_bought(
    actions: list[int], round_size: int, failing: dict[int, int]
) -> None:
    measured = measured_after(actions, round_size)
    failing = {spot: total for spot, total in failing.items() if spot not in measured}
    past = as_anndata(SLIDES[0])
    other = failed(as_anndata(resequenced(SLIDES[0], measured)), [*failing], [*failing.values()])
    records = [
        seen(environment([adata], feedback=True, round_size=round_size, min_counts=0), actions)
        for adata in (past, other)
    ]
    assert data_equivalence(*records, exact=True)


@settings(max_examples=25, deadline=None)
@given(
    actions=st.lists(st.integers(9, 20), min_size=1, max_size=BUDGET),
    failing=st.dictionaries(st.integers(21, 35), st.integers(0, 4), min_size=1, max_size=10),
)
def test_by_default_failed_spots_show_in_what_is_available_and_nowhere_else(
    actions: list[int], failing: dict[int, int]
) -> None:
    past = as_anndata(SLIDES[0])
    envs = [
        environment([adata], feedback=True)
        for adata in (past, failed(past, [*failing], [*failing.values()]))
    ]
    steps = [[env.reset(seed=3), *(env.step(action) for action in actions)] for env in envs]
    for one, other in zip(*steps, strict=True):
        for mask, lacking in (
            (one[0].pop("available"), other[0].pop("available")),
            (one[-1].pop("action_mask"), other[-1].pop("action_mask")),
        ):
            assert set(np.flatnonzero(mask != lacking)) == set(failing)
            assert not lacking[[*failing]].any()
        assert data_equivalence(one, other, exact=True)


def test_a_slide_measured_round_by_round_plays_like_one_measured_at_once(tmp_path: Path) -> None:
    """The workflow of docs/environment.md, through files."""
    full = as_anndata(SLIDES[0])
    options = {"round_size": 3, "feedback": True, "budget": 9, "min_counts": 0}
    picks = [20, 14, 3, 35, 9, 28, 17, 30, 11]
    past = SpotSamplingEnv([full], REFERENCE, **options)
    expected = [past.reset(seed=0), *(past.step(pick) for pick in picks)]

    public = anndata.AnnData(obs=full.obs, obsm={k: full.obsm[k] for k in ("spatial", "X_patch")})
    public.uns["X_patch_encoder"] = full.uns["X_patch_encoder"]
    path = written(public, tmp_path / "before")
    live = SpotSamplingEnv([path], REFERENCE, **options)
    seen_live = [live.reset(seed=0), *(live.step(pick) for pick in picks[:3])]
    for one, other in zip(seen_live[:3], expected, strict=False):
        assert data_equivalence(one[0], other[0], exact=True)

    for n_back in (3, 6, 9):
        measured = full.copy()
        unknown = np.setdiff1d(np.arange(36), picks[:n_back])
        for table in (measured.obsm["X_cell"], measured.obsm["X_type"]):
            table[unknown] = 0
        measured = failed(measured, unknown, [0] * len(unknown))
        path = written(measured, tmp_path / str(n_back))
        env = SpotSamplingEnv([path], REFERENCE, **options)
        replay = [env.reset(seed=0), *(env.step(pick) for pick in picks[:n_back])]
        assert data_equivalence(replay, expected[: n_back + 1], exact=True)
        assert env.public_slide.fingerprint == live.public_slide.fingerprint


def reachable(start: object) -> set[int]:
    """Identities of all objects that references lead to, types and modules left aside."""
    found: set[int] = set()
    waiting = [start]
    while waiting:
        item = waiting.pop()
        is_code = isinstance(item, type | types.ModuleType | types.FunctionType)
        if id(item) not in found and not is_code:
            found.add(id(item))
            waiting.extend(gc.get_referents(item))
            base = getattr(item, "base", None)
            waiting.extend([] if base is None else [base])
    return found


def test_no_way_leads_from_what_agents_hold_to_what_is_hidden() -> None:
    env = environment(SLIDES, feedback=True)
    observation, info = env.reset(seed=0, options={"slide": "one"})
    observation, _, _, _, info = env.step(20)
    hidden = env.slide.hidden
    secrets = {id(part) for part in (hidden, hidden.counts, hidden.embedding, hidden.types)}
    for held in (env.public_slide, observation, info, env.observation_space, env.action_masks()):
        assert not secrets & reachable(held)
    assert secrets & reachable(env.slide)
