"""The spot policy as sb3-contrib's MaskablePPO wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from agents.policy.bank import SlideBank
from agents.policy.context import SpotBatch
from agents.policy.feedback import Feedback
from agents.policy.network import SpotNetwork
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from stable_baselines3.common.type_aliases import Schedule

    from scr2st_env.slide import PublicSlide


class SpotContextExtractor(BaseFeaturesExtractor):
    """From compact observations to what the network looks at; nothing in it is learned.

    Parameters
    ----------
    observation_space
        Of an environment with ``observation="compact"``.
    bank
        Static inputs of the environment's slides, in the environment's order.
    weights
        Of the network's priors, (5,), heeded as they are when it is called.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], bank: SlideBank, weights: torch.Tensor
    ) -> None:
        missing = {"slide", "mask", "available", "remaining", "round"}
        also = ""
        if bank.settings.feedback:
            missing |= {"picks", "measured"}
            also = " and feedback=True"
        if isinstance(observation_space, spaces.Dict):
            missing -= set(observation_space.spaces)
        if missing:
            raise InputError(
                f"the spot policy misses {', '.join(sorted(missing))} in the observation; "
                f"make the environment with observation='compact'{also}"
            )
        super().__init__(observation_space, features_dim=1)
        self.bank = bank
        self.weights = weights

    def forward(self, observations: dict[str, torch.Tensor]) -> SpotBatch:
        """Return the inputs of all spots; Stable-Baselines3 hands ``slide`` in one-hot."""
        progress = torch.cat([observations["remaining"], observations["round"]], dim=-1)
        rows = observations["slide"].flatten(1).argmax(dim=1)
        masks = observations["mask"], observations["available"]
        feedback = None
        if self.bank.settings.feedback:
            feedback = Feedback(observations["picks"].long(), observations["measured"])
        return self.bank(rows, *masks, progress, self.weights, feedback)


class BankedPolicy(BasePolicy):
    """What all forms of the spot policy have in common: they know slides by a bank's numbers."""

    _keys: tuple[tuple[str, int], ...]

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Stay on the CPU: what follows from purchases is computed there, spot by spot.

        Raises
        ------
        InputError
            If it is another device.
        """
        device = kwargs.get("device", args[0] if args else None)
        if isinstance(device, str | torch.device) and torch.device(device).type != "cpu":
            raise InputError(
                f"the spot policy runs on the CPU, not on {device}; make the model with "
                "device='cpu'"
            )
        return super().to(*args, **kwargs)

    def check_slide(self, row: int, slide: PublicSlide, n_measured: int) -> None:
        """Check that the policy describes the slide that an episode begins on.

        Compact observations name a slide by its number alone, so the runner asks this once per
        episode.

        Parameters
        ----------
        row
            Number of the slide in observations.
        slide, n_measured
            Of the episode, and how many of its spots are measured when the budget is spent.

        Raises
        ------
        InputError
            If the policy was made for another slide of this number, or for another budget.
        """
        if self._keys[row : row + 1] != ((slide.fingerprint, n_measured),):
            raise InputError(
                f"slide {slide.name!r}, {n_measured} of its spots measured in the end, is not what "
                f"this model knows as slide {row}; let a SpotAgent play, or make a model anew"
            )


class SpotPolicy(BankedPolicy, MaskableActorCriticPolicy):
    """Actor and critic of MaskablePPO around one :class:`SpotNetwork`.

    Parameters
    ----------
    observation_space, action_space, lr_schedule
        What MaskablePPO hands in.
    network
        The network to train; it is used, not copied.
    bank
        See :class:`SpotContextExtractor`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        network: SpotNetwork,
        bank: SlideBank,
    ) -> None:
        self._given = [network]  # in a list: modules cannot be set before the base class is made
        self._keys = bank.keys
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=SpotContextExtractor,
            features_extractor_kwargs={"bank": bank, "weights": network.prior},
        )

    def _build(self, lr_schedule: Schedule) -> None:
        self.mlp_extractor: Any = self._given.pop()
        self.action_net = nn.Identity()
        self.value_net: Any = nn.Identity()
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )
