"""Masked PPO in one file, the way CleanRL writes it: no training library, every line in view.

A small network scores every spot of a section from its features and from how many of the spots
bought so far lie close to it or look like it. It learns on the training sections of the embedded
tissue, many episodes at once, and is compared with random buying on sections of other patients.

    python docs/examples/cleanrl_style_ppo.py
    python docs/examples/cleanrl_style_ppo.py --help
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn
from torch.distributions import Categorical

from scr2st_env import Slide, synthetic

parser = argparse.ArgumentParser(
    description="Masked PPO on SpotSampling-v0.",
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
for name, default, explanation in [
    ("seed", 0, "of the sections drawn, the network's weights and its choices"),
    ("total-steps", 12_000, "purchases to learn from, over all environments"),
    ("num-envs", 16, "episodes played at once"),
    ("budget", 32, "spots that may be bought in an episode"),
    ("learning-rate", 5e-3, "of Adam, falling linearly to 0"),
    ("gae-lambda", 0.5, "trust in rewards seen (1) against values predicted (0)"),
    ("epochs", 4, "passes over each rollout"),
    ("minibatches", 4, "updates per pass"),
    ("clip", 0.2, "how far an update may move the odds of a purchase"),
    ("entropy", 0.001, "bonus for staying undecided"),
    ("width", 48, "of the network"),
    ("eval-episodes", 24, "episodes of the comparison, on sections of patients never seen"),
]:
    parser.add_argument(f"--{name}", type=type(default), default=default, help=explanation)
args = parser.parse_args()

N_COMPONENTS = 8  # of the features that the network sees
torch.manual_seed(args.seed)
torch.set_num_threads(1)


def make_envs(slides: Sequence[Slide], num_envs: int) -> Any:
    """Make one batched environment; an episode that ends gives way to the next in the same step."""
    return gym.make_vec(
        "SpotSampling-v0",
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,
        slides=slides,
        reference=synthetic.load_reference(),
        budget=args.budget,
        observation="compact",  # masks and a slide's index: what never changes is in the bank
        info_mask=False,
    )


class Bank:
    """What never changes during an episode, by slide: inputs of spots, and how alike two are."""

    def __init__(self, slides: Sequence[Slide], components: np.ndarray) -> None:
        n_rows = max(slide.n_spots for slide in slides)
        self.spots = torch.zeros(len(slides), n_rows, N_COMPONENTS + 1)
        self.near, self.alike = torch.zeros(2, len(slides), n_rows, n_rows)
        for index, slide in enumerate(slides):
            n = slide.n_spots
            look = torch.as_tensor(standardised(slide) @ components, dtype=torch.float32)
            place = torch.as_tensor(slide.public.coordinates / slide.public.pitch)
            reach = 0.5 * (n / args.budget) ** 0.5  # in pitches: half the spacing of even picks
            self.near[index, :n, :n] = torch.exp(-0.5 * (torch.cdist(place, place) / reach) ** 2)
            apart = torch.cdist(look, look)
            self.alike[index, :n, :n] = torch.exp(-0.5 * (apart / (0.5 * apart.median())) ** 2)
            typical = self.alike[index, :n].mean(dim=1, keepdim=True)
            self.spots[index, :n] = torch.cat([look, typical], dim=1)

    def inputs(self, observation: dict[str, Tensor]) -> Tensor:
        """Return what the network sees of every spot, (batch, spots, inputs)."""
        slide, mask = observation["slide"], observation["mask"].float()
        crowd = torch.zeros(*mask.shape, 2)
        for index in slide.unique():
            here = slide == index
            crowd[here, :, 0] = mask[here] @ self.near[index]
            crowd[here, :, 1] = mask[here] @ self.alike[index]
        left = observation["remaining"][:, None].expand(*mask.shape, 1)
        return torch.cat([self.spots[slide], 4 * crowd.log1p() - 2, left], dim=2)


def standardised(slide: Slide) -> np.ndarray:
    """Return the features, z-scored within the section: stains differ from section to section."""
    features = slide.public.features
    return (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)


class Policy(nn.Module):
    """Score every spot alone for the choice, and the mean over the tissue for the value."""

    def __init__(self, n_inputs: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(n_inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        self.score, self.value = nn.Linear(width, 1), nn.Linear(width, 1)
        nn.init.orthogonal_(self.score.weight, 0.01)  # begin as random buying

    def forward(self, bank: Bank, observation: dict[str, Tensor]) -> tuple[Categorical, Tensor]:
        """Return the odds of every purchase and the value of every episode in a batch."""
        hidden = self.body(bank.inputs(observation))
        is_sold = observation["available"].bool()
        logits = self.score(hidden).squeeze(-1).masked_fill(~is_sold, -1e9)
        return Categorical(logits=logits), self.value(hidden.mean(dim=1)).squeeze(-1)


def as_tensors(observation: dict[str, Any]) -> dict[str, Tensor]:
    """Return the arrays of an observation for the network."""
    return {key: torch.as_tensor(np.asarray(value)) for key, value in observation.items()}


def returns_of(slides: Sequence[Slide], policy: Policy | None, components: np.ndarray) -> Any:
    """Return what each episode pays, on the same sections, to a policy or to random buying."""
    envs, bank = make_envs(slides, args.eval_episodes), Bank(slides, components)
    generator = np.random.default_rng(args.seed)
    observation, _ = envs.reset(seed=args.seed)
    returns = np.zeros(args.eval_episodes)
    for _ in range(args.budget):
        if policy is None:
            odds = observation["available"] * generator.random(observation["available"].shape)
            action = odds.argmax(axis=1)
        else:
            with torch.no_grad():
                action = policy(bank, as_tensors(observation))[0].logits.argmax(dim=1).numpy()
        observation, reward, *_ = envs.step(action)
        returns += reward
    return returns


slides = synthetic.load_slides(synthetic.TRAINING)
pooled = np.concatenate([standardised(slide) for slide in slides])
components = np.linalg.svd(pooled, full_matrices=False)[2][:N_COMPONENTS].T / N_COMPONENTS
bank = Bank(slides, components)
policy = Policy(N_COMPONENTS + 4, args.width)
optimizer = torch.optim.Adam(policy.parameters(), args.learning_rate, eps=1e-5)
envs = make_envs(slides, args.num_envs)
observation = as_tensors(envs.reset(seed=args.seed)[0])

rollout_size = args.num_envs * args.budget  # every rollout is one whole episode per environment
n_rollouts = max(1, args.total_steps // rollout_size)
start = time.perf_counter()
for rollout in range(n_rollouts):
    optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - rollout / n_rollouts)
    seen, chosen = [], []
    log_probs, values, rewards = torch.zeros(3, args.budget, args.num_envs)
    for step in range(args.budget):
        with torch.no_grad():
            choice, values[step] = policy(bank, observation)
        action = choice.sample()
        log_probs[step] = choice.log_prob(action)
        seen.append(observation)
        chosen.append(action)
        after, reward, *_ = envs.step(action.numpy())
        rewards[step] = torch.as_tensor(reward)
        observation = as_tensors(after)

    advantages, next_value, advantage = torch.zeros_like(rewards), torch.zeros(1), torch.zeros(1)
    for step in reversed(range(args.budget)):  # undiscounted: gamma is 1
        advantage = rewards[step] + next_value - values[step] + args.gae_lambda * advantage
        advantages[step], next_value = advantage, values[step]
    batch = {key: torch.cat([each[key] for each in seen]) for key in observation}
    actions, old_log_probs = torch.cat(chosen), log_probs.flatten()
    targets, gains = (advantages + values).flatten(), advantages.flatten()

    for _ in range(args.epochs):
        for rows in torch.randperm(rollout_size).chunk(args.minibatches):
            choice, value = policy(bank, {key: each[rows] for key, each in batch.items()})
            ratio = (choice.log_prob(actions[rows]) - old_log_probs[rows]).exp()
            gain = (gains[rows] - gains[rows].mean()) / (gains[rows].std() + 1e-8)
            clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
            policy_loss = -torch.min(ratio * gain, clipped * gain).mean()
            value_loss = (value - targets[rows]).square().mean()
            loss = policy_loss + 0.5 * value_loss - args.entropy * choice.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
            optimizer.step()

    n_steps = (rollout + 1) * rollout_size
    speed = n_steps / (time.perf_counter() - start)
    print(f"{n_steps:7d} steps  return {rewards.sum(dim=0).mean():.3f}  {speed:.0f} steps/s")

held_out = synthetic.load_slides(synthetic.TEST)
learned, random = (returns_of(held_out, each, components) for each in (policy, None))
better = learned - random
print(f"held-out sections: learned {learned.mean():.3f}, random {random.mean():.3f}")
print(f"difference {better.mean():.3f} +- {1.96 * better.std() / len(better) ** 0.5:.3f}")
