"""Cell types, their gene programs, and what differs from patient to patient.

Gene names are invented, so that nobody takes this tissue for a real one: ``TUM1`` is the first
marker of the tumour type, ``COM1`` the first gene that all types share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

TYPE_NAMES = (
    "Tumour",
    "Stroma",
    "T cell",
    "B cell",
    "Myeloid",
    "Endothelial",
    "Adipocyte",
    "Normal epithelium",
)
TUMOUR, STROMA, T_CELL, B_CELL, MYELOID, ENDOTHELIAL, ADIPOCYTE, EPITHELIUM = range(8)
N_TYPES = len(TYPE_NAMES)
N_STATES = 2  # axes along which the cells of one type differ

_PREFIXES = ("TUM", "STR", "TCL", "BCL", "MYE", "END", "ADI", "EPI")
_RELATED = ((TUMOUR, EPITHELIUM), (T_CELL, B_CELL), (STROMA, ENDOTHELIAL))
_RNA_CONTENT = (1.6, 1.0, 0.45, 0.5, 0.9, 0.7, 0.8, 1.2)


@dataclass(frozen=True)
class Programs:
    """What each cell type expresses.

    Parameters
    ----------
    genes
        G invented gene names.
    log_mean
        Log abundance of each gene in each type, (T, G).
    loadings
        Change of the log abundance along each state axis of each type, (T, K, G).
    rna_content
        Typical RNA of a cell of each type, relative, (T,).
    """

    genes: tuple[str, ...]
    log_mean: Array  # (T, G)
    loadings: Array  # (T, K, G)
    rna_content: Array  # (T,)

    @classmethod
    def draw(cls, rng: np.random.Generator, n_genes: int) -> Programs:
        """Draw programs in which about half of the genes mark one of the types.

        Parameters
        ----------
        rng
            Where chance comes from.
        n_genes
            G.

        Returns
        -------
        Programs
        """
        n_markers = n_genes // (2 * N_TYPES)
        marked = np.repeat(np.arange(N_TYPES), n_markers)  # (T * n_markers,), type of each marker
        n_common = n_genes - marked.size
        log_mean = np.tile(rng.normal(0, 1.0, n_genes), (N_TYPES, 1))
        log_mean[:, : marked.size] -= 0.5
        log_mean += rng.normal(0, 0.25, log_mean.shape)
        strength = np.abs(rng.normal(2.2, 0.6, marked.size))
        log_mean[marked, np.arange(marked.size)] += strength
        for one, other in _RELATED:
            for own, relative in ((one, other), (other, one)):
                log_mean[relative, : marked.size][marked == own] += 0.4 * strength[marked == own]
        # A state is a response to the surroundings: partly the same in all types, partly its own.
        common_response = rng.normal(0, 0.15, (N_STATES, n_genes))
        own_response = rng.normal(0, 0.25, (N_TYPES, N_STATES, n_genes))
        names = [f"{_PREFIXES[kind]}{index % n_markers + 1}" for index, kind in enumerate(marked)]
        return cls(
            genes=tuple(names + [f"COM{index + 1}" for index in range(n_common)]),
            log_mean=log_mean,
            loadings=common_response + own_response,
            rna_content=np.array(_RNA_CONTENT),
        )

    def cell_profiles(
        self,
        cell_types: ArrayLike,
        states: ArrayLike,
        program_shift: ArrayLike,
        response_shift: ArrayLike,
    ) -> Array:
        """Return each cell's expected RNA of each gene.

        Parameters
        ----------
        cell_types
            Index of each cell's type, (n,).
        states
            Place of each cell along its type's state axes, (n, K).
        program_shift, response_shift
            What is particular to the donor, (T, G) and (T, K, G).

        Returns
        -------
        ndarray of float64, shape (n, G)
            Rows sum to the cell's RNA content.
        """
        kinds = np.asarray(cell_types)
        places = np.asarray(states, np.float64)
        log_means = self.log_mean + np.asarray(program_shift)
        loadings = self.loadings + np.asarray(response_shift)
        profiles = np.empty((len(kinds), len(self.genes)))
        for kind in np.unique(kinds):
            own = kinds == kind
            logs = log_means[kind] + places[own] @ loadings[kind]
            profile = np.exp(logs)
            profiles[own] = self.rna_content[kind] * profile / profile.sum(axis=1, keepdims=True)
        return profiles


@dataclass(frozen=True)
class Patient:
    """What differs from patient to patient.

    Parameters
    ----------
    region_bias
        Liking for each region of :data:`scr2st_env.synthetic.regions.REGIONS`, (R,).
    type_bias
        Factor on the density of each cell type, (T,).
    nest_bias
        How much of the tumour is filled by nests rather than the stroma between them.
    program_shift
        Change of the log abundance of each gene in each type, (T, G).
    response_shift
        Change of the loadings on the state axes, (T, K, G).
    depth
        Expected counts of a typical spot.
    nucleus_size, nucleus_darkness
        Factors on the looks of each type, (T,).
    state_look
        Change of the log size and darkness of a nucleus along each state axis, (K, 2).
    stains
        Optical density of haematoxylin and eosin in red, green and blue, (2, 3).
    """

    region_bias: Array  # (R,)
    type_bias: Array  # (T,)
    nest_bias: float
    program_shift: Array  # (T, G)
    response_shift: Array  # (T, K, G)
    depth: float
    nucleus_size: Array  # (T,)
    nucleus_darkness: Array  # (T,)
    state_look: Array  # (K, 2)
    stains: Array  # (2, 3)

    @classmethod
    def draw(cls, rng: np.random.Generator, n_regions: int, n_genes: int) -> Patient:
        """Draw a patient.

        Parameters
        ----------
        rng
            Where chance comes from.
        n_regions, n_genes
            R and G.

        Returns
        -------
        Patient
        """
        haematoxylin = np.array([0.62, 0.70, 0.32]) + rng.normal(0, 0.035, 3)
        eosin = np.array([0.13, 0.62, 0.22]) + rng.normal(0, 0.03, 3)
        return cls(
            region_bias=rng.normal(0, 0.7, n_regions),
            type_bias=np.exp(rng.normal(0, 0.25, N_TYPES)),
            nest_bias=float(rng.normal(0.3, 0.4)),
            program_shift=program_shift(rng, n_genes),
            response_shift=response_shift(rng, n_genes),
            depth=float(np.exp(rng.normal(np.log(3500), 0.4))),
            nucleus_size=np.exp(rng.normal(0, 0.12, N_TYPES)),
            nucleus_darkness=np.exp(rng.normal(0, 0.15, N_TYPES)),
            state_look=rng.normal((0.12, 0.0), 0.1, (N_STATES, 2)),
            stains=np.stack([haematoxylin, eosin]) * np.exp(rng.normal(0, 0.12, (2, 1))),
        )


def program_shift(rng: np.random.Generator, n_genes: int) -> Array:
    """Draw a donor's own changes of the log abundances, (T, G), largest in the tumour."""
    spread = np.full((N_TYPES, 1), 0.35)
    spread[TUMOUR] = 0.8
    return rng.normal(0, 0.2, n_genes) + spread * rng.standard_normal((N_TYPES, n_genes))


def response_shift(rng: np.random.Generator, n_genes: int) -> Array:
    """Draw a donor's own changes of the loadings on the state axes, (T, K, G)."""
    common = rng.normal(0, 0.4, (N_STATES, n_genes))
    return common + rng.normal(0, 0.25, (N_TYPES, N_STATES, n_genes))
