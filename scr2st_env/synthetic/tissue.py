"""The generative model: patients, their sections, and a single-cell reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.counts import log_normalise
from scr2st_env.errors import InputError
from scr2st_env.patches.section_image import cut_patches
from scr2st_env.synthetic.cells import place_cells
from scr2st_env.synthetic.drawing import PATCH_PX, UM_PER_PX, draw_section
from scr2st_env.synthetic.programs import (
    N_STATES,
    N_TYPES,
    TYPE_NAMES,
    Patient,
    Programs,
    program_shift,
    response_shift,
)
from scr2st_env.synthetic.regions import REGIONS, SPOT_UM, Anatomy
from scr2st_env.synthetic.sequencing import (
    platform_efficiency,
    sequence_cells,
    sequence_spots,
    visible_rna,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray
    from scr2st_env.synthetic.cells import Cells

    Array = NDArray[np.float64]

TRUTH = "truth_expression"  # layer with what no laboratory has: expression without noise
# What a stream of chance is for; streams of different purpose never touch.
_PROGRAMS, _REFERENCE, _PATIENT, _ANATOMY, _SECTION, _CELLS, _COUNTS, _PICTURE, _PLATFORM = range(9)
MAX_DEPTH = 1e4  # beyond, counts outgrow their type
_N_DONORS = 5
_REFERENCE_SHARES = (0.22, 0.20, 0.14, 0.09, 0.11, 0.10, 0.04, 0.10)


@dataclass(frozen=True)
class Section:
    """One section, sequenced but not yet drawn.

    Parameters
    ----------
    name
        ``p1s2``: second section of the first patient.
    anatomy, cells
        What is there.
    counts
        (N, G).
    composition
        True share of each type among the cells of a spot, (N, T).
    expression
        log1p(CP10k) of what the counts are draws of, (N, G): no chance, no limit of depth.
    """

    name: str
    anatomy: Anatomy
    cells: Cells
    counts: NDArray[np.int32]  # (N, G)
    composition: Array  # (N, T)
    expression: FloatArray  # (N, G)


class SyntheticTissue:
    """A tissue in which cell types determine both what is seen and what is expressed.

    A patient likes some regions more than others, has a tumour, stains and densities of their
    own. Cells follow the regions of a section; each has a type and a continuous state. The cells
    under a spot make its counts, and the same cells are drawn into the picture. The single-cell
    reference comes from other donors, on another platform.

    Parameters
    ----------
    seed
        Determines everything; the same section comes out whatever was drawn before it.
    n_genes
        G.
    n_spots
        Least and largest number of spots of a section.
    depth
        Counts per spot as a multiple of what the tissue is calibrated with. Tissue and truth stay
        what they are.

    Examples
    --------
    >>> tissue = SyntheticTissue(seed=0, n_spots=(30, 40))
    >>> section = tissue.sequenced(patient=1, section=1)
    >>> section.name, section.counts.shape[1]
    ('p1s1', 300)
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        n_genes: int = 300,
        n_spots: tuple[int, int] = (250, 350),
        depth: float = 1.0,
    ) -> None:
        if not 1 <= n_spots[0] <= n_spots[1]:
            raise InputError(f"n_spots={n_spots} must be (least, largest), both at least 1")
        if n_genes < 2 * N_TYPES:
            raise InputError(f"n_genes={n_genes} leaves a type without markers; ask for 16 or more")
        if not 0 < depth <= MAX_DEPTH:
            raise InputError(f"depth={depth} must be above 0 and at most {MAX_DEPTH:g}")
        self.seed = seed
        self.n_spots = n_spots
        self.depth = depth
        self.programs = Programs.draw(self._chance(_PROGRAMS), n_genes)
        self._platform = platform_efficiency(self._chance(_PLATFORM), n_genes)

    def _chance(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose])

    def patient(self, patient: int) -> Patient:
        """Return what is particular to a patient, numbered from 1."""
        return Patient.draw(self._chance(_PATIENT, patient), len(REGIONS), self.n_genes)

    @property
    def n_genes(self) -> int:
        """Number of genes, G."""
        return len(self.programs.genes)

    def sequenced(self, patient: int, section: int) -> Section:
        """Grow a section and sequence its spots.

        Parameters
        ----------
        patient, section
            Numbered from 1.

        Returns
        -------
        Section
        """
        if min(patient, section) < 1:
            raise InputError(f"patient {patient}, section {section}: both are numbered from 1")
        who = self.patient(patient)
        patient_chance = self._chance(_ANATOMY, patient)
        n_spots = int(patient_chance.integers(self.n_spots[0], self.n_spots[1] + 1))
        anatomy = Anatomy.draw(
            who, n_spots, patient_chance, self._chance(_SECTION, patient, section)
        )
        cells = place_cells(anatomy, who, self._chance(_CELLS, patient, section))
        spot, cell = cells.in_spots(anatomy.spots)
        kinds = cells.types[cell]
        profiles = self.programs.cell_profiles(
            kinds, cells.states[cell], who.program_shift, who.response_shift
        )
        rna = np.zeros((n_spots, self.n_genes))
        np.add.at(rna, spot, profiles)
        composition = np.zeros((n_spots, N_TYPES))
        np.add.at(composition, (spot, kinds), 1.0)
        composition /= composition.sum(axis=1, keepdims=True)
        chance = self._chance(_COUNTS, patient, section)
        seen = visible_rna(rna, self._platform)
        counts = sequence_spots(seen, self.depth * who.depth, chance)
        expression = log_normalise(seen)
        return Section(f"p{patient}s{section}", anatomy, cells, counts, composition, expression)

    def section(
        self, patient: int, section: int, *, hires_px: int = 600, picture: bool = True
    ) -> AnnData:
        """Return a sequenced section in scverse's conventions.

        Parameters
        ----------
        patient, section
            Numbered from 1; sections of one patient resemble each other like serial sections.
        hires_px
            Longest side of the section's picture.
        picture
            Whether it was stained and photographed.

        Returns
        -------
        AnnData
            Counts in ``X``; ``obsm["spatial"]`` in full-resolution pixels; ``obs["patient"]``;
            ``uns["spatial"][name]``, scale factors and metadata. With a picture, that too, and
            ``obsm["patches"]``, uint8 (N, 80, 80, 3), 2 um per pixel. And what no laboratory has:
            ``obsm["truth_types"]`` with ``uns["truth_types_names"]``, the true composition, and
            ``layers["truth_expression"]``, :attr:`Section.expression`.
        """
        import pandas as pd
        from anndata import AnnData
        from scipy.sparse import csr_matrix

        sequenced = self.sequenced(patient, section)
        name, spots = sequenced.name, sequenced.anatomy.spots
        columns = [f"{name}_{index}" for index in range(len(spots))]
        obs = pd.DataFrame({"patient": f"p{patient}", "section": name}, index=columns)
        adata = AnnData(
            csr_matrix(sequenced.counts),
            obs=obs,
            var=pd.DataFrame(index=list(self.programs.genes)),
        )
        adata.obsm["spatial"] = spots / UM_PER_PX
        adata.obsm["truth_types"] = sequenced.composition.astype(np.float32)
        adata.uns["truth_types_names"] = list(TYPE_NAMES)
        adata.layers[TRUTH] = sequenced.expression
        adata.uns["spatial"] = {name: _library()}
        if picture:
            drawn = draw_section(
                sequenced.anatomy,
                sequenced.cells,
                self.patient(patient),
                self._chance(_PICTURE, patient, section),
            )
            adata.obsm["patches"] = cut_patches(drawn, spots / UM_PER_PX, PATCH_PX, PATCH_PX)
            _add_picture(adata.uns["spatial"][name], drawn, hires_px)
        return adata

    def reference(self, n_cells: int = 1500) -> AnnData:
        """Return a labelled single-cell atlas of other donors.

        Parameters
        ----------
        n_cells
            M.

        Returns
        -------
        AnnData
            Counts in ``X``; ``obs["cell_type"]`` and ``obs["donor"]``.
        """
        import pandas as pd
        from anndata import AnnData
        from scipy.sparse import csr_matrix

        chance = self._chance(_REFERENCE)
        kinds = chance.choice(N_TYPES, n_cells, p=_REFERENCE_SHARES)
        donors = chance.integers(_N_DONORS, size=n_cells)
        states = chance.standard_normal((n_cells, N_STATES))
        profiles = np.empty((n_cells, self.n_genes))
        for donor in range(_N_DONORS):
            own = donors == donor
            profiles[own] = self.programs.cell_profiles(
                kinds[own],
                states[own],
                program_shift(chance, self.n_genes),
                response_shift(chance, self.n_genes),
            )
        efficiency = platform_efficiency(chance, self.n_genes)
        counts = sequence_cells(profiles, efficiency, chance)
        obs = pd.DataFrame(
            {
                "cell_type": [TYPE_NAMES[kind] for kind in kinds],
                "donor": [f"d{donor + 1}" for donor in donors],
            },
            index=[f"cell_{index}" for index in range(n_cells)],
        )
        return AnnData(
            csr_matrix(counts),
            obs=obs,
            var=pd.DataFrame(index=list(self.programs.genes)),
        )


def _library() -> dict[str, Any]:
    return {
        "scalefactors": {"spot_diameter_fullres": SPOT_UM / UM_PER_PX},
        "metadata": {"um_per_px_fullres": UM_PER_PX},
    }


def _add_picture(library: dict[str, Any], picture: NDArray[np.uint8], hires_px: int) -> None:
    from PIL import Image

    side = len(picture)
    hires = Image.fromarray(picture).resize((hires_px, hires_px), Image.Resampling.BOX)
    library["images"] = {"hires": np.asarray(hires)}
    library["scalefactors"]["tissue_hires_scalef"] = hires_px / side
    library["metadata"] |= {"fullres_size_xy": [side, side], "patch_px": PATCH_PX}
