"""The spot policy: what it computes, and that neither the order nor the number of spots matters."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st
from minibatches import selections

from agents import DesignAgent, RewardOracle, SpotAgent, run_episode
from agents.policy.bank import TENSORS, SlideBank
from agents.policy.context import (
    FAR,
    PRIORS,
    design_gain,
    n_spot_inputs,
    posterior_variance,
    spot_context,
    standardise,
)
from agents.policy.inputs import SEEN, FeatureProjection, InputSettings, describe
from agents.policy.purchases import Purchases
from agents.policy.sb3 import SpotPolicy
from agents.spot_policy import bank_of, spot_policy_kwargs
from agents.start import untrained_agent
from agents.starting_point import CANDIDATES, by_prior_alone, choose_prior, scores_of
from scr2st_env import InputError, Kernel, Slide
from scr2st_env.envs.spot_sampling import SpotSamplingEnv
from scr2st_env.gaussian_process import Posterior, low_rank

JOINT = Kernel(length=2.0, feature_weight=0.4)
FULL = InputSettings(kernel=JOINT, rank=1000)


def make_env(slides: list[Slide], **options: Any) -> SpotSamplingEnv:
    defaults = {"budget": 0.2, "reward": {"states": 0, "types": 0}, "observation": "compact"}
    return SpotSamplingEnv(slides, toy_reference(), **(defaults | options))


def restless(agent: SpotAgent, seed: int = 0) -> SpotAgent:
    """The agent with every weight drawn anew, as if it had learned something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in agent.network.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return agent


