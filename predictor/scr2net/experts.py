"""The four experts of SCR2Net and their blend; all expression here is standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from predictor.gaussian_process import Projection
from predictor.scr2net.kriging import Kriging
from predictor.scr2net.modules import Network
from predictor.scr2net.retrieval import MemoryBank, Neighbourhood
from predictor.scr2net.training import Settings, embed_images, regress
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from predictor.base import Matrix

NETWORK_EXPERTS = ("regression", "retrieval")
IMAGE_EXPERTS = ("linear", *NETWORK_EXPERTS)
EXPERTS = (*IMAGE_EXPERTS, "kriging")


class Expert(Protocol):
    """Predicts standardised expression from features and, for kriging, places."""

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:
        """Return (n, G)."""
        ...


@dataclass(frozen=True)
class Linear:
    """Ridge regression: the skip path around the network; (D,) mean and (D, G) coefficients."""

    mean: Matrix
    coefficients: Matrix

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:  # noqa: ARG002
        """Return (n, G)."""
        return (features - self.mean) @ self.coefficients


@dataclass(frozen=True)
class Regression:
    """The network's regression head, less what ``base`` predicts."""

    network: Network
    base: Linear

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:
        """Return (n, G)."""
        predicted = regress(self.network, features.astype(np.float32))
        return predicted - self.base.predict(features, places)


@dataclass(frozen=True)
class Retrieval:
    """Profiles of measured spots near the image of a spot in the shared space."""

    network: Network
    bank: MemoryBank
    settings: Settings

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:  # noqa: ARG002
        """Return (n, G)."""
        return self.bank.soft_labels(self.neighbours(features)).astype(np.float64)

    def neighbours(self, features: Matrix, own: NDArray[np.int64] | None = None) -> Neighbourhood:
        """Return the spots that support each prediction; ``own`` rows of the bank are left out."""
        return self.bank.retrieve(
            embed_images(self.network, features.astype(np.float32)),
            self.settings.n_neighbors,
            n_types=self.settings.n_types,
            temperature=self.settings.retrieval_temperature,
            own=own,
        )


@dataclass(frozen=True)
class Interpolation:
    """Kriging, in the space of a projection of the features."""

    projection: Projection
    kriging: Kriging

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:
        """Return (n, G)."""
        return self.kriging.predict(self._known(places), self.projection(features))

    def relative_variance(self, features: Matrix, places: Matrix | None) -> Matrix:
        """Return the variance over that of a held-out measured spot, (n,)."""
        variance = self.kriging.relative_variance(self._known(places), self.projection(features))
        return variance / self.kriging.held_out_variance().mean()

    def serves(self, places: Matrix | None) -> bool:
        """Whether everything that was fitted on is given."""
        return places is not None or self.kriging.places is None

    def _known(self, places: Matrix | None) -> Matrix | None:
        return None if self.kriging.places is None else places


@dataclass(frozen=True)
class Blend:
    """What a cohort predicts, plus the experts' weighted mean of what it leaves.

    Parameters
    ----------
    base
        The cohort's part; zero without one.
    experts
        By name.
    weights
        By name, summing to 1.
    scales
        By name: what brings an expert to the amplitude of the most cautious one, so that weights
        mean what they say.
    spread
        Mean spread of the profiles retrieved for measured spots, 0 where that is unknown.
    """

    base: Linear
    experts: dict[str, Expert]
    weights: dict[str, float]
    scales: dict[str, float]
    spread: float = 0.0

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:
        """Return (n, G)."""
        blended = self.base.predict(features, None)
        for name, weight in self._usable_weights(places):
            part = self.experts[name].predict(features, places)
            blended = blended + weight * self.scales[name] * part
        return blended

    def relative_variance(self, features: Matrix, places: Matrix | None) -> Matrix:
        """Return how much less certain a spot is than a held-out measured one, about 1, (n,)."""
        ratios: list[Matrix] = []
        kriging, retrieval = self.experts.get("kriging"), self.experts.get("retrieval")
        if isinstance(kriging, Interpolation) and kriging.serves(places):
            ratios.append(kriging.relative_variance(features, places))
        if isinstance(retrieval, Retrieval) and self.spread > 0:
            found = retrieval.neighbours(features)
            ratios.append(retrieval.bank.spread(found).astype(np.float64) / self.spread)
        return np.mean(ratios, axis=0) if ratios else np.ones(len(features))

    def _usable_weights(self, places: Matrix | None) -> list[tuple[str, float]]:
        """Without the places that it was fitted on, kriging leaves its weight to the others."""
        kriging = self.experts.get("kriging")
        used = dict(self.weights)
        if isinstance(kriging, Interpolation) and not kriging.serves(places):
            del used["kriging"]
            if not used:
                raise InputError("SCR2Net was fitted with coordinates; predict needs them too")
            if not any(used.values()):
                used = dict.fromkeys(used, 1.0)
        total = sum(used.values())
        return [(name, weight / total) for name, weight in used.items() if weight > 0]
