"""Agents by name, by class, or from a file."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from inspect import isfunction, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.base import as_agent
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "scr2st.agents"
BUILT_IN = {
    "random": "agents.baselines.random:RandomAgent",
    "grid": "agents.baselines.grid:GridAgent",
    "farthest": "agents.baselines.farthest:FarthestPointAgent",
    "design": "agents.baselines.design:DesignAgent",
    "design:rough": "agents.baselines.design:RoughDesignAgent",
    "mutual-information": "agents.baselines.mutual_information:MutualInformationAgent",
    "k-center": "agents.baselines.k_center:KCenterAgent",
    "k-means": "agents.baselines.clusters:KMeansAgent",
    "typiclust": "agents.baselines.clusters:TypiClustAgent",
    "facility-location": "agents.baselines.facility_location:FacilityLocationAgent",
    "geosketch": "agents.baselines.sketching:GeometricSketchAgent",
    "leverage": "agents.baselines.leverage:LeverageAgent",
    "ensemble-uncertainty": "agents.baselines.ensemble:EnsembleUncertaintyAgent",
    "posterior-sampling": "agents.baselines.posterior_sampling:PosteriorSamplingAgent",
    "scrl": "agents.baselines.scrl:SCRLAgent",
    "scrl-released": "agents.baselines.scrl:ReleasedSCRLAgent",
    "oracle": "agents.oracle:PredictionOracle",
    "oracle:denoised": "agents.denoised_oracle:DenoisedPredictionOracle",
    "reward-oracle": "agents.oracle:RewardOracle",
    "reward-oracle:denoised": "agents.denoised_oracle:DenoisedRewardOracle",
}


def agent_names() -> list[str]:
    """Return the names that :func:`load_agent` knows, installed ones included."""
    return [*BUILT_IN, *sorted(point.name for point in entry_points(group=GROUP))]


def load_agent(spec: str | Path, *, execute_code: bool = False, **options: Any) -> Any:
    """Make an agent.

    Parameters
    ----------
    spec
        A name (see :func:`agent_names`), ``"module:name"`` of a class or function that
        returns an agent, or of a function ``(observation, action_mask, rng) -> index`` that is
        one, or the path of a saved agent (``*.safetensors``), which executes nothing, or of a
        model that Stable-Baselines3 saved (``*.zip``), which does.
    execute_code
        Allow a model of Stable-Baselines3, whose file may hold any code, to be loaded.
    **options
        For the constructor; a saved agent takes none.

    Returns
    -------
    Agent or Oracle

    Raises
    ------
    InputError
        Naming what was not found, and what there is.

    Examples
    --------
    >>> load_agent("farthest", start="centre").start
    'centre'
    """
    text = str(spec)
    if text in BUILT_IN:
        return _make(_imported(BUILT_IN[text], text), text, options)
    for point in entry_points(group=GROUP):
        if point.name == text:
            return _make(point.load(), text, options)
    if text.endswith((".safetensors", ".zip")) or Path(text).is_file():
        if options:
            raise InputError(f"{text} is a saved agent, which takes no options: {sorted(options)}")
        if text.endswith(".zip"):
            from agents.foreign_models import load_model

            return load_model(text, execute_code=execute_code)
        return _saved_agent(text)
    if ":" in text:
        return _make(_imported(text, text), text, options)
    raise InputError(
        f"there is no agent {text!r}; name one of {', '.join(agent_names())}, "
        "a 'module:Class' or 'module:function', or the path of a saved agent (*.safetensors, *.zip)"
    )


def _saved_agent(path: str) -> Any:
    from scr2st_env.embedders.storage import saved_kind

    if saved_kind(path):
        from agents.lookahead.agent import LookaheadAgent

        return LookaheadAgent.load(path)
    from agents.spot_agent import SpotAgent

    return SpotAgent.load(path)


def make_player(candidate: Any) -> Any:
    """Return an agent from an agent, a function, or what :func:`load_agent` takes.

    Raises
    ------
    InputError
        If it is none of them.
    """
    return load_agent(candidate) if isinstance(candidate, str | Path) else as_agent(candidate)


def _imported(path: str, spec: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"agent {spec!r} cannot be imported: {error}") from error


def _make(maker: Callable[..., Any], spec: str, options: dict[str, Any]) -> Any:
    if not options and _decides(maker):
        return as_agent(maker)
    try:
        return as_agent(maker(**options))
    except TypeError as error:
        raise InputError(f"agent {spec!r}: {error}") from error


def _decides(maker: Callable[..., Any]) -> bool:
    """Whether it is a function (observation, action_mask, rng), not one that makes an agent."""
    if not isfunction(maker):
        return False
    required = [
        parameter
        for parameter in signature(maker).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    ]
    return len(required) == 3
