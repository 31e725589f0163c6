"""Training a spot agent with MaskablePPO on slides that were fully measured in the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING

from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.checkpoints import BestCheckpoint
from agents.isolation import isolated_randomness
from agents.policy.bank import SlideBank
from agents.policy.context import n_spot_inputs
from agents.policy.inputs import FeatureProjection, InputSettings, describe
from agents.policy.network import SpotNetwork
from agents.policy.sb3 import SpotPolicy
from agents.record import TrainingRecord
from agents.retrospective import read_retrospective
from agents.returns import CentredReward, reward_statistics
from agents.spot_agent import SpotAgent
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel
from scr2st_env.reference import N_STATES
from scr2st_env.rewards.weights import RewardWeights

if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback

    from scr2st_env.envs.slides import ReferenceSource, SlideSource, SpotSets
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv
    from scr2st_env.rewards.base import Term
    from scr2st_env.slide import PublicSlide

N_EVALUATIONS = 8


def train_spot_agent(
    slides: Sequence[SlideSource] | None = None,
    reference: ReferenceSource | None = None,
    *,
    budget: float = 0.1,
    round_size: int = 1,
    reward: RewardWeights | Mapping[str, float] | None = None,
    terms: Sequence[Term] = (),
    excluded: SpotSets | None = None,
    initial: SpotSets | None = None,
    total_steps: int = 20_000,
    seed: int = 0,
    kernel: Kernel | None = None,
    settings: InputSettings | None = None,
    width: int = 32,
    prior_strength: float = 8.0,
    n_envs: int = 8,
    n_steps: int = 64,
    batch_size: int = 256,
    n_epochs: int = 4,
    learning_rate: float = 1e-2,
    gae_lambda: float = 0.5,
    evaluation_slides: Sequence[SlideSource] | None = None,
    callback: BaseCallback | None = None,
    progress: bool = True,
    n_threads: int | None = None,
    features: str | None = "X_patch",
    embedding: str | None = "X_cell",
    types: str | None = "X_type",
    n_states: int = N_STATES,
    min_counts: int = MIN_COUNTS,
) -> SpotAgent:
    """Train an agent for a named objective and return the best it was.

    The untrained policy is a stochastic A-optimal design; MaskablePPO learns what to add to it.
    Rewards are undiscounted (the objective is the sum of an episode); from each is taken what the
    untrained policy earns on average at that step of that slide, and what remains is scaled to
    unit variance, so that returns are the gain over the start. Neither moves the optimum.

    Parameters
    ----------
    slides, reference, budget, round_size, reward, terms
        As ``SpotSampling-v0`` takes them; slides are retrospective, and ``reward="released"`` is
        refused.
    excluded, initial
        As ``SpotSampling-v0`` takes them, of training and evaluation slides.
    total_steps
        Purchases to learn from, over all environments.
    seed
        Of everything; the same seed gives the same agent on the same machine.
    kernel
        Of the design; default that of ``settings``.
    settings
        How slides are described to the network.
    width, prior_strength
        See :class:`agents.policy.network.SpotNetwork`.
    n_envs, n_steps, batch_size, n_epochs, learning_rate, gae_lambda
        Of MaskablePPO; ``n_steps`` is per environment and update. What a purchase itself pays
        says most of what it is worth and the rest is noise, hence the small ``gae_lambda``.
    evaluation_slides
        Slides, of training patients, on which the best checkpoint is chosen by the deterministic
        policy's reward; default: the training slides. The untrained policy takes part, so what
        is returned never scores less than that there.
    callback
        A further Stable-Baselines3 callback.
    progress
        Show a progress bar.
    n_threads
        Threads of torch while training; default: as they are.
    features, embedding, types, n_states, min_counts
        How paths and AnnData objects are read; see ``SpotSampling-v0``.

    Returns
    -------
    SpotAgent
        With its scores before and after training in ``record``.

    Raises
    ------
    InputError
        If the slides do not fit one another or the reward.
    """
    if total_steps < 1:
        raise InputError(f"total_steps={total_steps}: training needs at least one step")
    weights = _trainable(reward)
    retrospective = read_retrospective(
        slides,
        reference,
        evaluation_slides,
        features=features,
        embedding=embedding,
        types=types,
        n_states=n_states,
        min_counts=min_counts,
    )
    make_env = partial(
        retrospective.environment,
        excluded=excluded,
        initial=initial,
        budget=budget,
        round_size=round_size,
        reward=weights,
        terms=terms,
        observation="compact",
        info_mask=False,
    )
    settings = settings or InputSettings()
    if kernel is not None:
        settings = replace(settings, kernel=kernel)
    n_steps = min(n_steps, -(-total_steps // n_envs))
    with isolated_randomness(seed, n_threads):
        worlds = [make_env(retrospective.slides) for _ in range(n_envs)]
        played = [slide.public for slide in retrospective.slides]
        agent = untrained_agent(played, settings, width=width, prior_strength=prior_strength)
        statistics = reward_statistics(agent, worlds[0], seed)
        best = BestCheckpoint(
            agent,
            make_env(retrospective.evaluation_slides),
            every=max(total_steps // N_EVALUATIONS, 1),
        )
        model = MaskablePPO(
            SpotPolicy,
            DummyVecEnv([partial(CentredReward, world, statistics) for world in worlds]),
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=min(batch_size, n_envs * n_steps),
            n_epochs=n_epochs,
            gamma=1.0,
            gae_lambda=gae_lambda,
            policy_kwargs={
                "network": agent.network,
                "bank": _bank(worlds[0], agent),
            },
            seed=seed,
            device="cpu",
        )
        model.learn(
            total_steps,
            callback=[best] if callback is None else [best, callback],
            progress_bar=progress,
        )
    record = TrainingRecord(
        budget=int(budget) if isinstance(budget, Integral) else float(budget),
        round_size=round_size,
        reward=_objective(weights, terms),
        slides=tuple(slide.name for slide in played),
        steps=model.num_timesteps,
        seed=seed,
        score_before=best.scores[0],
        score_after=best.restore(),
    )
    return replace(agent, record=record)


def untrained_agent(
    slides: Sequence[PublicSlide],
    settings: InputSettings | None = None,
    *,
    width: int = 32,
    prior_strength: float = 8.0,
) -> SpotAgent:
    """Return the agent that training starts from: a stochastic A-optimal design.

    Parameters
    ----------
    slides
        Training slides; the features' principal components are fitted on them.
    settings, width, prior_strength
        See :func:`train_spot_agent`.

    Returns
    -------
    SpotAgent
    """
    settings = settings or InputSettings()
    projection = FeatureProjection.fit(slides, settings.n_components)
    network = SpotNetwork(n_spot_inputs(settings, projection), width, prior_strength)
    return SpotAgent(network, settings, projection)


def _trainable(reward: RewardWeights | Mapping[str, float] | None) -> RewardWeights:
    if isinstance(reward, str) and reward == "released":
        raise InputError(
            "reward='released' is for comparison only, no agent is trained for it; "
            "pass RewardWeights or a mapping of weights"
        )
    return RewardWeights.of(reward)


def _objective(weights: RewardWeights, terms: Sequence[Term]) -> dict[str, float]:
    """Return the weight of every term by name; a term of weight 0 was not built."""
    added = {term.name: term.weight for term in terms if term.weight > 0}
    return {name: float(weight) for name, weight in (asdict(weights) | added).items()}


def _bank(env: SpotSamplingEnv, agent: SpotAgent) -> SlideBank:
    """Describe the environment's slides, each as its episodes end, in the environment's order."""
    described = []
    for slide in env.slides:
        observation, _ = env.reset(options={"slide": slide.name})
        n_measured = env.budget_spots + int(observation["mask"].sum())
        inputs = describe(slide.public, n_measured, agent.settings, agent.projection)
        described.append(inputs)
    return SlideBank(described, agent.settings.kernel.noise)
