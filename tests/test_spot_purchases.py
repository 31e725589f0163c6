"""Purchases told once for all observations of an episode."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minibatches import selections

from agents.policy.purchases import Purchases, nearest_purchase

N_SPOTS = 12


def masks(bought: list[set[int]]) -> torch.Tensor:
    mask = torch.zeros(len(bought), N_SPOTS)
    for row, spots in enumerate(bought):
        mask[row, sorted(spots)] = 1
    return mask


@given(bought=selections(N_SPOTS))
@settings(max_examples=100, deadline=None)
def test_every_observation_is_in_one_episode_with_its_purchases(bought: list[set[int]]) -> None:
    episodes = Purchases.of(masks(bought)).episodes
    assert sorted(row for episode in episodes for row in episode.rows) == list(range(len(bought)))
    for episode in episodes:
        for row, size in zip(episode.rows, episode.sizes, strict=True):
            assert set(episode.spots[:size].tolist()) == bought[row]


@given(order=st.permutations(range(N_SPOTS)), sizes=st.lists(st.integers(0, N_SPOTS), min_size=1))
@settings(max_examples=50, deadline=None)
def test_the_observations_of_an_episode_are_found_together(
    order: list[int], sizes: list[int]
) -> None:
    (episode,) = Purchases.of(masks([set(order[:size]) for size in sizes])).episodes
    assert episode.sizes == sorted(sizes)


@given(bought=selections(N_SPOTS), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_what_accumulates_is_what_each_observation_has_alone(
    bought: list[set[int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    worth = torch.from_numpy(rng.integers(1, 9, (N_SPOTS, 3)).astype(np.float32))
    mask = masks(bought)
    purchases = Purchases.of(mask)
    start = torch.tensor([100.0, 200.0, 300.0])
    summed = purchases.accumulate(start, worth.__getitem__, torch.sub, lambda rows: rows.sum(0))
    assert torch.equal(summed, start - mask @ worth)
    distances = torch.from_numpy(rng.random((N_SPOTS, N_SPOTS)))
    nearest = nearest_purchase(distances, purchases)
    for row, spots in enumerate(bought):
        alone = distances[sorted(spots)].amin(0) if spots else torch.full((N_SPOTS,), torch.inf)
        assert torch.equal(nearest[row], alone.to(nearest.dtype))
