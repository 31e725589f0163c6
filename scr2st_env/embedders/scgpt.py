"""scGPT's embedding of cells and spots, from a local folder of its published weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scr2st_env.arrays import FloatArray, finite_matrix
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.embedders.alignment import PlatformAlignment
from scr2st_env.embedders.profiles import MIN_SHARED, Profiles
from scr2st_env.embedders.storage import load_arrays, save_arrays
from scr2st_env.encoders.weights import digest_of, read_json, read_weights
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.embedders.base import Platform

KIND = "ScGPTEmbedder"
CELL = "<cls>"
FILES = ("args.json", "vocab.json", "best_model.pt")


class ScGPTEmbedder:
    """Cells and spots in the space of a pretrained scGPT [1]_, the two platforms aligned.

    A profile becomes the genes it expresses, each with the bin of its count among the profile's
    own; the transformer's cell token, of length 1, is the embedding. Where scGPT draws at
    random, this does not: a run of equal counts gets the middle of the bins that it covers, and of
    a profile with more genes than fit, the same seed always keeps the same ones.

    Parameters
    ----------
    folder
        A checkpoint of scGPT: ``args.json``, ``vocab.json`` and ``best_model.pt``.
    n_components
        Width of the embedding: principal components of the cells; None keeps scGPT's own (512 in
        the published models).
    max_length
        Tokens per profile, the cell's included.
    batch_size
        Profiles at a time.
    seed
        Of the choice among too many genes.
    device
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ...

    Raises
    ------
    InputError
        If the folder is no checkpoint of scGPT.

    References
    ----------
    .. [1] Cui et al. (2024), Nature Methods 21, 1470-1480.
    """

    def __init__(
        self,
        folder: str | Path,
        n_components: int | None = 16,
        *,
        max_length: int = 1200,
        batch_size: int = 16,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        from scr2st_env.embedders.scgpt_network import network_of
        from scr2st_env.encoders.frozen import chosen_device

        place = Path(folder)
        if not place.is_dir():
            raise InputError(f"{place} is no folder; name one with {', '.join(FILES)} of scGPT")
        missing = [name for name in FILES if not (place / name).is_file()]
        if missing:
            raise InputError(f"{place} holds no {missing[0]}; copy the whole checkpoint of scGPT")
        self.folder = str(place)
        self.max_length, self.batch_size, self.seed = max_length, batch_size, seed
        settings, self._vocabulary = (read_json(place / name) for name in FILES[:2])
        self._device = chosen_device(device)
        weights = read_weights([place / FILES[2]])
        self._network = network_of(settings, weights, str(place)).to(self._device)
        self._padding = settings.get("pad_token", "<pad>")
        self._filler = float(settings.get("pad_value", -2))
        self._n_bins = int(settings.get("n_bins", 51))
        absent = [token for token in (CELL, self._padding) if token not in self._vocabulary]
        if absent:
            raise InputError(f"{place / FILES[1]} lacks the token {absent[0]!r}")
        self._digest = digest_of([place / name for name in FILES], {})
        self._alignment = PlatformAlignment(n_components)
        self.n_components = n_components or int(settings["embsize"])

    def fit(
        self, reference: AnnData | str | Path, slides: Sequence[AnnData | str | Path] = ()
    ) -> Self:
        """Learn how spots and cells differ; scGPT itself is left as it is.

        Parameters
        ----------
        reference
            Cells with raw counts.
        slides
            The **training** slides. Without any, only cells can be embedded.

        Returns
        -------
        ScGPTEmbedder
            Itself.

        Raises
        ------
        InputError
            If fewer than 50 genes are in scGPT's vocabulary.
        """
        cells = self._embedded(Profiles.read(reference, "cells"))
        training = [self._measured(Profiles.read(slide, "spots")) for slide in slides]
        self._alignment.fit(cells, np.concatenate(training) if training else None)
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
            Read-only. A row without counts is zero, the middle of the space.

        Raises
        ------
        InputError
            If it is not fitted for this platform, or too few genes are known.
        """
        profiles = Profiles.read(source, platform)
        aligned = self._alignment.transform(self._embedded(profiles), platform)
        aligned[profiles.totals == 0] = 0
        return finite_matrix(aligned, f"{profiles.where} embedding")

    def save(self, path: str | Path) -> None:
        """Write what was learned to one ``.safetensors`` file; scGPT's own stays in its folder."""
        settings = {
            "folder": str(Path(self.folder).absolute()),
            "checkpoint": self._digest,
            "n_components": self._alignment.n_components,
            "max_length": self.max_length,
            "seed": self.seed,
        }
        save_arrays(path, KIND, settings, self._alignment.arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the embedder that :meth:`save` wrote.

        Raises
        ------
        InputError
            If the checkpoint's folder is gone, or holds another one.
        """
        settings, arrays = load_arrays(path, KIND)
        checkpoint = settings.pop("checkpoint")
        embedder = cls(**settings)
        if embedder._digest != checkpoint:
            raise InputError(
                f"{path} was fitted with another checkpoint than {embedder.folder} holds now; put "
                "that back, or fit anew"
            )
        embedder._alignment = PlatformAlignment.of(settings["n_components"], arrays)
        return embedder

    def _measured(self, profiles: Profiles) -> NDArray[np.float32]:
        return self._embedded(profiles)[profiles.totals >= MIN_COUNTS]

    def _embedded(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return what scGPT gives, (n, D)."""
        import torch

        known = np.array([gene in self._vocabulary for gene in profiles.genes.tolist()], bool)
        if known.sum() < MIN_SHARED:
            raise InputError(
                f"{profiles.where} has {known.sum()} genes of scGPT's vocabulary, which names them "
                f"like 'ERBB2' (it has {profiles.examples}); name genes by symbols"
            )
        ids = np.array([self._vocabulary[gene] for gene in profiles.genes[known].tolist()])
        values = profiles.values[:, np.flatnonzero(known)].tocsr()
        parts = [np.empty((0, self._network.width), np.float32)]
        for start in range(0, values.shape[0], self.batch_size):
            rows = values[start : start + self.batch_size]
            tokens, bins, padding = (
                torch.from_numpy(array).to(self._device) for array in self._tokens(rows, ids)
            )
            with torch.inference_mode():
                parts.append(self._network(tokens, bins, padding).cpu().numpy())
        return np.concatenate(parts)

    def _tokens(self, rows: Any, ids: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """Tokens, bins and padding of some profiles, each (n, length)."""
        genes, bins = [], []
        for row in rows:
            expressed = row.indices[row.data > 0]
            binned = _bins(row.data[row.data > 0].astype(np.float64), self._n_bins)
            if len(expressed) >= self.max_length:
                keep = np.random.default_rng(self.seed).permutation(len(expressed))
                keep = np.sort(keep[: self.max_length - 1])
                expressed, binned = expressed[keep], binned[keep]
            genes.append(ids[expressed])
            bins.append(binned)
        shape = (len(genes), 1 + max(map(len, genes)))
        tokens = np.full(shape, self._vocabulary[self._padding], np.int64)
        values = np.full(shape, self._filler, np.float32)
        tokens[:, 0] = self._vocabulary[CELL]
        for index, (gene, value) in enumerate(zip(genes, bins, strict=True)):
            tokens[index, 1 : 1 + len(gene)], values[index, 1 : 1 + len(gene)] = gene, value
        return tokens, values, tokens == self._vocabulary[self._padding]


def _bins(values: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    """Bin of each positive count among its profile's: 1 .. n_bins - 1, by quantiles."""
    if not len(values):
        return values
    edges = np.quantile(values, np.linspace(0, 1, n_bins - 1))
    above, below = np.digitize(values, edges), np.digitize(values, edges, right=True)
    return np.ceil((above + below) / 2)
