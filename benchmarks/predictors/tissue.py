"""Synthetic patients that nobody has met: enough of them to infer from."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from benchmarks.cohort import Study
from scr2st_env.anndata_io import read_h5ad
from scr2st_env.encoders.featurise import featurise_anndata
from scr2st_env.files import replacing
from scr2st_env.slide import Slide
from scr2st_env.synthetic import TEST, TRAINING, SyntheticTissue

N_COHORT = 6
N_TESTED = 20
N_STATES = 100


def patient_numbers(n_cohort: int = N_COHORT, n_tested: int = N_TESTED) -> range:
    """Return numbers of patients of whom no section is embedded in the package."""
    embedded = {int(name.removeprefix("p").split("s")[0]) for name in (*TRAINING, *TEST)}
    first = max(embedded) + 1
    return range(first, first + n_cohort + n_tested)


def slides_to_test(n_cohort: int = N_COHORT, n_tested: int = N_TESTED) -> list[str]:
    """Return the names of the slides that are tested, one per patient."""
    return [f"p{patient}s1" for patient in patient_numbers(n_cohort, n_tested)[n_cohort:]]


def synthetic_study(
    folder: Path,
    n_cohort: int = N_COHORT,
    n_tested: int = N_TESTED,
    *,
    n_spots: tuple[int, int] = (250, 350),
    progress: bool = True,
) -> Study:
    """Return one section of each of many synthetic patients, grown here and kept in a folder.

    Parameters
    ----------
    folder
        Gets ``p7s1.h5ad``, ...: counts, places and features of the patches, no picture. Sections
        that are there already are read.
    n_cohort, n_tested
        Patients to learn from, and patients to test.
    n_spots
        Least and largest number of spots of a section.
    progress
        Show a progress bar.

    Returns
    -------
    Study
        Its embeddings are made fold by fold, its atlas is the tissue's.
    """
    tissue = SyntheticTissue(n_spots=n_spots)
    sections, slides = {}, {}
    numbers = patient_numbers(n_cohort, n_tested)
    for patient in tqdm(numbers, "synthetic patients", disable=not progress):
        name = f"p{patient}s1"
        path = folder / f"{name}.h5ad"
        if not path.is_file():
            _grow(tissue, patient, path)
        sections[name] = read_h5ad(path)[0]
        slides[name] = Slide.from_anndata(
            sections[name], name=name, patient=f"p{patient}", embedding=None, types=None
        )
    return Study(slides, sections, tissue.reference(), n_states=N_STATES)


def _grow(tissue: SyntheticTissue, patient: int, path: Path) -> None:
    section = tissue.section(patient, 1)
    described = featurise_anndata(section, section.obsm["patches"])
    for key in ("patches", "truth_types"):
        del described.obsm[key]
    for key in ("spatial", "truth_types_names"):
        del described.uns[key]
    with replacing(path) as temporary:
        described.write_h5ad(temporary)
