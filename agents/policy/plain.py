"""The spot policy as algorithms want it that take no masks: PPO, A2C and DQN."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from agents.policy.context import SpotBatch
from agents.policy.sb3 import BankedPolicy, SpotContextExtractor
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from gymnasium import spaces
    from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

    from agents.policy.bank import SlideBank
    from agents.policy.network import SpotNetwork

IMPOSSIBLE = -1e8  # finite: a target may multiply it by 0, and a logit may be subtracted from it


class AvailableSpots(NamedTuple):
    """What the network looks at, and which spots a pick would buy."""

    batch: SpotBatch
    available: torch.Tensor  # (B, N), bool


class AvailableSpotsExtractor(SpotContextExtractor):
    """From compact observations to what the network looks at and what can be bought."""

    def forward(  # type: ignore[override]
        self, observations: dict[str, torch.Tensor]
    ) -> AvailableSpots:
        """Return the inputs of all spots, and ``available`` of the observation."""
        return AvailableSpots(super().forward(observations), observations["available"] > 0)


class AvailableActorCritic(nn.Module):
    """A network whose logits are impossible at spots that cannot be bought.

    Parameters
    ----------
    network
        Used, not copied.
    """

    def __init__(self, network: SpotNetwork) -> None:
        super().__init__()
        self.network = network
        self.latent_dim_pi, self.latent_dim_vf = network.latent_dim_pi, network.latent_dim_vf

    def forward(self, seen: AvailableSpots) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits, (B, N), and values, (B, 1)."""
        logits, values = self.network(seen.batch)
        return _only(seen.available, logits), values

    def forward_actor(self, seen: AvailableSpots) -> torch.Tensor:
        """Return logits, (B, N)."""
        return _only(seen.available, self.network.forward_actor(seen.batch))

    def forward_critic(self, seen: AvailableSpots) -> torch.Tensor:
        """Return values, (B, 1)."""
        return self.network.forward_critic(seen.batch)


class PlainSpotPolicy(BankedPolicy, ActorCriticPolicy):
    """Actor and critic of PPO or A2C around one :class:`~agents.policy.network.SpotNetwork`.

    These algorithms know no action masks, so the policy reads ``available`` in the observation:
    what cannot be bought has probability 0, and no part in the entropy.

    Parameters
    ----------
    observation_space, action_space, lr_schedule
        What the algorithm hands in.
    network
        The network to train; it is used, not copied.
    bank
        See :class:`~agents.policy.sb3.SpotContextExtractor`.
    use_sde
        What the algorithm hands in; noise that depends on the state is for continuous actions.
    optimizer_class, optimizer_kwargs
        As Stable-Baselines3's policies take them.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        network: SpotNetwork,
        bank: SlideBank,
        use_sde: bool = False,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self._given = [network]  # in a list: modules cannot be set before the base class is made
        self._keys = bank.keys
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            use_sde=use_sde,
            features_extractor_class=AvailableSpotsExtractor,
            features_extractor_kwargs={"bank": bank, "weights": network.prior},
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        self.mlp_extractor: Any = AvailableActorCritic(self._given.pop())
        self.action_net = nn.Identity()
        self.value_net: Any = nn.Identity()
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )


class SpotQNetwork(QNetwork):
    """Q-values of all spots: the value of the state, and what each spot is above the mean.

    Q(s, a) = V(s) + t (l_a - mean of l over what can be bought), with the logits l and the value V
    of the network and the temperature t: a dueling network, whose logits are those of a policy
    that picks by softmax(Q / t).

    Parameters
    ----------
    observation_space, action_space, features_extractor
        What :class:`SpotQPolicy` hands in.
    network
        Used, not copied.
    temperature
        t, in units of reward.

    References
    ----------
    Wang et al., Dueling Network Architectures for Deep Reinforcement Learning, 2016, eq. 9.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        features_extractor: SpotContextExtractor,
        *,
        network: SpotNetwork,
        temperature: float,
    ) -> None:
        super().__init__(observation_space, action_space, features_extractor, 1, net_arch=[])
        self.q_net: Any = network
        self.temperature = temperature

    def forward(self, obs: PyTorchObs) -> torch.Tensor:
        """Return the Q-values, (B, N)."""
        seen: Any = self.extract_features(obs, self.features_extractor)
        logits, values = self.q_net(seen.batch)
        available = seen.available.float()
        level = (logits * available).sum(1, keepdim=True) / available.sum(1, keepdim=True).clamp(1)
        return _only(seen.available, values + self.temperature * (logits - level))

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> torch.Tensor:
        q_values = self(observation)
        if deterministic:
            return q_values.argmax(dim=1)
        chances = torch.softmax(q_values / self.temperature, dim=1)
        return torch.multinomial(chances, num_samples=1).squeeze(1)


class SpotQPolicy(BankedPolicy, DQNPolicy):
    """Q-network and target network of DQN around one :class:`~agents.policy.network.SpotNetwork`.

    The target network has weights of its own; slides are described once, for both.

    DQN's own exploration draws from all actions, sold spots included, and a wasted purchase
    teaches nothing. The policy explores by itself, by softmax(Q / temperature) over what can be
    bought; switch the other off: ``learning_starts=0, exploration_initial_eps=0,
    exploration_final_eps=0``.

    Parameters
    ----------
    observation_space, action_space, lr_schedule
        What DQN hands in.
    network
        The network to train; it is used, not copied.
    bank
        See :class:`~agents.policy.sb3.SpotContextExtractor`.
    temperature
        Worth of one unit of the network's logits, in units of reward; larger explores more. About
        the reward of a purchase over the network's ``prior_strength``.
    optimizer_class, optimizer_kwargs
        As Stable-Baselines3's policies take them.

    Raises
    ------
    InputError
        If the temperature is not positive.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        *,
        network: SpotNetwork,
        bank: SlideBank,
        temperature: float = 0.01,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if not temperature > 0:
            raise InputError(f"temperature={temperature}: it must be positive")
        self.temperature = temperature
        twin = deepcopy(network, {id(network.prior): network.prior})  # one prior, changed in both
        self._given = [twin, network]  # DQNPolicy makes the Q-network first, then its target
        self._keys = bank.keys
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=AvailableSpotsExtractor,
            features_extractor_kwargs={"bank": bank, "weights": network.prior},
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def make_q_net(self) -> QNetwork:
        """Return a Q-network around the next of the networks."""
        return SpotQNetwork(
            self.observation_space,
            self.action_space,  # type: ignore[arg-type]
            self.make_features_extractor(),  # type: ignore[arg-type]
            network=self._given.pop(),
            temperature=self.temperature,
        )


def _only(available: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the values where a spot is available, and one that is never chosen elsewhere."""
    return torch.where(available, values, IMPOSSIBLE)
