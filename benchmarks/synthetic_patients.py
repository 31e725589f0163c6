"""Synthetic patients that nobody has met: enough to infer from, and their truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from benchmarks.names import file_stem
from benchmarks.progress import progress_bar
from scr2st_env._version import __version__
from scr2st_env.anndata_io import read_h5ad
from scr2st_env.encoders.base import get_encoder
from scr2st_env.encoders.featurise import featurise_anndata
from scr2st_env.files import replacing
from scr2st_env.synthetic import TEST, TRAINING, SyntheticTissue
from scr2st_env.synthetic.tissue import TRUTH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from benchmarks.config import BenchmarkConfig
    from scr2st_env.encoders.base import PatchEncoder

COHORT = "synthetic-patients"
FOLDER = "tissue"  # of an output folder


class Grown(NamedTuple):
    """Sections as a laboratory has them and, apart from them, what no laboratory has.

    Parameters
    ----------
    sections
        By name.
    truth
        By name: log1p(CP10k) of every gene at every spot without noise, (N, genes). The sections
        do not hold it, so whoever is handed one cannot read it.
    atlas
        The single-cell reference.
    """

    sections: dict[str, AnnData]
    truth: dict[str, pd.DataFrame]
    atlas: AnnData


def patient_slides(config: BenchmarkConfig) -> list[str]:
    """Return the names of all slides, one per patient, none of them embedded in the package.

    Examples
    --------
    >>> from benchmarks.config import BenchmarkConfig
    >>> patient_slides(BenchmarkConfig(synthetic_training=1, synthetic_tested=2))
    ['p7s1', 'p8s1', 'p9s1']
    """
    embedded = {int(name.removeprefix("p").split("s")[0]) for name in (*TRAINING, *TEST)}
    first, n_patients = max(embedded) + 1, config.synthetic_training + config.synthetic_tested
    return [f"p{patient}s1" for patient in range(first, first + n_patients)]


def slides_to_test(config: BenchmarkConfig) -> list[str]:
    """Return the names of the slides that are tested: those of the last patients."""
    return patient_slides(config)[config.synthetic_training :]


def grow_patients(
    config: BenchmarkConfig, names: Sequence[str], output: Path | None, *, progress: bool = True
) -> Grown:
    """Grow sections of synthetic patients, or read those that were grown before.

    Parameters
    ----------
    config
        Its ``synthetic_depth``, ``synthetic_spots``, ``features`` (empty: nothing is drawn) and
        ``encoder``.
    names
        Of the slides.
    output
        Gets ``tissue/``, where every section is kept under the settings that it was grown with, as
        soon as it is grown; None keeps nothing.
    progress
        Show a progress bar.

    Returns
    -------
    Grown
    """
    least, most = config.synthetic_spots
    tissue = SyntheticTissue(n_spots=(least, most), depth=config.synthetic_depth)
    encoder = get_encoder(config.encoder) if config.features else None
    kept = None
    if output is not None:
        described = encoder.name if encoder is not None else "undrawn"
        settings = (f"{config.synthetic_depth}x", f"{least}-{most}", described, __version__)
        kept = output / FOLDER / file_stem(*settings)
    sections, truth = {}, {}
    with progress_bar("growing synthetic patients", len(names), shown=progress) as bar:
        for name in names:
            path = None if kept is None else kept / f"{name}.h5ad"
            section = _section(tissue, name, encoder, path)
            truth[name] = pd.DataFrame(section.layers.pop(TRUTH), columns=section.var_names)
            sections[name] = section
            bar.update()
    return Grown(sections, truth, tissue.reference())


def _section(
    tissue: SyntheticTissue, name: str, encoder: PatchEncoder | None, path: Path | None
) -> AnnData:
    if path is not None and path.is_file():
        return read_h5ad(path)[0]
    section = _grown(tissue, name, encoder)
    if path is not None:
        with replacing(path) as temporary:
            section.write_h5ad(temporary)
    return section


def _grown(tissue: SyntheticTissue, name: str, encoder: PatchEncoder | None) -> AnnData:
    patient = int(name.removeprefix("p").removesuffix("s1"))
    section = tissue.section(patient, 1, picture=encoder is not None)
    if encoder is not None:
        section = featurise_anndata(section, section.obsm["patches"], encoder)
        del section.obsm["patches"], section.uns["spatial"][name]["images"]
    del section.obsm["truth_types"], section.uns["truth_types_names"]
    return section