@given(bought=st.sets(st.integers(0, 35), max_size=20), noise=st.floats(0.1, 5.0))
@settings(max_examples=25, deadline=None)
def test_the_design_gain_at_full_rank_is_the_exact_one(bought: set[int], noise: float) -> None:
    prior = JOINT.for_slide(toy_slide(side=6).public)
    exact = Posterior(prior, noise)
    for spot in bought:
        exact.observe(spot)
    mask = torch.zeros(2, 36, dtype=torch.float64)
    mask[1, sorted(bought)] = 1
    factor = torch.from_numpy(low_rank(prior, 36))
    gain, variance = design_gain(factor, Purchases.of(mask), noise)
    np.testing.assert_allclose(gain[1], exact.design_gain(), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(variance[1], exact.variance, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(gain[0], Posterior(prior, noise).design_gain(), rtol=1e-8)


@pytest.mark.parametrize("kernel", [Kernel(), JOINT])
def test_untrained_and_deterministic_it_is_the_design_agent(kernel: Kernel) -> None:
    slide = toy_slide("one", 9, 1)
    env = make_env([slide], excluded={"one": range(0, 81, 7)}, initial={"one": [20]})
    spot = untrained_agent([slide.public], InputSettings(kernel=kernel, rank=81))
    exact = DesignAgent(kernel)
    exact.begin_episode(slide.public, 16, 1, 0)
    observation, _ = env.reset(seed=0)
    spot.begin_episode(slide.public, 16, 1, 0)
    done = False
    while not done:
        pick, _ = spot.predict(observation, deterministic=True)
        exact.predict(observation)
        available = np.asarray(observation["available"]).astype(bool)
        gain = np.where(available, exact.posterior.gain, 0)
        assert gain[pick] >= gain.max() * (1 - 1e-4)
        observation, _, done, _, _ = env.step(pick)


def test_untrained_it_prefers_what_the_design_prefers_and_still_explores() -> None:
    slide = toy_slide("one", 9, 1)
    env = make_env([slide], reward={"states": 0, "types": 0, "density": 0, "information": 1})
    agent = untrained_agent([slide.public])
    episodes = [run_episode(agent, env, seed=seed, deterministic=False) for seed in range(6)]
    chance = [run_episode(_random, env, seed=seed).reward for seed in range(6)]
    assert len({episode.picks for episode in episodes}) == 6
    assert min(episode.reward for episode in episodes) > np.mean(chance)


def _random(_: Any, action_mask: Any, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(action_mask)))


GROUPS = ("seen", "posterior", "distances")
EVERYTHING = InputSettings(distances=True)
STATIC = InputSettings(seen=False, posterior=False, prior=False)


@given(seed=st.integers(0, 10_000), inputs=st.sampled_from([InputSettings(), EVERYTHING, STATIC]))
@settings(max_examples=15, deadline=None)
def test_a_permutation_of_the_spots_permutes_the_logits(seed: int, inputs: InputSettings) -> None:
    rng = np.random.default_rng(seed)
    slide = toy_slide("one", 6, 1)
    order = rng.permutation(36)
    public = slide.public
    shuffled = Slide.make(
        "one",
        public.coordinates[order],
        features=public.features[order],
        spot_names=public.spot_names[order],
        encoder="toy",
    )
    agent = restless(untrained_agent([public], inputs), seed)
    bought, available = rng.random(36) < 0.2, rng.random(36) < 0.6
    progress = np.array([0.4, 0.2])
    agent.begin_episode(public, 7, 1, 0)
    logits = agent.logits(bought, available & ~bought, progress)
    agent.begin_episode(shuffled.public, 7, 1, 0)
    again = agent.logits(bought[order], (available & ~bought)[order], progress)
    np.testing.assert_allclose(again, logits[order], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("inputs", [InputSettings(), EVERYTHING, STATIC])
def test_features_purchases_and_progress_all_reach_the_logits(inputs: InputSettings) -> None:
    slide = toy_slide("one", 6, 1)
    agent = restless(untrained_agent([slide.public], inputs))
    bought, available = np.zeros(36, bool), np.ones(36, bool)
    bought[3], available[3] = True, False
    agent.begin_episode(slide.public, 7, 1, 0)
    logits = agent.logits(bought, available, np.array([0.4, 0.0]))
    assert np.abs(agent.logits(bought, available, np.array([0.9, 0.0])) - logits).max() > 1e-4
    bought[20], available[20] = True, False
    assert np.abs(agent.logits(bought, available, np.array([0.4, 0.0])) - logits).max() > 1e-4
    recoloured = slide.with_features(slide.public.features[::-1], "toy")
    agent.begin_episode(recoloured.public, 7, 1, 0)
    assert np.abs(agent.logits(bought, available, np.array([0.4, 0.0])) - logits).max() > 1e-4


@pytest.mark.parametrize("inputs", [InputSettings(), EVERYTHING, STATIC])
def test_compact_and_full_observations_make_the_same_picks_on_slides_of_any_size(
    inputs: InputSettings,
) -> None:
    small = [toy_slide("one", 5, 1), toy_slide("two", 6, 2)]
    large = [toy_slide("large", 11, 4), toy_slide("wide", 8, 3)]
    agent = restless(untrained_agent([slide.public for slide in small], inputs))
    for name in ("large", "wide"):
        picks = [
            run_episode(agent, make_env(large, observation=mode), slide=name).picks
            for mode in ("compact", "full")
        ]
        assert picks[0] == picks[1]
        assert len(set(picks[0])) == {"large": 24, "wide": 13}[name]


def test_it_works_without_an_image_and_then_ignores_features() -> None:
    imaged = toy_slide("one", 7, 1)
    bare = imaged.with_features(np.zeros((49, 0)), "")
    agent = restless(untrained_agent([bare.public], InputSettings(kernel=JOINT)))
    assert agent.projection.n_components == 0
    picks = [run_episode(agent, make_env([slide])).picks for slide in (bare, imaged)]
    assert picks[0] == picks[1]


@pytest.mark.parametrize(("width", "encoder"), [(5, "toy"), (6, "another"), (0, "")])
def test_features_of_another_encoder_are_refused(width: int, encoder: str) -> None:
    agent = untrained_agent([toy_slide("one").public])
    other = toy_slide("two").with_features(np.ones((64, width)), encoder)
    with pytest.raises(InputError, match=r"slide 'two'.*trained on 6 by 'toy'"):
        run_episode(agent, make_env([other]))


def test_training_slides_must_be_encoded_alike() -> None:
    other = toy_slide("two").with_features(np.ones((64, 6)), "another")
    with pytest.raises(InputError, match=r"'two'.*encode all slides alike"):
        FeatureProjection.fit([toy_slide("one").public, other.public], 4)


def test_the_projection_whitens_the_training_slides() -> None:
    publics = [toy_slide(name, 8, seed).public for seed, name in enumerate("ab")]
    projection = FeatureProjection.fit(publics, 4)
    components = np.concatenate([projection.apply(public) for public in publics])
    np.testing.assert_allclose(np.cov(components, rowvar=False), np.eye(4), atol=1e-3)


def test_features_that_repeat_one_another_add_no_components() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 8))

    def repetitive(name: str, n_independent: int) -> Slide:
        values = rng.normal(size=(64, 8))
        if n_independent < 8:
            values = values[:, :n_independent] @ mixing[:n_independent]
        return toy_slide(name).with_features(values, "toy")

    projection = FeatureProjection.fit([repetitive("one", 3).public], 8)
    assert projection.n_components == 3
    other = projection.apply(repetitive("two", 8).public)
    assert np.abs(other).max() < 100  # a component of rounding errors would be in the thousands


