"""SCR2Net: four experts, blended by what each was worth on spots that it had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, overload

import numpy as np

from predictor.base import Cohort, Measured, Predictor, gene_spread, level
from predictor.ridge import MIN_SPOTS
from predictor.scr2net.experts import EXPERTS, Retrieval
from predictor.scr2net.gate import ProgramGate
from predictor.scr2net.learning import cohort_base, from_cohort, learn
from predictor.scr2net.pretraining import PretrainedCohort, pretrain
from predictor.scr2net.training import Settings
from scr2st_env.arrays import FloatArray
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from predictor.base import Matrix
    from predictor.scr2net.retrieval import Neighbourhood


class SCR2Net(Predictor):
    """Regression and retrieval from an image, kriging from measured neighbours, and a gate.

    Four experts predict the standardised expression of a spot:

    * ``linear``: ridge regression on the features, the skip path around the network;
    * ``regression``: a trained adapter on the features and a regression head;
    * ``retrieval``: the profiles of measured spots whose image and expression embed near the
      image of the spot, those of minority cell types dropped;
    * ``kriging``: Gaussian processes on places and features.

    Their blend is convex, with weights learned on held-out measured spots; then each expression
    program gets the gain that held-out spots justify. With a cohort the network is trained on its
    slides first, and linear and kriging predict what the cohort's ridge regression, trusted as far
    as the measured spots confirm it, leaves unexplained.

    Parameters
    ----------
    experts
        Those to use. ``("regression",)`` is the design of ST-Net, ``("retrieval",)`` of BLEEP.
    program_gate
        Whether programs get gains.
    width
        Of the image encoding.
    learning_rate, weight_decay, batch_size
        Of AdamW, one optimiser for all modules.
    pearson_weight, contrastive_weight, retrieval_weight
        Weights of 1 - Pearson, of the contrastive loss and of the soft labels, beside the mean
        squared error.
    n_neighbors, n_types, retrieval_temperature
        Retrieved spots, cell types kept among them, and temperature of their weights.
    random_state
        Seed; the same seed gives the same bits on one machine.
    device
        "auto" (cuda where there is one), "cpu", "cuda", ...

    Attributes
    ----------
    weights_ : dict
        Weight of each expert.
    gate_ : ProgramGate
        Gains of the expression programs.

    References
    ----------
    SCR2-ST (arXiv 2512.13635); BLEEP (Xie et al., NeurIPS 2023); ST-Net (He et al., Nature
    Biomedical Engineering 2020).
    """

    def __init__(
        self,
        experts: Sequence[str] = EXPERTS,
        program_gate: bool = True,
        width: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 128,
        pearson_weight: float = 0.0,
        contrastive_weight: float = 0.2,
        retrieval_weight: float = 0.2,
        n_neighbors: int = 30,
        n_types: int = 2,
        retrieval_temperature: float = 0.4,
        random_state: int = 0,
        device: str = "auto",
    ) -> None:
        self.experts = experts
        self.program_gate = program_gate
        self.width = width
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.pearson_weight = pearson_weight
        self.contrastive_weight = contrastive_weight
        self.retrieval_weight = retrieval_weight
        self.n_neighbors = n_neighbors
        self.n_types = n_types
        self.retrieval_temperature = retrieval_temperature
        self.random_state = random_state
        self.device = device

    def pretrain(self, cohort: Cohort) -> PretrainedCohort:
        """Learn from a cohort once; give the result to ``fit(cohort=...)`` as often as needed.

        Parameters
        ----------
        cohort
            Spots of retrospective slides.

        Returns
        -------
        PretrainedCohort
        """
        self._check_parameters()
        return pretrain(cohort, self._settings())

    @overload
    def predict(
        self,
        X: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        return_std: Literal[False] = False,
    ) -> FloatArray: ...
    @overload
    def predict(
        self, X: ArrayLike, *, coordinates: ArrayLike | None = None, return_std: Literal[True]
    ) -> tuple[FloatArray, FloatArray]: ...
    def predict(
        self, X: ArrayLike, *, coordinates: ArrayLike | None = None, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Predict the expression of spots.

        Parameters
        ----------
        X
            Patch features, (n, D).
        coordinates
            Places in spot pitches, (n, 2), on the slide of the measured spots; without them
            kriging is left out where ``fit`` had coordinates.
        return_std
            Whether to return the standard deviation too.

        Returns
        -------
        ndarray of float32, shape (n, G)
            Or two of them: the prediction, and the standard deviation of the measurement
            around it, from held-out errors, kriging variance and the spread of retrieved profiles.
        """
        predicted = super().predict(X, coordinates=coordinates)
        if not return_std:
            return predicted
        features, places = self._checked_query(X, coordinates)
        ratio = self.blend_.relative_variance(features, places)
        std = np.sqrt(ratio)[:, None] * self.held_out_error_ * self.spread_
        return predicted, std.astype(np.float32)

    def retrieve(self, X: ArrayLike) -> Neighbourhood:
        """Return the measured spots that support a prediction.

        Parameters
        ----------
        X
            Patch features, (n, D).

        Returns
        -------
        Neighbourhood
            Indices below ``n_measured_`` are rows of what ``fit`` got; those above, less
            ``n_measured_``, are rows of the cohort.

        Raises
        ------
        InputError
            If retrieval is not among the experts.
        """
        features, _ = self._checked_query(X, None)
        retrieval = self.blend_.experts.get("retrieval")
        if not isinstance(retrieval, Retrieval):
            raise InputError("retrieval is not among the experts of this SCR2Net; add 'retrieval'")
        return retrieval.neighbours(features)

    def save(self, path: str | Path) -> None:
        """Write the fitted predictor to one safetensors file, its configuration as JSON inside.

        Parameters
        ----------
        path
            For example ``"c2.safetensors"``.
        """
        from predictor.scr2net.saving import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote; nothing in the file is executed.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        SCR2Net
            Its predictions are those of the saved one.

        Raises
        ------
        InputError
            If the file is not a saved SCR2Net.
        """
        from predictor.scr2net.saving import load

        return load(cls, path)

    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        names, settings = tuple(self.experts), self._settings()
        pretrained = None if cohort is None else self._pretrained(cohort)
        self.level_ = level(measured, cohort)
        if pretrained is not None and measured.n_spots < MIN_SPOTS:
            self.spread_ = pretrained.spread
            targets = (measured.expression - self.level_) / self.spread_
            learned = from_cohort(pretrained, measured, targets, names)
        else:
            self.spread_ = gene_spread(measured.expression)
            targets = (measured.expression - self.level_) / self.spread_
            base = cohort_base(pretrained, measured, targets, self.spread_)
            learned = learn(measured, targets, names, settings, base, pretrained)
        self.blend_, self.weights_ = learned.blend, learned.blend.weights
        truth = targets[learned.rows]
        self.gate_ = ProgramGate.open(self.n_genes_)
        if self.program_gate and len(truth) >= MIN_SPOTS:
            self.gate_ = ProgramGate.fit(learned.held_out, truth)
        self.held_out_error_ = _held_out_error(self.gate_(learned.held_out), truth)

    def _predict(self, features: Matrix, coordinates: Matrix | None) -> Matrix:
        blended = self.blend_.predict(features, coordinates)
        return self.level_ + self.spread_ * self.gate_(blended)

    def _pretrained(self, cohort: Cohort) -> PretrainedCohort:
        if not isinstance(cohort, PretrainedCohort):
            return self.pretrain(cohort)
        if cohort.settings != self._settings():
            raise InputError(
                "the cohort was pretrained with other parameters than this SCR2Net has; "
                "pretrain it again with this one's pretrain(cohort)"
            )
        return cohort

    def _settings(self) -> Settings:
        return Settings(
            width=self.width,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            pearson_weight=self.pearson_weight,
            contrastive_weight=self.contrastive_weight,
            retrieval_weight=self.retrieval_weight,
            n_neighbors=self.n_neighbors,
            n_types=self.n_types,
            retrieval_temperature=self.retrieval_temperature,
            seed=self.random_state,
            device=self.device,
        )

    def _check_parameters(self) -> None:
        unknown = [name for name in self.experts if name not in EXPERTS]
        if unknown or not self.experts:
            raise InputError(
                f"experts must be some of {', '.join(EXPERTS)}; got {list(self.experts)}"
            )
        for name in ("width", "batch_size", "n_neighbors", "n_types"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "retrieval_temperature"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("weight_decay", "pearson_weight", "contrastive_weight", "retrieval_weight"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")


def _held_out_error(predicted: Matrix, truth: Matrix) -> Matrix:
    """Root mean squared error per gene, pulled to that of all genes; 1 where nothing is known."""
    if len(truth) < MIN_SPOTS:
        return np.ones(truth.shape[1])
    squared = ((truth - predicted) ** 2).mean(axis=0)
    return np.sqrt(0.9 * squared + 0.1 * squared.mean())
