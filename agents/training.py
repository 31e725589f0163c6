"""Training a spot agent with MaskablePPO on slides that were fully measured in the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_contrib import MaskablePPO

from agents.checkpoints import BestCheckpoint
from agents.isolation import isolated_randomness
from agents.policy.inputs import InputSettings
from agents.policy.sb3 import SpotPolicy
from agents.progress_file import ProgressFile
from agents.record import TrainingRecord, patients_of
from agents.rehearsal import Goal, Rehearsal
from agents.retrospective import read_retrospective
from agents.rollouts import SpotRolloutBuffer
from agents.several_budgets import budgets_of
from agents.spot_agent import SpotAgent
from agents.spot_policy import bank_of
from agents.start import check_start, digest, going_on, untrained_agent
from agents.starting_point import by_prior_alone, choose_prior
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel
from scr2st_env.reference import N_STATES
from scr2st_env.rewards.weights import RewardWeights

if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback

    from agents.several_budgets import Budget
    from scr2st_env.envs.slides import ReferenceSource, SlideSource, SpotSets
    from scr2st_env.rewards.base import Term


def train_spot_agent(
    slides: Sequence[SlideSource] | None = None,
    reference: ReferenceSource | None = None,
    *,
    budget: Budget = 0.1,
    round_size: int = 1,
    feedback: bool = False,
    reward: RewardWeights | Mapping[str, float] | None = None,
    terms: Sequence[Term] = (),
    excluded: SpotSets | None = None,
    initial: SpotSets | None = None,
    total_steps: int = 20_000,
    seed: int = 0,
    kernel: Kernel | None = None,
    settings: InputSettings | None = None,
    start: SpotAgent | None = None,
    width: int = 32,
    prior_strength: float = 8.0,
    n_envs: int = 8,
    n_steps: int = 64,
    batch_size: int = 256,
    n_epochs: int = 4,
    learning_rate: float = 1e-2,
    gae_lambda: float = 0.5,
    evaluation_slides: Sequence[SlideSource] | None = None,
    n_evaluations: int = 8,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    log_folder: str | Path | None = None,
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

    First the policy is given the prior that earns most on the training slides
    (:func:`agents.starting_point.choose_prior`); then MaskablePPO learns, on the batched
    environment, what to add to it. Rewards are undiscounted (the objective is the sum of an
    episode); from each is taken what the policy earned before on average at that step of that
    slide, and what remains is scaled to unit variance, so that returns are the gain over the
    start. Neither moves the optimum.

    Parameters
    ----------
    slides, reference, round_size, reward, terms
        As ``SpotSampling-v0`` takes them; slides are retrospective, and ``reward="released"`` is
        refused.
    budget
        As ``SpotSampling-v0`` takes it, or several of them: the sub-environments are then shared
        out, so that as many purchases are made at each, and scores are means over all.
    feedback
        Whether the agent heeds what measured spots showed. It then needs an environment with
        feedback, on slides embedded beside ``reference``, whose cell states it looks for.
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
    start
        An agent to go on from, such as one trained on synthetic tissue: its inputs, its network
        and its prior are taken over, and it is not changed. Default: an untrained one.
    width, prior_strength
        See :class:`agents.policy.network.SpotNetwork`; with ``start`` they are its own.
    n_envs, n_steps, batch_size, n_epochs, learning_rate, gae_lambda
        Of MaskablePPO; ``n_steps`` is per environment and update, and there is one environment for
        each budget at least. What a purchase itself pays
        says most of what it is worth and the rest is noise, hence the small ``gae_lambda``.
    evaluation_slides
        Slides, of training patients, on which the best checkpoint is chosen by the deterministic
        policy's reward; default: the training slides. The policy with its chosen prior takes
        part, and what is returned scores no less than that there; see
        :class:`agents.checkpoints.BestCheckpoint`. Where prediction is all that is paid for,
        prior and checkpoint are chosen by :func:`agents.held_out.held_out_correlations`.
    n_evaluations
        How often, about, the policy is scored on them during training.
    patience
        Scores in a row without a new best after which training ends early; default: never.
    checkpoint
        File that holds the progress at every score. Where it is there already, training goes on
        from it and ends with the same weights, bit for bit, as if it had never stopped; it is
        removed at the end.
    log_folder
        Folder for TensorBoard's logs; needs ``pip install tensorboard``. Default: no logs.
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
        If the slides do not fit one another or the reward, or ``start`` was trained on features of
        another encoder or asked to see by other inputs.
    """
    if total_steps < 1:
        raise InputError(f"total_steps={total_steps}: training needs at least one step")
    budgets = budgets_of(budget)
    n_envs = max(n_envs, len(budgets))
    n_steps = min(n_steps, -(-total_steps // n_envs))
    goal = Goal.of(reward, terms)
    if kernel is not None:
        settings = replace(settings or InputSettings(), kernel=kernel)
    if start is not None:
        check_start(start, settings, feedback=feedback)
    settings = replace(settings or InputSettings(), feedback=feedback)
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
    options = {
        "round_size": round_size,
        "feedback": feedback,
        "excluded": excluded,
        "initial": initial,
    }
    rehearsal = Rehearsal(retrospective, goal, budgets, options, seed)
    played = [slide.public for slide in retrospective.slides]
    with isolated_randomness(seed, n_threads):
        agent = (
            untrained_agent(
                played,
                settings,
                retrospective.reference,
                width=width,
                prior_strength=prior_strength,
            )
            if start is None
            else going_on(start, played)
        )
        worlds = rehearsal.worlds(retrospective.slides)
        evaluation = rehearsal.worlds(retrospective.evaluation_slides)
        bank = agent.bank = bank_of(agent, *worlds, *evaluation)
        best = BestCheckpoint(
            agent,
            rehearsal.scores(retrospective.evaluation_slides),
            every=max(total_steps // n_evaluations, 1),
            seed=seed,
            patience=patience,
        )
        best.score()
        earner = agent
        if start is None:
            if settings.prior:
                choose_prior(agent, rehearsal.scores(retrospective.slides))
            best.score(trusted=True)
            earner = by_prior_alone(agent)
        model = MaskablePPO(
            SpotPolicy,
            rehearsal.batched(n_envs, earner, worlds),
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=min(batch_size, n_envs * n_steps),
            n_epochs=n_epochs,
            gamma=1.0,
            gae_lambda=gae_lambda,
            rollout_buffer_class=SpotRolloutBuffer,
            policy_kwargs={"network": agent.network, "bank": bank},
            tensorboard_log=_logs(log_folder),
            seed=seed,
            device="cpu",
        )
        if checkpoint is not None:
            training = {
                "slides": [slide.fingerprint for slide in played],
                "reward": goal.by_name,
                "settings": asdict(agent.settings),
                "start": digest(start),
                "numbers": [
                    *(list(budgets), round_size, total_steps, seed, width, prior_strength),
                    *(n_envs, n_steps, batch_size, n_epochs, learning_rate, gae_lambda),
                    *(n_evaluations, patience),
                ],
            }
            best.file = ProgressFile(checkpoint, training)
            _resume(model, best)
        model.learn(
            total_steps - model.num_timesteps,
            callback=[best] if callback is None else [best, callback],
            reset_num_timesteps=model.num_timesteps == 0,
            progress_bar=progress,
        )
        if checkpoint is not None:
            Path(checkpoint).unlink()
    record = TrainingRecord(
        budget=budgets[0] if len(budgets) == 1 else budgets,
        round_size=round_size,
        reward=goal.by_name,
        slides=tuple(slide.name for slide in played),
        steps=model.num_timesteps,
        seed=seed,
        score_before=best.scores[0],
        score_after=best.restore(),
        patients=patients_of([*retrospective.slides, *retrospective.evaluation_slides]),
    )
    return replace(agent, record=record.after(start.record if start is not None else None))


def _resume(model: MaskablePPO, best: BestCheckpoint) -> None:
    """Bring the model to where a checkpoint left it, if there is one."""
    progress = best.file.read(model.policy.optimizer) if best.file else None
    if progress is None:
        return
    best.agent.network.load_state_dict(progress.network)
    model.policy.optimizer.load_state_dict(progress.optimizer)
    model.num_timesteps, model._n_updates = progress.steps, progress.updates  # noqa: SLF001
    best.continue_from(progress)


def _logs(folder: str | Path | None) -> str | None:
    if folder is not None and find_spec("tensorboard") is None:
        raise InputError("log_folder needs TensorBoard; run 'pip install tensorboard'")
    return None if folder is None else str(folder)
