"""The slides of a benchmark, and their images in the reference's space, fold by fold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.her2st import IMAGED, SECTIONS, load_atlas, load_sections
from benchmarks.synthetic_patients import COHORT, grow_patients, patient_slides
from scr2st_env.errors import InputError
from scr2st_env.reference import CellReference
from scr2st_env.slide import Slide

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from benchmarks.config import BenchmarkConfig
    from scr2st_env.arrays import FloatArray

NAMED = ("synthetic", COHORT, "her2st-imaged", "her2st")


@dataclass(frozen=True)
class Study:
    """Fully measured slides of several patients, and a single-cell reference.

    Parameters
    ----------
    slides
        By name. Their embeddings are replaced fold by fold, unless ``reference`` is given.
    sections
        The slides as AnnData, by name, where they are to be embedded.
    atlas
        The single-cell reference as AnnData; None where the slides came embedded.
    reference
        The reference in the space of the slides' embeddings, where they came with one.
    cell_type
        ``obs`` column of the atlas's labels.
    n_states
        Number of cell states.
    truth
        By slide, where it is known: log1p(CP10k) of every gene at every spot without noise,
        (N, genes). Slides and sections do not hold it; predictions are scored against it.
    """

    slides: dict[str, Slide]
    sections: dict[str, AnnData] = field(default_factory=dict, repr=False)
    atlas: AnnData | None = field(default=None, repr=False)
    reference: CellReference | None = None
    cell_type: str = "cell_type"
    n_states: int = 100
    truth: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def truth_of(self, name: str, genes: Sequence[str]) -> FloatArray | None:
        """Return the noise-free expression of some genes of a slide, (N, G), if it is known."""
        known = self.truth.get(name)
        return None if known is None else known[list(genes)].to_numpy()

    @property
    def patients(self) -> dict[str, str]:
        """Patient of each slide."""
        return {name: slide.patient for name, slide in self.slides.items()}

    @property
    def imaged(self) -> bool:
        """Whether the slides have patch features."""
        return all(slide.public.n_features > 0 for slide in self.slides.values())

    def embedded(
        self, training: Sequence[str], names: Sequence[str]
    ) -> tuple[dict[str, Slide], CellReference]:
        """Embed slides in a space whose statistics come from the training slides.

        Parameters
        ----------
        training
            Slides from which the embedder learns how the spots' platform differs from the
            reference's. In the protocol ``within-slide`` they are other patients' slides: a
            single section cannot say, before it is measured, how its counts are distributed.
        names
            Slides to embed.

        Returns
        -------
        tuple of dict and CellReference
            The named slides with embedding and cell types, and the reference in that space.
        """
        if self.reference is not None:
            return {name: self.slides[name] for name in names}, self.reference
        from scr2st_env.embedders.composition import TypeComposition
        from scr2st_env.embedders.pca import PCAEmbedder

        if self.atlas is None:
            raise InputError("slides without embeddings need a reference; name one with reference=")
        sections = [self.sections[name] for name in training]
        embedder = PCAEmbedder().fit(self.atlas, sections)
        composition = TypeComposition().fit(self.atlas, sections, self.cell_type)
        embedded = {
            name: self.slides[name].with_embedding(
                embedder.transform(self.sections[name]),
                composition.transform(self.sections[name]),
                composition.type_names,
            )
            for name in names
        }
        reference = CellReference.make(
            embedder.transform(self.atlas, "cells"),
            self.atlas.obs[self.cell_type].astype(str).tolist(),
            n_states=self.n_states,
            type_names=composition.type_names,
        )
        return embedded, reference


def load_study(
    config: BenchmarkConfig, output: Path | None = None, *, progress: bool = True
) -> Study:
    """Load the slides and the reference that a configuration names.

    Parameters
    ----------
    config
        Its ``slides``, ``reference``, ``features``, ``encoder``, ``sections`` and
        ``synthetic_*``.
    output
        Folder in which synthetic patients are kept once they are grown.
    progress
        Show a progress bar while they grow.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        If a cohort, file or section is missing.
    """
    named = [name for name in config.slides if name in NAMED]
    if named and len(config.slides) > 1:
        raise InputError(f"slides holds {named[0]!r} and others; name one cohort, or only paths")
    if named == ["synthetic"]:
        from scr2st_env.synthetic.embedded import load_reference, load_slides

        loaded = {slide.name: slide for slide in load_slides()}
        return Study(
            {name: loaded[name] for name in _kept(tuple(loaded), config)},
            reference=load_reference(),
        )
    truth: dict[str, pd.DataFrame] = {}
    if named == [COHORT]:
        imaged = bool(config.features)
        names = _kept(tuple(patient_slides(config)), config)
        sections, truth, atlas = grow_patients(config, names, output, progress=progress)
    elif named:
        imaged = named == ["her2st-imaged"]
        names = _kept(IMAGED if imaged else SECTIONS, config)
        sections = load_sections(names, encoder=config.encoder if imaged else None)
        atlas = load_atlas()
    else:
        if not config.reference:
            raise InputError("slides given as paths need the path of a reference too")
        sections, atlas = _read_paths(config)
        sections = {name: sections[name] for name in _kept(tuple(sections), config)}
        imaged = bool(config.features)
    features = (config.features or "X_patch") if imaged else None
    slides = {
        name: Slide.from_anndata(
            adata,
            name=name,
            features=features,
            embedding=None,
            types=None,
            patient=_patient(adata, name, "patient" if named else config.patient_key),
        )
        for name, adata in sections.items()
    }
    return Study(
        slides,
        sections,
        atlas,
        cell_type=config.cell_type,
        n_states=config.n_states,
        truth=truth,
    )


def _patient(adata: AnnData, name: str, key: str) -> str:
    """Return whose slide it is: folds are by patient, so nothing may be assumed here."""
    found = adata.obs[key].unique().tolist() if key in adata.obs else []
    if len(found) != 1 or found[0] != found[0] or not str(found[0]).strip():
        raise InputError(
            f"slide {name!r} ({name}.h5ad) has no single patient in obs[{key!r}]; write the one "
            "patient of all its spots there, or name another column with patient_key"
        )
    return str(found[0])


def _read_paths(config: BenchmarkConfig) -> tuple[dict[str, AnnData], AnnData]:
    from scr2st_env.anndata_io import read_h5ad

    sections: dict[str, AnnData] = {}
    for path in config.slides:
        name = Path(path).stem
        if name in sections:
            raise InputError(f"{path}: another slide is named {name!r} too; rename the file")
        sections[name] = read_h5ad(path)[0]
    atlas = read_h5ad(config.reference)[0]
    if config.cell_type not in atlas.obs:
        raise InputError(f"{config.reference} has no obs[{config.cell_type!r}]; set cell_type")
    return sections, atlas


def _kept(names: tuple[str, ...], config: BenchmarkConfig) -> tuple[str, ...]:
    unknown = [name for name in config.sections if name not in names]
    if unknown:
        raise InputError(f"sections: {unknown[0]!r} is not among {', '.join(names)}")
    return tuple(config.sections) or names
