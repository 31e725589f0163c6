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
    """The network's regression head."""

    network: Network

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:  # noqa: ARG002
        """Return (n, G)."""
        return regress(self.network, features.astype(np.float32)).astype(np.float64)


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
    """Experts and their weights.

    Parameters
    ----------
    experts
        By name.
    weights
        By name; not necessarily summing to 1.
    offset
        Added to the weighted sum, (G,).
    adds
        Whether kriging adds to the others (it predicts what they leave) or takes their place.
    spread
        Mean spread of the profiles retrieved for measured spots, 0 without retrieval.
    """

    experts: dict[str, Expert]
    weights: dict[str, float]
    offset: Matrix
    adds: bool
    spread: float = 0.0

    def predict(self, features: Matrix, places: Matrix | None) -> Matrix:
        """Return the weighted sum, (n, G)."""
        blended = np.tile(self.offset, (len(features), 1))
        for name, weight in self._usable_weights(places).items():
            blended += weight * self.experts[name].predict(features, places)
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

    def _usable_weights(self, places: Matrix | None) -> dict[str, float]:
        used = {name: weight for name, weight in self.weights.items() if weight > 0}
        kriging = self.experts.get("kriging")
        if not isinstance(kriging, Interpolation) or kriging.serves(places):
            return used
        used.pop("kriging", None)
        others = [name for name in self.experts if name != "kriging"]
        if not others:
            raise InputError("SCR2Net was fitted with coordinates; predict needs them too")
        if self.adds:
            return used
        total = sum(used.values())
        if total == 0:
            return dict.fromkeys(others, 1 / len(others))
        return {name: weight / total for name, weight in used.items()}
