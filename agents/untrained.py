"""The agent that training starts from."""

from __future__ import annotations

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