def make_bank() -> tuple[list[Slide], SlideBank]:
    slides = [toy_slide("one", 5, 1), toy_slide("two", 7, 2)]
    projection = FeatureProjection.fit([slide.public for slide in slides], 4)
    inputs = [describe(slide.public, 5, InputSettings(), projection) for slide in slides]
    return slides, SlideBank(inputs, InputSettings())


def test_the_bank_never_reads_the_rows_of_another_slide() -> None:
    _, bank = make_bank()
    rows = torch.tensor([1, 0, 1])
    mask, available = torch.zeros(3, 60), torch.ones(3, 60)
    mask[:, 2] = 1
    weights = torch.ones(len(PRIORS))
    before = bank(rows, mask, available, torch.zeros(3, 2), weights)
    for name in TENSORS:
        bank.get_buffer(f"{name}_0").fill_(0.7)
    after = bank(rows, mask, available, torch.zeros(3, 2), weights)
    assert after.which.tolist() == [1, 0, 1]
    for name in ("static", "real"):
        assert torch.equal(getattr(before, name)[1], getattr(after, name)[1])
    for name in ("dynamic", "prior"):
        old, new = getattr(before, name), getattr(after, name)
        torch.testing.assert_close(old[[0, 2]], new[[0, 2]])
        assert (new[1, :25] != old[1, :25]).any()
        assert (new[1, 25:] == 0).all()
        assert (new[[0, 2], 49:] == 0).all()
    assert after.real.sum(1).tolist() == [25, 49]
    assert (after.static[1, 49:] == 0).all()


def test_the_bank_knows_slides_by_their_fingerprint_not_their_name() -> None:
    slides, bank = make_bank()
    assert bank.row(slides[1].public.fingerprint, 5) == 1
    with pytest.raises(InputError, match="fingerprint"):
        bank.row(toy_slide("two", 7, 99).public.fingerprint, 5)
    with pytest.raises(InputError, match="for 6 measured spots"):
        bank.row(slides[1].public.fingerprint, 6)
    assert bank.state_dict() == {}


