"""scVI's embedding of cells and spots, trained here on the atlas and the training slides."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from scr2st_env.arrays import FloatArray, finite_matrix
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.embedders.alignment import PlatformAlignment
from scr2st_env.embedders.profiles import MAX_MISSING, Profiles, most_variable, shared_genes
from scr2st_env.embedders.storage import load_arrays, save_arrays
from scr2st_env.encoders.weights import missing_library
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.embedders.base import Platform

KIND = "ScVIEmbedder"
PLATFORM = "platform"
WEIGHT = "scvi."
USUAL_DEPTH = 10_000.0  # counts of a cell, where an atlas holds none


class ScVIEmbedder:
    """Cells and spots in the latent space of an scVI [1]_, the two platforms as its batches.

    One scVI is trained on the counts of the atlas and of the training slides together, so that its
    decoder explains away how the platforms differ. What difference is left is taken out as for
    other pretrained spaces: each platform is centred, and spots, being mixtures, are stretched to
    the cells' total variance. Rows of the atlas that are no counts (TPM) are scaled to the median
    depth of those that are, and rounded.

    Parameters
    ----------
    n_components
        Width of the latent space.
    n_genes
        How many genes to use, at most: those that vary most over the atlas.
    seed
        Of weights, batches and latent draws: equal seeds give equal embedders on one machine.
    epochs
        Times that each profile is seen; None leaves it to scVI (400, fewer for many profiles).
    device
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ...

    Attributes
    ----------
    genes_
        Names of the genes used.

    Raises
    ------
    InputError
        If scvi-tools is not installed.

    References
    ----------
    .. [1] Lopez et al. (2018), Nature Methods 15, 1053-1058.
    """

    def __init__(
        self,
        n_components: int = 16,
        n_genes: int = 2000,
        seed: int = 0,
        *,
        epochs: int | None = None,
        device: str = "auto",
    ) -> None:
        _scvi()
        from scr2st_env.encoders.frozen import chosen_device

        self.n_components, self.n_genes, self.seed = n_components, n_genes, seed
        self.epochs = epochs
        self._alignment = PlatformAlignment(None)
        self._device = chosen_device(device)

    def fit(
        self, reference: AnnData | str | Path, slides: Sequence[AnnData | str | Path] = ()
    ) -> Self:
        """Train scVI.

        Parameters
        ----------
        reference
            Cells with raw counts (TPM in some rows is understood).
        slides
            The **training** slides, with raw counts. Without any, only cells can be embedded.

        Returns
        -------
        ScVIEmbedder
            Itself.

        Raises
        ------
        InputError
            If fewer than 50 genes are shared.
        """
        cells = Profiles.read(reference, "cells")
        spots = [Profiles.read(slide, "spots") for slide in slides]
        self.genes_ = most_variable(cells, shared_genes(cells, spots), self.n_genes)
        atlas = _as_counts(self._counts(cells), cells)
        training = [self._counts(each)[each.totals >= MIN_COUNTS] for each in spots]
        platforms = ["cells"] * atlas.shape[0]
        platforms += ["spots"] * sum(part.shape[0] for part in training)
        counts = sparse.vstack([atlas, *training], format="csr")
        with _quiet(), _seeded(self.seed):
            self._model = self._new_model(_annotated(counts, platforms, self.genes_))
            self._model.train(
                max_epochs=self.epochs,
                accelerator="gpu" if self._device.type == "cuda" else self._device.type,
                devices=1 if self._device.index is None else [self._device.index],
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        first_spot = atlas.shape[0]
        latent = self._latent(counts, platforms)
        shown = latent[first_spot:] if training else None
        self._alignment.fit(latent[:first_spot], shown)
        return self

    def transform(self, source: AnnData | str | Path, platform: Platform = "spots") -> FloatArray:
        """Embed spots or cells.

        Parameters
        ----------
        source
            AnnData or path with raw counts; never modified.
        platform
            ``"spots"`` or ``"cells"``: whose statistics apply.

        Returns
        -------
        ndarray of float32, shape (n, n_components)
            Read-only: the mean of scVI's posterior, which is not random. A row without counts is
            zero, the middle of the space. A gene missing from ``source`` counts as 0.

        Raises
        ------
        InputError
            If it is not fitted for this platform, or a fifth of the genes is missing.
        """
        self._alignment.must_know(platform)
        profiles = Profiles.read(source, platform)
        counts = self._counts(profiles)
        if platform == "cells":
            counts = _as_counts(counts, profiles)
        latent = self._latent(counts, [platform] * counts.shape[0])
        aligned = self._alignment.transform(latent, platform)
        aligned[profiles.totals == 0] = 0
        return finite_matrix(aligned, f"{profiles.where} embedding")

    def save(self, path: str | Path) -> None:
        """Write everything learned to one ``.safetensors`` file; scVI's own are pickles."""
        settings = {
            "n_components": self.n_components,
            "n_genes": self.n_genes,
            "seed": self.seed,
            "epochs": self.epochs,
            "genes": self.genes_,
        }
        weights = self._model.module.state_dict()
        arrays = {WEIGHT + name: tensor.cpu().numpy() for name, tensor in weights.items()}
        save_arrays(path, KIND, settings, self._alignment.arrays | arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the embedder that :meth:`save` wrote.

        Raises
        ------
        InputError
            If scvi-tools is missing, or its version builds another network.
        """
        import torch

        settings, arrays = load_arrays(path, KIND)
        genes = settings.pop("genes")
        embedder = cls(**settings)
        embedder.genes_ = genes
        platforms = ["cells", "spots"] if "spots_centre" in arrays else ["cells"]
        nothing = sparse.csr_matrix((len(platforms), len(genes)), dtype=np.float32)
        weights = {
            name.removeprefix(WEIGHT): torch.tensor(array)
            for name, array in arrays.items()
            if name.startswith(WEIGHT)
        }
        with _quiet(), _seeded(embedder.seed):
            embedder._model = embedder._new_model(_annotated(nothing, platforms, genes))
        try:
            embedder._model.module.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                f"{path} does not fit the scVI of the installed scvi-tools; fit it anew"
            ) from error
        embedder._model.is_trained = True
        embedder._model.module.eval()
        embedder._alignment = PlatformAlignment.of(None, arrays)
        return embedder

    def _new_model(self, adata: AnnData) -> Any:
        scvi = _scvi()
        scvi.model.SCVI.setup_anndata(adata, batch_key=PLATFORM)
        model = scvi.model.SCVI(adata, n_latent=self.n_components)
        model.to_device(self._device)
        return model

    def _latent(self, counts: sparse.csr_matrix, platforms: Sequence[str]) -> NDArray[np.float32]:
        """Return the mean of the posterior of each row, (n, n_components)."""
        if not counts.shape[0]:
            return np.empty((0, self.n_components), np.float32)
        with _quiet(), _seeded(self.seed):  # it draws samples even where the mean is asked for
            adata = _annotated(counts, platforms, self.genes_)
            return np.asarray(self._model.get_latent_representation(adata), np.float32)

    def _counts(self, profiles: Profiles) -> sparse.csr_matrix:
        """Return the counts of the genes used, (n, genes), zero where a gene is missing."""
        column = {gene: index for index, gene in enumerate(profiles.genes.tolist())}
        missing = [gene for gene in self.genes_ if gene not in column]
        if len(missing) > MAX_MISSING * len(self.genes_):
            raise InputError(
                f"{profiles.where} lacks {len(missing)} of the {len(self.genes_)} genes of this "
                f"embedder (first: {missing[0]!r}; it has names like {profiles.examples})"
            )
        present = [place for place, gene in enumerate(self.genes_) if gene in column]
        chosen = [column[self.genes_[place]] for place in present]
        spread_out = sparse.csr_matrix(
            (np.ones(len(present), np.float32), (np.arange(len(present)), present)),
            shape=(len(present), len(self.genes_)),
        )
        taken = profiles.values[:, chosen].astype(np.float32) @ spread_out
        return sparse.csr_matrix(taken)


def _as_counts(rows: sparse.csr_matrix, cells: Profiles) -> sparse.csr_matrix:
    """Return rows of an atlas, those with fractions scaled to the others' depth and rounded."""
    whole = cells.values.copy()
    whole.data = (whole.data != np.rint(whole.data)).astype(np.float32)
    fractional = np.asarray(whole.sum(axis=1)).ravel() > 0
    if not fractional.any():
        return rows
    totals = cells.totals
    depth = np.median(totals[~fractional]) if (~fractional).any() else USUAL_DEPTH
    factors = np.where(fractional, depth / np.maximum(totals, 1e-12), 1.0)
    scaled = sparse.csr_matrix(sparse.diags_array(factors.astype(np.float32)) @ rows)
    scaled.data = np.rint(scaled.data)
    scaled.eliminate_zeros()
    return scaled


def _annotated(
    counts: sparse.csr_matrix, platforms: Sequence[str], genes: Sequence[str]
) -> AnnData:
    import pandas as pd
    from anndata import AnnData

    names = pd.Index([f"row {index}" for index in range(len(platforms))])
    labels = pd.DataFrame({PLATFORM: pd.Categorical(list(platforms))}, index=names)
    return AnnData(counts, obs=labels, var=pd.DataFrame(index=pd.Index(list(genes))))


def _scvi() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what its own dependencies will change
            import scvi
    except ModuleNotFoundError as error:
        raise missing_library("scvi-tools", "scvi", "scvi") from error
    return scvi


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed scVI, which draws from global generators, and leave these as they were."""
    import random

    import torch

    scvi = _scvi()
    before, state, own_state = scvi.settings.seed, np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng():
        scvi.settings.seed = seed
        try:
            yield
        finally:
            scvi.settings.seed = before
            np.random.set_state(state)  # noqa: NPY002
            random.setstate(own_state)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Lightning and scVI report and advise to themselves."""
    loggers = [
        logging.getLogger(name) for name in ("scvi", "lightning.pytorch", "lightning.fabric")
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
