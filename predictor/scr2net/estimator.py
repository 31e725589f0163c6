"""SCR2Net: four experts, blended by what each was worth on spots that it had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, overload

import numpy as np
from sklearn.utils.validation import check_is_fitted

from predictor.base import Cohort, Measured, Predictor
from predictor.ridge import MIN_SPOTS
from predictor.scr2net.experts import EXPERTS, Retrieval
from predictor.scr2net.fitting import fit_experts, serves_alone
from predictor.scr2net.gate import ProgramGate, held_out_error
from predictor.scr2net.parameters import check_parameters, settings_of
from predictor.scr2net.pretraining import PretrainedCohort, pretrain
from predictor.scr2net.saving import load, save
from predictor.scr2net.support import Support, bank_rows, support_of
from predictor.scr2net.training import Settings
from scr2st_env.arrays import FloatArray
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from predictor.base import Matrix
    from predictor.reference_cells import ReferenceCells


class SCR2Net(Predictor):
    """Regression and retrieval from an image, kriging from measured neighbours, and a gate.

    Four experts predict the standardised expression of a spot:

    * ``linear``: ridge regression on the features, the skip path around the network;
    * ``regression``: a trained adapter on the features and a regression head;
    * ``retrieval``: the profiles of measured spots whose image and expression embed near the
      image of the spot, those of minority cell types dropped;
    * ``kriging``: Gaussian processes on places and features, each expression program with a noise
      of its own.

    Their blend is convex, with weights learned on held-out measured spots; then each expression
    program gets the gain that held-out spots justify. With a cohort the network is trained on its
    slides first, and linear and kriging predict what the cohort's ridge regression, trusted as far
    as the measured spots confirm it, leaves unexplained. Where fewer than four spots of the slide
    are measured, the first three experts are the cohort's, and the cohort's patients, left out in
    turn, decide.

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
        Retrieved spots, cell types kept among them (None: all), and temperature of their weights.
    random_state
        Seed; the same seed gives the same bits on one machine.
    device
        "auto" (cuda where there is one), "cpu", "cuda", ...
    epochs
        How often the network sees the measured spots.
    gate
        Whether held-out spots decide anything: without, the experts have fixed weights and no
        program has a gain.
    use_cohort, use_coordinates
        Whether to learn from a cohort, and from places, where ``fit`` is given them.

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
        n_types: int | None = 2,
        retrieval_temperature: float = 0.4,
        random_state: int = 0,
        device: str = "auto",
        epochs: int = 30,
        gate: bool = True,
        use_cohort: bool = True,
        use_coordinates: bool = True,
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
        self.epochs = epochs
        self.gate = gate
        self.use_cohort = use_cohort
        self.use_coordinates = use_coordinates

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
        encoder: str = "",
        return_std: Literal[False] = False,
    ) -> FloatArray: ...
    @overload
    def predict(
        self,
        X: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        encoder: str = "",
        return_std: Literal[True],
    ) -> tuple[FloatArray, FloatArray]: ...
    def predict(
        self,
        X: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        encoder: str = "",
        return_std: bool = False,
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Predict the expression of spots.

        Parameters
        ----------
        X
            Patch features, (n, D).
        coordinates
            Places in spot pitches, (n, 2), on the slide of the measured spots; without them
            kriging is left out where ``fit`` had coordinates.
        encoder
            Name of the encoder of X; one other than that of ``fit`` is refused.
        return_std
            Whether to return the standard deviation too.

        Returns
        -------
        ndarray of float32, shape (n, G)
            Or two of them: the prediction, and the standard deviation of the measurement
            around it, from held-out errors, kriging variance and the spread of retrieved profiles.
        """
        predicted = super().predict(X, coordinates=coordinates, encoder=encoder)
        if not return_std:
            return predicted
        features, places = self._checked_query(X, coordinates, encoder)
        ratio = self.blend_.relative_variance(features, places)
        std = np.sqrt(ratio)[:, None] * self.held_out_error_
        return predicted, self._shaped(std)

    def retrieve(
        self,
        X: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        encoder: str = "",
        cells: ReferenceCells | None = None,
        n_cells: int = 20,
    ) -> Support:
        """Return the measured spots, and the reference's cells, that support a prediction.

        Parameters
        ----------
        X
            Patch features, (n, D).
        coordinates
            Places of the spots, which the prediction that cells are compared with may need.
        encoder
            Name of the encoder of X; one other than that of ``fit`` is refused.
        cells
            Single cells with the same genes.
        n_cells
            How many of them to name per spot.

        Returns
        -------
        Support
            Indices below ``n_measured_`` are rows of what ``fit`` got; those above, less
            ``n_measured_``, are rows of the cohort, which serves while there are fewer than four
            measured spots. Its ``table()`` reads well.

        Raises
        ------
        InputError
            If retrieval is not among the experts, or the cells share no gene.
        """
        features, places = self._checked_query(X, coordinates, encoder)
        retrieval = self.blend_.experts.get("retrieval")
        if not isinstance(retrieval, Retrieval):
            raise InputError("retrieval is not among the experts of this SCR2Net; add 'retrieval'")
        found = support_of(
            retrieval, features, self.bank_names_, self.bank_slides_, self.type_names_
        )
        if cells is None:
            return found
        profiles = self.gate_(self.blend_.predict(features, places))
        return replace(found, cells=cells.nearest(profiles, self.spread_, self.genes_, n_cells))

    def save(self, path: str | Path) -> None:
        """Write the fitted predictor to one safetensors file, its configuration as JSON inside.

        Parameters
        ----------
        path
            For example ``"c2.safetensors"``.
        """
        check_is_fitted(self)
        learned = {name: value for name, value in vars(self).items() if name.endswith("_")}
        save(path, self.get_params(), learned)

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
        parameters, learned = load(path)
        model = cls(**parameters)
        for name, value in learned.items():
            setattr(model, name, value)
        return model

    def _fit(self, measured: Measured, cohort: Cohort | None) -> None:
        if not self.use_coordinates:
            measured = replace(measured, coordinates=None)
        if not self.use_cohort:
            cohort = None
            if measured.n_spots < 2:
                raise InputError(
                    "without the cohort, which use_cohort=False leaves out, fit needs at least 2 "
                    f"measured spots of one slide, got {measured.n_spots}"
                )
        pretrained = None if cohort is None else self._pretrained(cohort)
        fitted = fit_experts(
            measured, pretrained, tuple(self.experts), self._settings(), gate=self.gate
        )
        learned, self.level_, self.spread_ = fitted.learned, fitted.level, fitted.spread
        self.blend_, self.weights_ = learned.blend, learned.blend.weights
        self.bank_names_, self.bank_slides_ = bank_rows(
            self.spot_names_[: measured.n_spots],
            pretrained if serves_alone(pretrained, measured.n_spots) else None,
        )
        self.gate_ = ProgramGate.open(self.n_genes_)
        if self.gate and self.program_gate and len(fitted.truth) >= MIN_SPOTS:
            self.gate_ = ProgramGate.fit(learned.held_out, fitted.truth, learned.programs)
        self.held_out_error_ = held_out_error(
            self.gate_(learned.held_out), fitted.truth, self.spread_
        )

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
        return settings_of(self.get_params())

    def _check_parameters(self) -> None:
        check_parameters(self.get_params())