@pytest.mark.parametrize("groups", [(), GROUPS[:1], GROUPS[1:2], GROUPS[2:], GROUPS])
@pytest.mark.parametrize("n_features", [6, 0])
def test_the_number_of_inputs_is_what_the_bank_makes(
    groups: tuple[str, ...], n_features: int
) -> None:
    public = toy_slide("one", 5).with_features(np.ones((25, n_features)).cumsum(0), "toy").public
    projection = FeatureProjection.fit([public], 4)
    chosen = InputSettings(**{name: name in groups for name in GROUPS})
    bank = SlideBank([describe(public, 5, chosen, projection)], chosen)
    masks = torch.zeros(1, 25), torch.ones(1, 25)
    batch = bank(torch.tensor([0]), *masks, torch.zeros(1, 2), torch.zeros(len(PRIORS)))
    n_inputs = batch.static.shape[-1] + batch.dynamic.shape[-1]
    assert n_inputs == n_spot_inputs(chosen, projection)
    assert batch.is_static == (not groups)


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=12))
@settings(deadline=None)
def test_standardising_looks_only_at_what_can_be_bought(values: list[float]) -> None:
    row = torch.tensor([[*values, 1e6]], dtype=torch.float64)
    over = torch.ones_like(row, dtype=torch.bool)
    over[0, -1] = False
    scaled = standardise(row, over)[0, :-1].numpy()
    assert abs(scaled.mean()) < 1e-6
    spread = np.std(values)
    assert np.std(scaled) == pytest.approx(min(1.0, spread / 1e-4), abs=1e-3)


@pytest.mark.parametrize("inputs", [InputSettings(), EVERYTHING, STATIC])
def test_the_policy_in_maskable_ppo_agrees_with_the_agent(inputs: InputSettings) -> None:
    from sb3_contrib import MaskablePPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    slides = [toy_slide("one", 6, 1), toy_slide("two", 8, 2)]
    env = make_env(slides)
    agent = restless(untrained_agent([slide.public for slide in slides], inputs))
    bank = spot_policy_kwargs(agent, env)["bank"]
    model = MaskablePPO(
        SpotPolicy,
        DummyVecEnv([lambda: make_env(slides)]),
        policy_kwargs={"network": agent.network, "bank": bank},
        device="cpu",
    )
    assert model.policy.mlp_extractor is agent.network
    for slide in slides:
        assert run_episode(model, env, slide=slide.name).picks == (
            run_episode(agent, env, slide=slide.name).picks
        )
    observation, _ = env.reset(seed=0, options={"slide": "one"})
    tensors, _ = model.policy.obs_to_tensor(observation)
    distribution = model.policy.get_distribution(tensors, env.action_masks())
    assert distribution.distribution.probs[0, 36:].sum() == 0
    _, value, _ = model.policy(tensors, action_masks=env.action_masks())
    torch.testing.assert_close(value, model.policy.predict_values(tensors))


def test_a_model_refuses_slides_and_budgets_that_it_was_not_made_for() -> None:
    from sb3_contrib import MaskablePPO

    slides = [toy_slide("one", 6, 1), toy_slide("two", 6, 2)]
    env = make_env(slides)
    agent = untrained_agent([slide.public for slide in slides])
    model = MaskablePPO(
        SpotPolicy,
        env,
        policy_kwargs=spot_policy_kwargs(agent, env),
        device="cpu",
    )
    run_episode(model, env, slide="one")
    others = [
        make_env([toy_slide("one", 6, 9), slides[1]]),
        make_env(slides[::-1]),
        make_env(slides, budget=0.3),
        make_env([*slides, toy_slide("three", 6, 3)]),
    ]
    for other, name in zip(others, ["one", "one", "one", "three"], strict=True):
        with pytest.raises(InputError, match=f"slide '{name}', .* not what this model knows"):
            run_episode(model, other, slide=name)


