"""The spot policy in an algorithm of Stable-Baselines3: what to hand over, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.policy.bank import SlideBank
from agents.policy.inputs import InputSettings, SlideInputs, describe
from agents.start import untrained_agent

if TYPE_CHECKING:
    import gymnasium

    from agents.spot_agent import SpotAgent


def make_spot_agent(
    env: gymnasium.Env[Any, Any],
    settings: InputSettings | None = None,
    *,
    width: int = 32,
    prior_strength: float = 8.0,
) -> SpotAgent:
    """Return an untrained agent for the slides of an environment.

    Parameters
    ----------
    env
        A ``SpotSampling-v0``, wrapped or not.
    settings
        How slides are described to the network; default: ``InputSettings()``, with feedback where
        the environment gives it.
    width, prior_strength
        See :class:`agents.policy.network.SpotNetwork`.

    Returns
    -------
    SpotAgent

    Raises
    ------
    InputError
        If the slides do not fit one another, or there is feedback but no reference.
    """
    world: Any = env.unwrapped
    return untrained_agent(
        [slide.public for slide in world.slides],
        settings or InputSettings(feedback="measured" in world.observation_space.spaces),
        world.rules.settings[0].reference,
        width=width,
        prior_strength=prior_strength,
    )


def spot_policy_kwargs(agent: SpotAgent, env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """Return the ``policy_kwargs`` with which an algorithm trains the network of an agent.

    They are those of :class:`agents.SpotPolicy` in MaskablePPO, :class:`agents.PlainSpotPolicy` in
    PPO or A2C, and :class:`agents.SpotQPolicy` in DQN. The network is used, not copied: when the
    algorithm has learned, so has the agent, and :meth:`agents.SpotAgent.save` keeps it.

    Parameters
    ----------
    agent
        Trained or not.
    env
        A ``SpotSampling-v0`` with the slides, the budget and the initial spots of the one that the
        algorithm learns in; it is reset.

    Returns
    -------
    dict
        ``network``, and the ``bank`` of the environment's slides in its order.

    Raises
    ------
    InputError
        If the slides' features are of another encoder or width than the agent's.
    """
    return {"network": agent.network, "bank": bank_of(agent, env)}


def bank_of(agent: SpotAgent, *envs: gymnasium.Env[Any, Any]) -> SlideBank:
    """Describe the slides of environments, each as its episodes end, in the environments' order.

    Parameters
    ----------
    agent
        Whose settings say how.
    envs
        Each ``SpotSampling-v0``; they are reset. The rows of the second follow those of the first.

    Returns
    -------
    SlideBank
    """
    known: dict[tuple[str, int], SlideInputs] = {}
    rows = []
    for env in envs:
        world: Any = env.unwrapped
        for slide in world.slides:
            observation, _ = env.reset(options={"slide": slide.name})
            key = slide.public.fingerprint, world.budget_spots + int(observation["mask"].sum())
            if key not in known:
                known[key] = describe(slide.public, key[1], agent.settings, agent.projection)
            rows.append(known[key])
    return SlideBank(rows, agent.settings, agent.atlas)
