"""The spot policy in PPO, A2C and DQN, which take no masks: it reads what can be bought."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import toy_reference, toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from test_training import TYPES, rare_type_slide

from agents import (
    PlainSpotPolicy,
    SpotAgent,
    SpotPolicy,
    SpotQPolicy,
    SpotSamplingVecEnv,
    load_agent,
    make_spot_agent,
    run_episode,
    spot_policy_kwargs,
)
from agents.isolation import isolated_randomness
from agents.policy.inputs import InputSettings
from agents.policy.plain import IMPOSSIBLE
from scr2st_env import InputError, Slide
from scr2st_env.envs.spot_sampling import SpotSamplingEnv

OWN_EXPLORATION = {
    "learning_starts": 0,
    "exploration_initial_eps": 0.0,
    "exploration_final_eps": 0.0,
}
ROLLOUT: dict[Any, dict[str, Any]] = {
    PPO: {"n_steps": 16, "batch_size": 16, "n_epochs": 1},
    A2C: {"n_steps": 16},
    DQN: {"buffer_size": 200, "train_freq": 2, **OWN_EXPLORATION},
}
POLICY = {PPO: PlainSpotPolicy, A2C: PlainSpotPolicy, DQN: SpotQPolicy}
ALGORITHMS = pytest.mark.parametrize("algorithm", [PPO, A2C, DQN])
FORMS = pytest.mark.parametrize("algorithm", [PPO, DQN])


def make_env(slides: list[Slide], **options: Any) -> SpotSamplingEnv:
    defaults = {"budget": 6, "reward": {"states": 0, "types": 0}, "observation": "compact"}
    return SpotSamplingEnv(slides, toy_reference(), **(defaults | options))


def restless_agent(env: SpotSamplingEnv, seed: int = 0, **options: Any) -> SpotAgent:
    """An agent with every weight drawn anew, as if it had learned something."""
    agent = make_spot_agent(env, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in agent.network.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return agent


def make_model(algorithm: Any, env: Any, agent: SpotAgent, **options: Any) -> Any:
    policy = spot_policy_kwargs(agent, env) | options.pop("policy", {})
    arguments = ROLLOUT[algorithm] | options
    return algorithm(
        POLICY[algorithm], env, policy_kwargs=policy, seed=0, device="cpu", **arguments
    )


def scores(model: Any, observation: dict[str, Any]) -> torch.Tensor:
    """The log probabilities or the Q-values of all spots, (B, N)."""
    tensors, _ = model.policy.obs_to_tensor(observation)
    with torch.no_grad():
        if isinstance(model, DQN):
            return model.q_net(tensors)
        return model.policy.get_distribution(tensors).distribution.logits


def an_observation(
    env: SpotSamplingEnv, rng: np.random.Generator, slide: str = "one"
) -> dict[str, Any]:
    """In the middle of an episode, with many spots that cannot be bought."""
    observation, _ = env.reset(options={"slide": slide})
    n_spots = env.slide.public.n_spots
    mask, available = (np.zeros_like(observation["mask"]) for _ in range(2))
    mask[:n_spots] = rng.random(n_spots) < 0.2
    available[:n_spots] = (rng.random(n_spots) < 0.3) & (mask[:n_spots] == 0)
    available[rng.integers(n_spots)] = 1
    share = np.array([0.4], np.float32)
    return observation | {"mask": mask, "available": available, "remaining": share}


@FORMS
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_a_permutation_of_the_spots_permutes_what_the_policy_says(
    algorithm: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(36)
    public = toy_slide("one", 6, 1).public
    shuffled = Slide.make(
        "one",
        public.coordinates[order],
        features=public.features[order],
        spot_names=public.spot_names[order],
        encoder="toy",
    )
    envs = [make_env([toy_slide("one", 6, 1)]), make_env([shuffled])]
    agent = restless_agent(envs[0], seed)
    seen = an_observation(envs[0], rng)
    again = seen | {name: seen[name][order] for name in ("mask", "available")}
    said = [
        scores(make_model(algorithm, env, agent), observation)[0]
        for env, observation in zip(envs, (seen, again), strict=True)
    ]
    can_buy = again["available"] > 0
    torch.testing.assert_close(
        said[1][can_buy], said[0][order.tolist()][can_buy], rtol=2e-3, atol=2e-3
    )


@FORMS
def test_neither_weights_nor_what_they_say_depend_on_the_number_of_spots(algorithm: Any) -> None:
    alone = make_env([toy_slide("one", 6, 1)])
    beside = make_env([toy_slide("one", 6, 1), toy_slide("large", 11, 4)])
    agent = restless_agent(alone)
    small, large = (make_model(algorithm, env, agent) for env in (alone, beside))
    shapes = [[weight.shape for weight in each.policy.parameters()] for each in (small, large)]
    assert shapes[0] == shapes[1]
    seen = an_observation(alone, np.random.default_rng(0))
    padded, _ = beside.reset(options={"slide": "one"})
    for name in ("mask", "available"):
        padded[name][:] = np.pad(seen[name], (0, 121 - 36))
    padded["remaining"] = seen["remaining"]
    said = scores(small, seen), scores(large, padded)
    torch.testing.assert_close(said[1][:, :36], said[0])
    assert said[1][:, 36:].max() < IMPOSSIBLE / 2
    assert len(set(run_episode(large, beside, slide="large").picks)) == 6


@FORMS
@given(seed=st.integers(0, 10_000), deterministic=st.booleans())
@settings(max_examples=20, deadline=None)
def test_what_cannot_be_bought_is_never_picked(
    algorithm: Any, seed: int, deterministic: bool
) -> None:
    rng = np.random.default_rng(seed)
    env = make_env([toy_slide("one", 6, 1), toy_slide("wide", 8, 2)])
    agent = restless_agent(env, seed)
    with torch.no_grad():
        agent.network.direct.weight[0, -2:] = torch.tensor([50.0, -50.0])  # mask and available
    model = make_model(algorithm, env, agent)
    seen = an_observation(env, rng, "one")
    many = {name: np.stack([value] * 50) for name, value in seen.items()}
    picks, _ = model.predict(many, deterministic=deterministic)
    assert (seen["available"][picks] == 1).all()


def test_probability_and_entropy_are_those_over_what_can_be_bought() -> None:
    env = make_env([toy_slide("one", 6, 1)])
    agent = restless_agent(env)
    model = make_model(PPO, env, agent)
    seen = an_observation(env, np.random.default_rng(0))
    can_buy = seen["available"] > 0
    agent.begin_episode(env.public_slide, 6, 1, 0)
    agent.n_measured = 6
    logits = agent.logits(seen["mask"] > 0, can_buy, np.array([0.4, 0.0]))
    expected = torch.log_softmax(torch.from_numpy(logits[can_buy]), 0)
    found = scores(model, seen)[0].double()
    torch.testing.assert_close(found[can_buy], expected, rtol=1e-4, atol=1e-4)
    assert (found[~can_buy].exp() == 0).all()
    tensors, _ = model.policy.obs_to_tensor(seen)
    action = torch.tensor([int(can_buy.argmax())])
    value, log_prob, entropy = model.policy.evaluate_actions(tensors, action)
    assert entropy.item() == pytest.approx(-float((expected.exp() * expected).sum()), abs=1e-4)
    assert log_prob.item() == pytest.approx(expected[0].item(), abs=1e-4)
    torch.testing.assert_close(value, model.policy.predict_values(tensors))


def test_q_values_are_the_value_of_the_state_and_what_a_spot_is_above_the_mean() -> None:
    env = make_env([toy_slide("one", 6, 1)])
    agent = restless_agent(env)
    model = make_model(DQN, env, agent, policy={"temperature": 0.5})
    seen = an_observation(env, np.random.default_rng(0))
    can_buy = torch.from_numpy(seen["available"] > 0)
    tensors, _ = model.policy.obs_to_tensor(seen)
    with torch.no_grad():
        logits, value = agent.network(model.q_net.extract_features(
            tensors, model.q_net.features_extractor
        ).batch)  # fmt: skip
    q_values = scores(model, seen)[0]
    assert q_values[can_buy].mean().item() == pytest.approx(value.item(), abs=1e-4)
    chances = torch.softmax(logits[0][can_buy], 0)
    torch.testing.assert_close(torch.softmax(q_values[can_buy] / 0.5, 0), chances)
    assert (q_values[~can_buy] == IMPOSSIBLE).all()
    many = {name: np.stack([array] * 4000) for name, array in seen.items()}
    with isolated_randomness(0):
        picks, _ = model.predict(many, deterministic=False)
    drawn = np.bincount(picks, minlength=36)[can_buy.numpy()] / 4000
    np.testing.assert_allclose(drawn, chances, atol=0.03)


def test_nothing_left_to_buy_leaves_the_target_finite() -> None:
    env = make_env([toy_slide("one", 6, 1)])
    model = make_model(DQN, env, restless_agent(env))
    seen = an_observation(env, np.random.default_rng(0))
    last = scores(model, seen | {"available": np.zeros(36, np.int8)})
    assert (0 * last.max(dim=1).values == 0).all()


@FORMS
def test_every_weight_is_moved(algorithm: Any) -> None:
    env = make_env([toy_slide("one", 6, 1)])
    agent = restless_agent(env)
    model = make_model(algorithm, env, agent)
    seen = an_observation(env, np.random.default_rng(0))
    tensors, _ = model.policy.obs_to_tensor(seen)
    action = torch.tensor([int(seen["available"].argmax())])
    if algorithm is DQN:
        loss = model.q_net(tensors)[0, action].sum()
    else:
        value, log_prob, entropy = model.policy.evaluate_actions(tensors, action)
        loss = (value.squeeze() + log_prob + entropy).sum()
    loss.backward()
    for name, weight in agent.network.named_parameters():
        raises_all_alike = name == "residual.bias"  # which changes no choice and no Q-value
        assert (weight.grad.abs().max() < 1e-6) == raises_all_alike, name


def test_the_target_network_has_weights_of_its_own() -> None:
    env = make_env([toy_slide("one", 6, 1)])
    agent = restless_agent(env)
    model = make_model(DQN, env, agent, target_update_interval=40)
    network, target = model.q_net.q_net, model.q_net_target.q_net
    assert network is agent.network
    start = [weight.clone() for weight in network.parameters()]
    model.learn(36)
    assert all(torch.equal(*pair) for pair in zip(start, target.parameters(), strict=True))
    assert not all(torch.equal(*pair) for pair in zip(start, network.parameters(), strict=True))
    model.learn(4, reset_num_timesteps=False)
    moved = zip(start, target.parameters(), strict=True)
    assert not all(torch.equal(*pair) for pair in moved)
    agent.network.prior.copy_(agent.network.prior.roll(1))
    assert target.prior is network.prior


@ALGORITHMS
def test_what_the_algorithm_learned_is_an_agent_that_safetensors_keep(
    algorithm: Any, tmp_path: Path
) -> None:
    slides = [toy_slide("one", 6, 1), toy_slide("two", 7, 2)]
    env = make_env(slides, feedback=True, round_size=2)
    agent = make_spot_agent(env)
    assert agent.settings.feedback
    model = make_model(algorithm, env, agent, learning_rate=0.03).learn(96)
    agent.save(tmp_path / "agent.safetensors")
    model.save(tmp_path / "model")
    players = [
        agent,
        SpotAgent.load(tmp_path / "agent.safetensors"),
        algorithm.load(tmp_path / "model", device="cpu"),
        load_agent(str(tmp_path / "model.zip"), execute_code=True),
    ]
    for slide in ("one", "two"):
        played = run_episode(model, env, slide=slide)
        assert played.wasted == 0
        assert all(run_episode(each, env, slide=slide).picks == played.picks for each in players)


def test_the_exploration_of_dqn_itself_wastes_purchases_and_that_of_the_policy_none() -> None:
    env = make_env([toy_slide("one", 4, 1)], budget=12)
    for exploration, is_wasteful in (({}, False), ({"exploration_initial_eps": 1.0}, True)):
        wasted: list[bool] = []

        def collect(seen: Any, _: Any, wasted: list[bool] = wasted) -> bool:
            wasted.extend(info["wasted"] for info in seen["infos"])
            return True

        agent = restless_agent(env)
        model = make_model(DQN, env, agent, exploration_fraction=1.0, **exploration)
        model.learn(120, collect)
        assert any(wasted) == is_wasteful
        assert all(torch.isfinite(weight).all() for weight in agent.network.parameters())
        assert run_episode(model, env).wasted == 0


class TestLearning:
    """One spot in eight, scattered, is of a second type, and its first feature shows it.

    On slides never seen and larger, random scores about .55 and the design that both start from
    .63; the best possible is 1. Trained models of five seeds scored .91 to 1 (PPO) and .93 to .98
    (DQN).
    """

    ARGUMENTS: ClassVar[dict[str, Any]] = {"budget": 6, "reward": TYPES, "observation": "compact"}

    def score(self, agent: SpotAgent) -> float:
        slides = [rare_type_slide(f"u{seed}", 10, 50 + seed) for seed in range(3)]
        env = SpotSamplingEnv(slides, toy_reference(), **self.ARGUMENTS)
        return float(np.mean([run_episode(agent, env, slide=each.name).reward for each in slides]))

    @pytest.mark.parametrize(
        ("algorithm", "n_steps", "options"),
        [
            (PPO, 2400, {"gae_lambda": 0.5, "n_steps": 60, "batch_size": 60, "n_epochs": 4}),
            (DQN, 1600, {"buffer_size": 5000, "target_update_interval": 120}),
        ],
    )
    def test_both_forms_find_the_rare_tissue(
        self, algorithm: Any, n_steps: int, options: dict[str, Any]
    ) -> None:
        slides = [rare_type_slide(f"t{seed}", 8, seed) for seed in range(3)]
        env = SpotSamplingEnv(slides, toy_reference(), **self.ARGUMENTS)
        envs = SpotSamplingVecEnv(4, slides=slides, reference=toy_reference(), **self.ARGUMENTS)
        with isolated_randomness(0):
            agent = make_spot_agent(env)
            assert self.score(agent) < 0.7
            algorithm(
                POLICY[algorithm],
                envs,
                policy_kwargs=spot_policy_kwargs(agent, env),
                gamma=1.0,
                learning_rate=1e-2,
                seed=0,
                device="cpu",
                **(ROLLOUT[algorithm] | options),
            ).learn(n_steps)
        assert self.score(agent) > 0.8


def test_it_says_what_it_needs() -> None:
    slides = [toy_slide("one", 6, 1)]
    env = make_env(slides)
    agent = make_spot_agent(env)
    kwargs = spot_policy_kwargs(agent, env)
    for algorithm, policy in (
        (PPO, PlainSpotPolicy),
        (DQN, SpotQPolicy),
        (MaskablePPO, SpotPolicy),
    ):
        with pytest.raises(InputError, match="observation='compact'"):
            algorithm(policy, make_env(slides, observation="full"), policy_kwargs=kwargs)
        model = algorithm(policy, env, policy_kwargs=kwargs, device="cpu")
        with pytest.raises(InputError, match=r"not on meta; .*device='cpu'"):
            model.policy.to(torch.device("meta"))
        with pytest.raises(InputError, match="not what this model knows"):
            run_episode(model, make_env([toy_slide("one", 6, 9)]))
    with pytest.raises(InputError, match="temperature=0: it must be positive"):
        make_model(DQN, env, agent, policy={"temperature": 0})
    seeing = make_spot_agent(make_env(slides, feedback=True))
    with pytest.raises(InputError, match="and feedback=True"):
        make_model(PPO, env, seeing)
    assert make_spot_agent(env, InputSettings(prior=False), width=8).network.width == 8