def test_the_reach_of_the_policy_is_that_of_the_reward() -> None:
    slides = [toy_slide("one", 8, 1), toy_slide("two", 7, 2)]
    initial = {"one": range(0, 64, 3)}
    env = make_env(slides, budget=5, initial=initial)
    agent = restless(untrained_agent([slide.public for slide in slides]))
    bank = spot_policy_kwargs(agent, env)["bank"]
    assert [n_measured for _, n_measured in bank.keys] == [5 + 22, 5]
    for _ in range(2):
        observation, _ = env.reset(options={"slide": "one"})
        agent.begin_episode(slides[0].public, 5, 1, 0)
        agent.predict(observation)
        row = agent.bank.row(slides[0].public.fingerprint, 5 + 22)
        torch.testing.assert_close(agent.bank.slide(row).unseen, bank.slide(0).unseen)
        described = agent.bank
        agent.predict(env.step(1)[0])
        assert agent.bank is described
    other = untrained_agent([slide.public for slide in slides])
    run_episode(other, env, slide="two")
    assert [n_measured for _, n_measured in other.bank.keys] == [5]


def test_the_policy_says_which_observation_it_needs() -> None:
    from sb3_contrib import MaskablePPO

    slides = [toy_slide("one", 6, 1)]
    agent = untrained_agent([slides[0].public])
    bank = spot_policy_kwargs(agent, make_env(slides))["bank"]
    with pytest.raises(InputError, match="observation='compact'"):
        MaskablePPO(
            SpotPolicy,
            make_env(slides, observation="full"),
            policy_kwargs={"network": agent.network, "bank": bank},
            device="cpu",
        )


@given(bought=selections(36))
@settings(max_examples=25, deadline=None)
def test_the_posterior_variance_of_a_batch_is_the_exact_one(bought: list[set[int]]) -> None:
    prior = JOINT.for_slide(toy_slide(side=6).public)
    mask = torch.zeros(len(bought), 36, dtype=torch.float64)
    for row, spots in enumerate(bought):
        mask[row, sorted(spots)] = 1
    variance = posterior_variance(torch.from_numpy(prior), Purchases.of(mask), 0.1)
    for row, spots in enumerate(bought):
        exact = Posterior(prior, 0.1)
        for spot in spots:
            exact.observe(spot)
        np.testing.assert_allclose(variance[row], exact.variance, rtol=1e-7, atol=1e-10)


@given(bought=selections(36))
@settings(max_examples=25, deadline=None)
def test_what_changes_is_what_its_formula_says(bought: list[set[int]]) -> None:
    public = toy_slide(side=6).public
    projection = FeatureProjection.fit([public], 4)
    slide = describe(public, 7, EVERYTHING, projection)
    mask = torch.zeros(len(bought), 36)
    for row, spots in enumerate(bought):
        mask[row, sorted(spots)] = 1
    changing, _ = spot_context(slide, EVERYTHING, mask, 1 - mask, torch.zeros(len(PRIORS)))
    looks = projection.apply(public).astype(np.float64)
    pairs = [(a - b) @ (a - b) for a in looks for b in looks]
    n_scales = len(slide.similarity)
    for row, spots in enumerate(bought):
        for scale, similarity in enumerate(slide.similarity.double().numpy()):
            unseen = np.prod([1 - SEEN * similarity[spot] for spot in spots] or [np.ones(36)], 0)
            own, shown = changing[row, :, scale], changing[row, :, n_scales + scale]
            np.testing.assert_allclose(own, np.log(unseen).clip(-3), atol=1e-4)
            typical = similarity.sum(1).mean()
            np.testing.assert_allclose(
                shown, np.log(unseen @ similarity / typical + 0.02), atol=1e-3
            )
        for values, points, unit in (
            (changing[row, :, -4], public.pitch_coordinates, 1.0),
            (changing[row, :, -3], looks, np.sqrt(np.mean(pairs))),
        ):
            nearest = [
                min([FAR, *(np.linalg.norm(point - points[spot]) / unit for spot in spots)])
                for point in points
            ]
            np.testing.assert_allclose(values, np.log(np.maximum(nearest, 0.1)), atol=1e-3)


