"""What a cell embedder is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, Self, runtime_checkable

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from scr2st_env.arrays import FloatArray

Platform = Literal["spots", "cells"]


@runtime_checkable
class CellEmbedder(Protocol):
    """Puts single cells and spots into one space, so that a spot can be near a cell state.

    Whatever is estimated on spots comes from the slides given to :meth:`fit`, the training
    slides: statistics of the slide at hand would leak expression that was not yet bought.
    """

    n_components: int

    def fit(
        self, reference: AnnData | str | Path, slides: Sequence[AnnData | str | Path] = ()
    ) -> Self:
        """Learn from the atlas, and the scale of spots from the training slides."""
        ...

    def transform(self, source: AnnData | str | Path, platform: Platform = "spots") -> FloatArray:
        """Return the embedding, float32 (n, n_components); a row depends on that row alone."""
        ...

    def save(self, path: str | Path) -> None:
        """Write everything learned to one ``.safetensors`` file."""
        ...


def get_embedder(
    name: str = "pca", *, n_components: int = 16, n_genes: int = 2000, seed: int = 0
) -> CellEmbedder:
    """Return an embedder, to be fitted.

    Parameters
    ----------
    name
        ``"pca"``; ``"scvi"``, trained here; or ``"scgpt:FOLDER"`` with a checkpoint of scGPT in
        the folder.
    n_components
        Width of the embedding.
    n_genes
        Most variable genes to use; scGPT has its own vocabulary instead.
    seed
        Of whatever is drawn.

    Returns
    -------
    CellEmbedder

    Raises
    ------
    InputError
        If there is no such embedder, its library is missing, or the folder is no checkpoint.
    """
    kind, _, folder = name.partition(":")
    if name == "pca":
        from scr2st_env.embedders.pca import PCAEmbedder

        return PCAEmbedder(n_components, n_genes, seed)
    if name == "scvi":
        from scr2st_env.embedders.scvi import ScVIEmbedder

        return ScVIEmbedder(n_components, n_genes, seed)
    if kind == "scgpt" and folder:
        from scr2st_env.embedders.scgpt import ScGPTEmbedder

        return ScGPTEmbedder(folder, n_components, seed=seed)
    raise InputError(f"no cell embedder is named {name!r}; there is pca, scvi and scgpt:FOLDER")


def load_embedder(path: str | Path) -> CellEmbedder:
    """Return a fitted embedder, whichever was saved.

    Parameters
    ----------
    path
        What :meth:`CellEmbedder.save` wrote.

    Raises
    ------
    InputError
        If the file holds none.
    """
    from scr2st_env.embedders.storage import kind_of

    kind = kind_of(path)
    if kind == "PCAEmbedder":
        from scr2st_env.embedders.pca import PCAEmbedder

        return PCAEmbedder.load(path)
    if kind == "ScGPTEmbedder":
        from scr2st_env.embedders.scgpt import ScGPTEmbedder

        return ScGPTEmbedder.load(path)
    if kind == "ScVIEmbedder":
        from scr2st_env.embedders.scvi import ScVIEmbedder

        return ScVIEmbedder.load(path)
    raise InputError(f"{path} holds {kind or 'something else'}, not an embedder")
