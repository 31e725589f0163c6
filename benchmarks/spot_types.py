"""``python -m benchmarks.spot_types``: how well spots are typed, against the authors' proportions.

HER2ST comes with proportions that its authors deconvolved with a reference of their own
(``obsm["deconv_major"]``, stereoscope): no truth, but an independent opinion. For each patient the
typing is fitted on the atlas and the sections of the other patients. A type's score in a section is
Pearson's correlation over spots between the two shares; sections are averaged within a patient, and
patients are the unit of the interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich import print as show
from rich.table import Table
from tqdm import tqdm

from benchmarks.her2st import SECTIONS, load_atlas, load_sections
from benchmarks.statistics import t_interval
from scr2st_env.embedders import NearestTypes, PCAEmbedder, TypeComposition
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.embedders.nearest_types import SpotTyping

    Values = NDArray[np.float64]

# The authors' eight types, and those of the atlas that are the same.
SAME: dict[str, tuple[str, ...]] = {
    "B-cells": ("B-cells",),
    "CAFs": ("Fibroblasts",),
    "Endothelial": ("Endothelial",),
    "Epithelial": ("Cancer Epithelial", "Normal Epithelial"),
    "Myeloid": ("Myeloid",),
    "Plasma Cells": ("Plasmablasts",),
    "PVL": ("PVL",),
    "T-cells": ("T-cells",),
}
GIVEN = "deconv_major"


def correlation(one: Values, two: Values) -> float:
    """Return Pearson's correlation; 0 where one of them is constant."""
    one, two = one - one.mean(), two - two.mean()
    norm = np.linalg.norm(one) * np.linalg.norm(two)
    return float(one @ two / norm) if norm > 0 else 0.0


def agreement(typing: SpotTyping, section: AnnData) -> dict[str, float]:
    """Return each type's correlation over the spots of a section."""
    shares = np.asarray(typing.transform(section), np.float64)
    given = section.obsm[GIVEN]
    measured = np.asarray(section.X.sum(axis=1)).ravel() > 0
    scores = {}
    for name, alike in SAME.items():
        columns = [typing.type_names.index(each) for each in alike]
        ours = shares[:, columns].sum(axis=1)
        scores[name] = correlation(ours[measured], given[name].to_numpy(np.float64)[measured])
    return scores


def main(
    per_patient: Annotated[
        int, typer.Option(min=1, help="Sections of each patient, the first ones.")
    ] = 6,
) -> None:
    """Compare typing by least squares and by nearest cells with the authors' proportions."""
    names = [name for name in SECTIONS if int(name[1:]) <= per_patient]
    try:
        sections, atlas = load_sections(names), load_atlas()
    except InputError as error:
        show(f"[red]{error}[/red]")
        raise typer.Exit(2) from error
    patients = sorted({name[0] for name in names})
    found: dict[str, dict[str, list[float]]] = {}
    for patient in tqdm(patients, "patients"):
        training = [section for name, section in sections.items() if name[0] != patient]
        embedder = PCAEmbedder().fit(atlas, training)
        methods: dict[str, SpotTyping] = {
            "least squares": TypeComposition().fit(atlas, training),
            "nearest cells": NearestTypes(embedder).fit(atlas),
        }
        for method, typing in methods.items():
            scores = [
                agreement(typing, section)
                for name, section in sections.items()
                if name[0] == patient
            ]
            for kind in SAME:
                by_type = found.setdefault(method, {}).setdefault(kind, [])
                by_type.append(float(np.mean([score[kind] for score in scores])))
    table = Table("type", *found, "difference")
    rows = {kind: {method: found[method][kind] for method in found} for kind in SAME}
    rows["mean over types"] = {
        method: np.mean([found[method][kind] for kind in SAME], axis=0).tolist() for method in found
    }
    for kind, values in rows.items():
        difference = np.subtract(values["nearest cells"], values["least squares"])
        cells = [with_interval(each) for each in (*values.values(), difference)]
        table.add_row(kind, *cells)
    show(f"{len(sections)} sections of {len(patients)} patients; 95 % intervals over patients")
    show(table)


def with_interval(values: list[float] | Values) -> str:
    """Return the mean and its interval over patients."""
    low, high = t_interval(values)
    return f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    typer.run(main)
