"""The agent that looks one purchase ahead, free of the slides that it learned from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from agents.baselines.feedback import FeedbackAgent
from agents.lookahead.gain import expected_gain
from agents.lookahead.posterior import TargetedPosterior
from agents.lookahead.programs import LEVEL, ExpressionPrograms
from agents.record import Origin
from scr2st_env.embedders.storage import load_arrays, save_arrays
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel
from scr2st_env.inducing_points import covariance_between, spread_spots

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from agents.baselines.feedback import Returned
    from scr2st_env.arrays import BoolArray
    from scr2st_env.slide import PublicSlide

    Matrix = NDArray[np.float64]
    Indices = NDArray[np.int64]

KIND = "LookaheadAgent"
PREDICTOR_LEVEL = 1.0  # variance of the level that a predictor has to learn, in prior variances
TIE = 1e-6


@dataclass(eq=False)
class LookaheadAgent(FeedbackAgent):
    """Buys the spot that is expected to help the predictor most, given all that came back.

    It has a model of expression, learned on slides of the past: a few programs, how each varies
    over a tissue, and how much noise a spot adds. Given the measured spots of the slide at hand it
    knows what the model expects everywhere, and what a predictor of single genes, whose signals
    are far weaker, will make of the same spots. It buys where the difference falls most
    (:func:`~agents.lookahead.gain.expected_gain`). Before anything is back, and for spots whose
    round is not, only the covariances count: it is then a design.

    The environment must be made with ``feedback=True``.

    Parameters
    ----------
    programs
        The model.
    predictor
        Kernel with which expression is going to be predicted.
    encoder
        Of the patch features of the slides that it learned from.
    n_features
        Their width; 0 where these slides had no image, and then it does not look at one.
    record
        Which slides these were.
    n_targets
        Spots that stand for the tissue: all of a slide with no more, else as many, far from each
        other. A pick costs O(N (n_targets + purchases)).
    name
        Shown in results.
    """

    programs: ExpressionPrograms
    predictor: Kernel
    encoder: str = ""
    n_features: int = 0
    record: Origin | None = None
    n_targets: int = 800
    name: str = "lookahead"
    n_needed: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Check the number of targets."""
        if self.n_targets < 2:
            raise InputError(f"n_targets must be at least 2, got {self.n_targets}")

    def prepare(self, slide: PublicSlide) -> None:
        """Set all posteriors back to their priors.

        Raises
        ------
        InputError
            If the slide's features are of another encoder or width than the agent learned from.
        """
        seen, learned = (slide.n_features, slide.encoder), (self.n_features, self.encoder)
        if self.n_features and seen != learned:
            raise InputError(
                f"slide {slide.name!r} has {seen[0]} features by encoder {seen[1]!r}, but the "
                f"agent learned from {learned[0]} by {learned[1]!r}; run 'scr2st features' with "
                "that encoder"
            )
        look = covariance_between(self.predictor, slide)
        self._targets = (
            np.arange(slide.n_spots)
            if slide.n_spots <= self.n_targets
            else spread_spots(look, slide, self.n_targets)
        )
        make = partial(TargetedPosterior, n_spots=slide.n_spots, targets=self._targets)
        self._predictor = make(
            _raised(look, 1.0, PREDICTOR_LEVEL),
            noise=self.predictor.noise,
            n_values=self.programs.n_programs,
        )
        self._programs = [
            make(
                _raised(covariance_between(kernel, slide), variance, LEVEL),
                noise=variance * kernel.noise,
            )
            for kernel, variance in zip(self.programs.kernels, self.programs.variances, strict=True)
        ]
        self._observed: list[int] = []
        self._n_learned = 0

    def choose(
        self, slide: PublicSlide, bought: BoolArray, available: BoolArray, known: Returned
    ) -> int:
        """Return the available spot of the highest expected gain.

        Raises
        ------
        InputError
            If the embeddings are of another width than those that the agent learned from.
        """
        del slide
        self._heed(bought, known)
        unmeasured = np.ones(len(bought), bool)
        unmeasured[self._observed] = False
        gain = expected_gain(
            self._predictor, self._programs, self._targets, unmeasured[self._targets]
        )
        candidates = np.flatnonzero(available)
        among = gain[candidates]
        best = among >= among.max() - TIE * abs(among.max())
        return int(self.rng.choice(candidates[best]))

    def _heed(self, bought: BoolArray, known: Returned) -> None:
        """Take in what was bought since, and what came back since: always in the same order."""
        everything = [self._predictor, *self._programs]
        width = len(self.programs.directions)
        if known.embedding.shape[1] != width:
            raise InputError(
                f"agent {self.name!r} learned from embeddings of width {width}, and these are "
                f"{known.embedding.shape[1]} wide; embed the slide as its training slides"
            )
        values = dict(
            zip(known.spots.tolist(), known.embedding @ self.programs.directions, strict=True)
        )
        seen = set(self._observed)
        fresh = [spot for spot in [*values, *np.flatnonzero(bought).tolist()] if spot not in seen]
        for spot in dict.fromkeys(fresh):
            for posterior in everything:
                posterior.observe(spot)
            self._observed.append(spot)
        while (
            self._n_learned < len(self._observed)
            and (spot := self._observed[self._n_learned]) in values
        ):
            self._predictor.learn(values[spot])
            for posterior, value in zip(self._programs, values[spot], strict=True):
                posterior.learn([value])
            self._n_learned += 1

    def save(self, path: str | Path) -> None:
        """Write the agent to one safetensors file; the slide that it plays on is not written."""
        settings = {
            "name": self.name,
            "encoder": self.encoder,
            "n_features": self.n_features,
            "record": None if self.record is None else asdict(self.record),
            "n_targets": self.n_targets,
            "predictor": asdict(self.predictor),
            "kernels": [asdict(kernel) for kernel in self.programs.kernels],
            "variances": list(self.programs.variances),
        }
        save_arrays(path, KIND, settings, {"directions": self.programs.directions})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an agent that :meth:`save` wrote; nothing in the file is executed.

        Raises
        ------
        InputError
            If there is no such file, or it holds something else.
        """
        settings, arrays = load_arrays(path, KIND)
        try:
            programs = ExpressionPrograms(
                np.asarray(arrays["directions"], np.float64),
                tuple(map(float, settings["variances"])),
                tuple(Kernel(**kernel) for kernel in settings["kernels"]),
            )
            return cls(
                programs,
                Kernel(**settings["predictor"]),
                settings["encoder"],
                settings["n_features"],
                None if settings["record"] is None else Origin.of(settings["record"]),
                settings["n_targets"],
                settings["name"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error}); train the agent anew") from error


def _raised(between: Any, variance: float, level: float) -> Any:
    """Scale a covariance, a level common to all spots added."""
    return lambda one, other: variance * (level + between(one, other))
