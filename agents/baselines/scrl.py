"""SCRL, the sampler of SCR2-ST, as described and as released."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import nn

from agents.baselines.discovery import newness
from agents.baselines.feedback import FeedbackAgent, Returned
from agents.baselines.random import RandomAgent
from agents.baselines.space import metric_space
from agents.isolation import isolated_randomness
from scr2st_env.errors import InputError
from scr2st_env.rewards.density import reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scr2st_env.arrays import BoolArray
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import PublicSlide

N_HIDDEN = 64


class SCRLAgent(FeedbackAgent):
    """Single-cell guided reinforcement learning on the slide that is being bought.

    A network scores every spot of the pool from its place and look; spots are drawn by the
    softmax of the scores, and whenever enough of them are back, REINFORCE moves the network
    towards those that were paid more than the average of their batch. A spot is paid for the
    newness of its embedding and for the tissue that comes within its reach, both beside the
    spots before it.

    This is the published method, corrected: its policy sees nothing that was not measured, and
    the size of the reward reaches it. It begins anew on every slide.

    Parameters
    ----------
    reference
        The atlas in whose space the embeddings are: newness is then that of its cell states;
        without it, the distance to the nearest known embedding, in units of the typical one.
    novelty, density
        Weights of the two parts, each scaled to unit variance in a batch.
    batch
        Measured spots per update.
    learning_rate
        Of Adam.

    References
    ----------
    SCR2-ST, arXiv 2512.13635; Williams, Simple statistical gradient-following algorithms for
    connectionist reinforcement learning, 1992.
    """

    name = "scrl"

    def __init__(
        self,
        reference: CellReference | None = None,
        *,
        novelty: float = 1.0,
        density: float = 1.0,
        batch: int = 8,
        learning_rate: float = 0.03,
    ) -> None:
        if batch < 2 or not learning_rate > 0 or min(novelty, density) < 0:
            raise InputError(
                f"batch={batch} must be >= 2, learning_rate={learning_rate} positive, "
                f"novelty={novelty} and density={density} not negative"
            )
        self.reference = reference
        self.novelty = novelty
        self.density = density
        self.batch = batch
        self.learning_rate = learning_rate

    def prepare(self, slide: PublicSlide) -> None:
        """Begin with an untrained network."""
        points = metric_space(slide)
        self.inputs = torch.from_numpy(points / points.std()).float()  # (N, d)
        with isolated_randomness(int(self.rng.integers(2**31))):
            self.network = nn.Sequential(
                nn.Linear(self.inputs.shape[1], N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, 1)
            )
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
        self.scores = self._score()
        self.pools: dict[int, BoolArray] = {}  # what could be bought beside each unpaid pick

    def choose(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, known: Returned
    ) -> int:
        """Draw a spot from the policy, after learning from what came back."""
        del bought
        back = set(known.spots.tolist())
        fresh = [spot for spot in self.pools if spot in back]  # in the order they were bought
        if len(fresh) >= self.batch:
            self._reinforce(fresh, self.rewards(slide, known, fresh))
        scores = np.where(available, self.scores + self.rng.gumbel(size=available.size), -np.inf)
        pick = int(scores.argmax())
        self.pools[pick] = available.copy()
        return pick

    def rewards(self, slide: PublicSlide, known: Returned, fresh: list[int]) -> NDArray[np.float64]:
        """Return what each of the newly measured spots is paid, (n,).

        Parameters
        ----------
        slide
            The slide of the episode.
        known
            All measured spots.
        fresh
            The newly measured ones, in order.
        """
        row = {spot: index for index, spot in enumerate(known.spots.tolist())}
        before = [index for spot, index in row.items() if spot not in set(fresh)]
        tree, radius = cKDTree(slide.coordinates), reach(slide, self.budget)
        covered = np.zeros(slide.n_spots, bool)
        for spot in known.spots[before]:
            covered[tree.query_ball_point(slide.coordinates[spot], radius)] = True
        parts = np.zeros((2, len(fresh)))
        for step, spot in enumerate(fresh):
            if before:
                own = known.embedding[[row[spot]]]
                parts[0, step] = newness(own, known.embedding[before], self.reference)[0]
            near = tree.query_ball_point(slide.coordinates[spot], radius)
            parts[1, step] = slide.tissue_density[near][~covered[near]].sum()
            covered[near] = True
            before.append(row[spot])
        spread = parts.std(axis=1)
        weights = np.array([self.novelty, self.density])
        scale = np.divide(weights, spread, out=np.zeros(2), where=spread > 1e-12)
        return scale @ parts

    def _reinforce(self, fresh: list[int], rewards: NDArray[np.float64]) -> None:
        advantage = torch.from_numpy(rewards - rewards.mean()).float()
        pools = torch.from_numpy(np.stack([self.pools.pop(spot) for spot in fresh]))  # (n, N)
        scores = self.network(self.inputs)[:, 0].masked_fill(~pools, -torch.inf)
        picked = scores.log_softmax(dim=1)[torch.arange(len(fresh)), torch.tensor(fresh)]
        loss = -(advantage * picked).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.scores = self._score()

    def _score(self) -> NDArray[np.float64]:
        with torch.no_grad():
            return self.network(self.inputs)[:, 0].double().numpy()


class ReleasedSCRLAgent(RandomAgent):
    """The authors' released sampler, which buys uniformly at random.

    Its policy scores embeddings that nobody has before measuring, which no agent is shown here.
    Without them nothing but chance is left: the policy is moved twice in a whole run, and the
    first step of Adam has the same size whatever the reward is, so that changing the weights of
    the reward does not change a single pick.
    """

    name = "scrl-released"
