"""From cells to counts: what a spot array and a single-cell assay make of the same tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Counts = NDArray[np.int32]

PLATFORM_SPREAD = 0.5  # of the log of a platform's efficiency for one gene
SPOT_DEPTH_SPREAD = 0.5  # of the log of a spot's efficiency
SPOT_OVERDISPERSION = 0.12
BLEED = 0.2  # share of a spot's counts that came from elsewhere on the slide
FAILED_SPOTS = 0.003  # share of spots whose chemistry failed: a handful of counts at most
CELL_DEPTH = 2200.0
CELL_DEPTH_SPREAD = 0.45
CELL_OVERDISPERSION = 0.25


def platform_efficiency(rng: np.random.Generator, n_genes: int) -> Array:
    """Draw the gene-wise efficiency of a platform, (G,)."""
    return np.exp(PLATFORM_SPREAD * rng.standard_normal(n_genes))


def visible_rna(rna: Array, efficiency: Array) -> Array:
    """Return what an array would count if it counted without limit and without chance.

    Parameters
    ----------
    rna
        RNA of each gene under each spot, (N, G).
    efficiency
        Of the platform and batch for each gene, (G,).

    Returns
    -------
    ndarray of float64, shape (N, G)
        RNA of the spot and of what reached it from elsewhere on the slide.
    """
    seen = rna * efficiency
    blurred: Array = (1 - BLEED) * seen + BLEED * seen.mean(axis=0)
    return blurred


def sequence_spots(seen: Array, depth: float, rng: np.random.Generator) -> Counts:
    """Draw the counts of a slide's spots.

    Parameters
    ----------
    seen
        From :func:`visible_rna`, (N, G).
    depth
        Expected counts of a spot with the slide's mean RNA.
    rng
        Where chance comes from.

    Returns
    -------
    ndarray of int32, shape (N, G)
        Negative binomial: variance mu + d mu^2.
    """
    n_spots = len(seen)
    spot_efficiency = np.exp(SPOT_DEPTH_SPREAD * rng.standard_normal(n_spots))
    spot_efficiency[rng.random(n_spots) < FAILED_SPOTS] = 1e-4
    expected = seen * (depth / seen.sum(axis=1).mean()) * spot_efficiency[:, None]
    return _negative_binomial(expected, SPOT_OVERDISPERSION, rng)


def sequence_cells(profiles: Array, efficiency: Array, rng: np.random.Generator) -> Counts:
    """Draw the counts of dissociated cells.

    Parameters
    ----------
    profiles
        RNA of each gene in each cell, (M, G).
    efficiency
        Of the platform for each gene, (G,).
    rng
        Where chance comes from.

    Returns
    -------
    ndarray of int32, shape (M, G)
    """
    seen = profiles * efficiency
    cell_efficiency = np.exp(CELL_DEPTH_SPREAD * rng.standard_normal(len(seen)))
    expected = seen * (CELL_DEPTH / seen.sum(axis=1).mean()) * cell_efficiency[:, None]
    return _negative_binomial(expected, CELL_OVERDISPERSION, rng)


def _negative_binomial(expected: Array, dispersion: float, rng: np.random.Generator) -> Counts:
    noise = rng.standard_gamma(1 / dispersion, expected.shape) * dispersion
    # Single precision hides the last bits, in which processors differ, from the Poisson sampler.
    rates = (expected * noise).astype(np.float32)
    return rng.poisson(rates).astype(np.int32)
