"""The agent that training starts from: an untrained one, or one that goes on."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

from agents.policy.context import n_spot_inputs
from agents.policy.feedback import Atlas
from agents.policy.inputs import FeatureProjection, InputSettings
from agents.policy.network import SpotNetwork
from agents.spot_agent import SpotAgent
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scr2st_env.reference import CellReference
    from scr2st_env.slide import PublicSlide


def untrained_agent(
    slides: Sequence[PublicSlide],
    settings: InputSettings | None = None,
    reference: CellReference | None = None,
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
        See :func:`agents.training.train_spot_agent`.
    reference
        Whose cell states an agent with feedback looks for.

    Returns
    -------
    SpotAgent

    Raises
    ------
    InputError
        If there is feedback but no reference.
    """
    settings = settings or InputSettings()
    if settings.feedback and reference is None:
        raise InputError("an agent with feedback looks for cell states; pass reference=")
    atlas = Atlas.of(reference) if settings.feedback and reference is not None else None
    projection = FeatureProjection.fit(slides, settings.n_components)
    network = SpotNetwork(n_spot_inputs(settings, projection), width, prior_strength)
    if not settings.prior:
        network.prior.zero_()
    return SpotAgent(network, settings, projection, atlas=atlas)


def check_start(start: SpotAgent, settings: InputSettings | None, *, feedback: bool) -> None:
    """Check that nothing is asked of a training that goes on which its start decided already.

    Raises
    ------
    InputError
        Saying what to leave out, or what to pass.
    """
    if settings is not None:
        raise InputError("start= brings its own inputs; leave settings= and kernel= out")
    if feedback != start.settings.feedback:
        kind = "with" if start.settings.feedback else "without"
        raise InputError(
            f"the agent of start= was trained {kind} feedback; "
            f"pass feedback={start.settings.feedback}, or train from the start"
        )


def going_on(start: SpotAgent, slides: Sequence[PublicSlide]) -> SpotAgent:
    """Return a copy of an agent that can learn more, on other slides.

    Parameters
    ----------
    start
        Left as it is.
    slides
        To learn from.

    Raises
    ------
    InputError
        If the slides' features are of another encoder or width than the agent's.
    """
    for slide in slides:
        start.projection.apply(slide)
    return replace(start, network=deepcopy(start.network), record=None)


def digest(start: SpotAgent | None) -> str:
    """Return what tells the network of a start from all others; empty without one."""
    if start is None:
        return ""
    state = start.network.state_dict()
    named = (key.encode() + value.numpy().tobytes() for key, value in sorted(state.items()))
    return hashlib.sha256(b"".join(named)).hexdigest()
