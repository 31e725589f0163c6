"""Genes that several slides share, and which of them are expressed most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scr2st_env.counts import COUNTS_PER
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scr2st_env.slide import Slide


def shared_genes(slides: Sequence[Slide]) -> list[str]:
    """Return the genes that every slide measured, in the order of the first.

    Raises
    ------
    InputError
        If a slide is live, or no gene is shared.
    """
    lists = []
    for slide in slides:
        if slide.hidden is None:
            raise InputError(f"slide {slide.name!r} is live; gene lists need measured slides")
        lists.append(slide.hidden.genes.tolist())
    shared = set(lists[0]).intersection(*lists[1:])
    if not shared:
        raise InputError("the slides share no gene; use the same kind of gene names in all")
    return [gene for gene in lists[0] if gene in shared]


def most_expressed_genes(
    slides: Sequence[Slide], n_genes: int, also_in: Sequence[Slide] = ()
) -> list[str]:
    """Return the genes of the highest mean counts per 10,000, most expressed first.

    Parameters
    ----------
    slides
        Their expression decides, each slide with the same weight.
    n_genes
        How many, at most.
    also_in
        Slides that must have measured the genes, too; only the *names* of their genes are read.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If a slide is live, or no gene is shared.
    """
    shared = shared_genes([*slides, *also_in])
    expressed = np.mean([_mean_cp10k(slide, shared) for slide in slides], axis=0)
    return [shared[index] for index in np.argsort(-expressed, kind="stable")[:n_genes]]


def _mean_cp10k(slide: Slide, genes: Sequence[str]) -> NDArray[np.float64]:
    assert slide.hidden is not None  # noqa: S101 - shared_genes has checked it
    counts = slide.hidden.counts
    totals = np.asarray(counts.sum(axis=1)).ravel().astype(np.float64)
    factors = np.divide(COUNTS_PER, totals, out=np.zeros_like(totals), where=totals > 0)
    column = {gene: index for index, gene in enumerate(slide.hidden.genes.tolist())}
    sums = np.asarray(factors @ counts).ravel()
    means: NDArray[np.float64] = sums[[column[gene] for gene in genes]] / slide.n_spots
    return means
