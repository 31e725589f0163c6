"""What each of many observations has bought, told once for all observations of an episode."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Episode(NamedTuple):
    """Observations of which each has bought what the one before it had, and maybe more."""

    rows: list[int]  # of the minibatch
    spots: torch.Tensor  # int64, (k,), bought by the last of them, in the order of the first to
    sizes: list[int]  # how many of ``spots`` each row has bought

    def steps(self) -> Iterator[tuple[int, slice]]:
        """Yield each row and which of ``spots`` are new to it."""
        starts = [0, *self.sizes[:-1]]
        for row, start, end in zip(self.rows, starts, self.sizes, strict=True):
            yield row, slice(start, end)


class Purchases(NamedTuple):
    """The purchases of B observations, in as few episodes as are found in a minibatch.

    In a minibatch of a rollout several observations are of the same episode, and what the
    purchases of the earlier imply serves the later as well.
    """

    n_observations: int
    episodes: list[Episode]

    @classmethod
    def of(cls, mask: torch.Tensor) -> Self:
        """Find the episodes in selection masks, (B, N), 0 or 1."""
        sizes = mask.count_nonzero(dim=1)
        n_bought = sizes.tolist()
        is_within = (mask @ mask.T == sizes.unsqueeze(1)).tolist()
        episodes: list[list[int]] = []
        for row in sizes.argsort(stable=True).tolist():
            before = [rows for rows in episodes if is_within[rows[-1]][row]]
            if before:
                max(before, key=lambda rows: n_bought[rows[-1]]).append(row)
            else:
                episodes.append([row])
        return cls(
            len(mask),
            [
                Episode(
                    rows, _in_order(mask[rows], n_bought[rows[-1]]), [n_bought[i] for i in rows]
                )
                for rows in episodes
            ],
        )

    def accumulate(
        self,
        start: torch.Tensor,
        of_spots: Callable[[torch.Tensor], torch.Tensor],
        join: Callable[..., torch.Tensor],
        reduce: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Return what the purchases of each observation come to, (B, ...).

        Parameters
        ----------
        start
            What no purchase comes to, (...).
        of_spots
            From spots, int64, (k,), in the order of an episode, to what each contributes, (k, ...).
        join
            Of two results, with ``out``: ``torch.add``, ``torch.sub`` or ``torch.minimum``.
        reduce
            Of some contributions, (m, ...), as ``join`` does of two results.
        """
        total = start.new_empty(self.n_observations, *start.shape)
        for episode in self.episodes:
            shares = of_spots(episode.spots)
            before = start
            for row, new in episode.steps():
                if new.start == new.stop:
                    total[row] = before
                else:
                    join(before, reduce(shares[new]), out=total[row])
                before = total[row]
        return total


def _in_order(masks: torch.Tensor, n_bought: int) -> torch.Tensor:
    """Return the purchases of the last mask, those first that most of the masks have."""
    return masks.sum(0).argsort(descending=True, stable=True)[:n_bought]


def nearest_purchase(distances: torch.Tensor, bought: Purchases) -> torch.Tensor:
    """Return the distance of every spot to the nearest bought one, (B, N); inf before the first.

    Parameters
    ----------
    distances
        Between spots, (N, N), symmetric.
    bought
        By B observations.
    """
    never = torch.full_like(distances[0], torch.inf)
    rows = distances.__getitem__
    return bought.accumulate(never, rows, torch.minimum, partial(torch.amin, dim=0))