def test_the_layers_give_what_they_give_spot_by_spot() -> None:
    """Without sharing what does not change and without a batch: one slide, one spot at a time."""
    slides = [toy_slide("one", 4, 1), toy_slide("two", 5, 2)]
    for inputs in (EVERYTHING, STATIC):
        agent = restless(untrained_agent([slide.public for slide in slides], inputs))
        network = agent.network
        described = [describe(s.public, 4, inputs, agent.projection) for s in slides]
        masks = (torch.rand(3, 25, generator=torch.Generator().manual_seed(0)) < 0.3).float()
        masks[1, 16:] = 0
        batch = SlideBank(described, inputs)(
            torch.tensor([1, 0, 1]), masks, 1 - masks, torch.rand(3, 2), torch.ones(len(PRIORS))
        )
        logits, values = network(batch)
        for row, n_spots in enumerate((25, 16, 25)):
            described_by = torch.cat([batch.static[batch.which[row]], batch.dynamic[row]], dim=-1)[
                :n_spots
            ]
            hidden = network.spot(described_by)
            bought = hidden[masks[row, :n_spots] > 0].mean(0)
            pooled = torch.cat([hidden.mean(0), hidden.amax(0), bought, batch.progress[row]])
            mixed = torch.relu(network.mix_spot(hidden) + network.mix_pool(pooled))
            greedy = batch.prior[row, :n_spots] @ network.prior
            greedy = greedy + network.direct(described_by)[:, 0]
            expected = network.prior_strength * greedy + network.residual(mixed)[:, 0]
            torch.testing.assert_close(logits[row, :n_spots], expected, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(values[row], network.value(pooled), rtol=1e-4, atol=1e-4)


def test_the_priors_that_cover_buy_what_pays_the_spatial_density_most() -> None:
    slide = toy_slide("one", 9, 1)
    density = {"states": 0, "types": 0, "density": 1}
    env = make_env([slide], budget=9, reward=density)
    agent = untrained_agent([slide.public])
    paid = {}
    for name, weights in zip(PRIORS, torch.eye(len(PRIORS)), strict=True):
        agent.network.prior.copy_(weights)
        paid[name] = run_episode(agent, env).reward
    best = run_episode(RewardOracle(reward=density), env).reward
    assert paid["cover"] >= best - 0.02
    assert paid["plan"] == max(paid.values()) >= best
    assert paid["cover"] == max(paid[name] for name in PRIORS if name != "plan")


def test_the_prior_that_earns_most_is_chosen() -> None:
    slides = [toy_slide("one", 8, 1), toy_slide("two", 7, 2)]
    agent = untrained_agent([slide.public for slide in slides])
    for reward, chosen in (({"density": 1}, "plan"), ({"information": 1}, None)):
        env = make_env(slides, reward={"states": 0, "types": 0, "density": 0} | reward)
        earned = []
        for weights in CANDIDATES:
            agent.network.prior.copy_(weights)
            earned.append(scores_of(agent, env).mean())
        choose_prior(agent, partial(scores_of, env=env))
        assert scores_of(agent, env).mean() == max(earned)
        assert chosen is None or agent.network.prior[PRIORS.index(chosen)] == 1


@pytest.mark.parametrize("inputs", [InputSettings(), EVERYTHING, STATIC])
def test_what_only_learning_uses_has_no_say_before_it(inputs: InputSettings) -> None:
    slides = [toy_slide("one", 7, 1), toy_slide("two", 8, 2)]
    env = make_env(slides)
    agent = untrained_agent([slide.public for slide in slides], inputs)
    agent.bank = bank_of(agent, env)
    alone = by_prior_alone(agent)
    for weights in (*CANDIDATES, torch.zeros(len(PRIORS))):
        agent.network.prior.copy_(weights)
        for slide, deterministic in (("one", True), ("two", False)):
            picks = [
                run_episode(player, env, slide=slide, seed=3, deterministic=deterministic).picks
                for player in (agent, alone)
            ]
            assert picks[0] == picks[1]
