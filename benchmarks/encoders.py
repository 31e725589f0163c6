"""``python -m benchmarks.encoders``: what a trained encoder is worth on HER2ST's images.

The judge is a ridge regression from z-scored features to log1p(CP10k) of the 300 genes most
expressed on the training sections, its penalty chosen on them alone; the score is the mean over
genes of Pearson's correlation over the spots of the section that was left out. Encoders see
patches only, never expression; the trained one is trained on the patches of all sections that are
scored, as a lab would, for whom the image of a new slide is there before any spot is bought.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich import print as show
from rich.table import Table

from benchmarks.her2st import data_folder, load_sections
from scr2st_env.encoders import encode_cached, get_encoder, train_encoder
from scr2st_env.errors import InputError
from scr2st_env.patches import patches_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scr2st_env.encoders import PatchEncoder
    from scr2st_env.patches import PatchSource

    Values = NDArray[np.float64]

WITHIN = ("C2", "C3", "C4", "C5", "C6")  # one patient
OTHER = "B4"  # another
N_GENES = 300
HISTOLOGY = "histology-v1"
PENALTIES = np.logspace(1, 6, 11)


def targets(names: tuple[str, ...]) -> dict[str, tuple[Values, list[str]]]:
    """Return log1p(CP10k), (n, G), and the names of the genes of each section."""
    found = {}
    for name, adata in load_sections(names).items():
        counts = np.asarray(adata.X.todense(), np.float64)
        totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        found[name] = np.log1p(counts / totals * 1e4), adata.var_names.tolist()
    return found


def score(
    features: dict[str, Values],
    expression: dict[str, tuple[Values, list[str]]],
    training: list[str],
    test: str,
) -> float:
    """Return the mean over genes of Pearson's correlation on the test section."""
    from sklearn.linear_model import RidgeCV

    shared = set.intersection(*(set(expression[name][1]) for name in [*training, test]))
    columns = {
        name: {gene: index for index, gene in enumerate(expression[name][1])}
        for name in [*training, test]
    }
    means = {
        gene: np.mean([expression[name][0][:, columns[name][gene]].mean() for name in training])
        for gene in shared
    }
    genes = sorted(shared, key=lambda gene: (-means[gene], gene))[:N_GENES]

    def of(name: str) -> Values:
        return expression[name][0][:, [columns[name][gene] for gene in genes]]

    model = RidgeCV(PENALTIES).fit(
        np.concatenate([features[name] for name in training]),
        np.concatenate([of(name) for name in training]),
    )
    predicted, truth = model.predict(features[test]), of(test)
    predicted, truth = predicted - predicted.mean(axis=0), truth - truth.mean(axis=0)
    norms = np.linalg.norm(predicted, axis=0) * np.linalg.norm(truth, axis=0)
    products = (predicted * truth).sum(axis=0)
    return float(np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0).mean())


def main(
    encoders: Annotated[
        list[str] | None, typer.Argument(help="Further encoders, by name.", show_default=False)
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of training.")] = 30,
    seeds: Annotated[int, typer.Option(min=1, help="Trained and random encoders each.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of histology-v1.")] = 1,
) -> None:
    """Score histology-v1, a network with random weights, and the same network trained."""
    names = (*WITHIN, OTHER)
    try:
        folder = data_folder() / "her2st" / "patches"
        sections = load_sections(names)
        sources = {
            name: patches_of(folder / f"{name}.npz", adata.obs_names.tolist())
            for name, adata in sections.items()
        }
        expression = targets(names)
        contestants: list[tuple[str, PatchEncoder]] = [
            (name, get_encoder(name)) for name in [HISTOLOGY, *(encoders or [])]
        ]
    except InputError as error:
        show(f"[red]{error}[/red]")
        raise typer.Exit(2) from error
    patches = np.concatenate([source[:] for source in sources.values()])
    for seed in range(seeds):
        for label, n_epochs in (("random", 0), ("trained", epochs)):
            start = time.process_time()
            with tempfile.TemporaryDirectory() as place:
                path = Path(place) / "encoder.safetensors"
                trained = train_encoder(patches, path, epochs=n_epochs, seed=seed)
            seconds = time.process_time() - start
            contestants.append((f"{label}, seed {seed}", trained))
            if n_epochs:
                show(f"seed {seed}: {epochs} epochs in {seconds:.0f} s of processor time")
    described = {
        label: _described(encoder, sources, jobs if label == HISTOLOGY else 1)
        for label, encoder in contestants
    }
    last = contestants[-1][0]
    described[f"{HISTOLOGY} and {last}"] = {
        name: np.hstack([described[HISTOLOGY][name], described[last][name]]) for name in names
    }
    table = Table("encoder", "D", *WITHIN, "mean", f"{OTHER} from C", f"C2 from {OTHER}")
    for label, features in described.items():
        scores = [
            score(features, expression, [n for n in WITHIN if n != test], test) for test in WITHIN
        ]
        across = [
            score(features, expression, list(WITHIN), OTHER),
            score(features, expression, [OTHER], "C2"),
        ]
        cells = [f"{value:.3f}" for value in (*scores, float(np.mean(scores)), *across)]
        table.add_row(label, str(features[OTHER].shape[1]), *cells)
    show(table)


def _described(
    encoder: PatchEncoder, sources: Mapping[str, PatchSource], jobs: int
) -> dict[str, Values]:
    """Z-scored features of each section, (n, D)."""
    features = {}
    for name, source in sources.items():
        raw = encode_cached(encoder, source, n_jobs=jobs).astype(np.float64)
        features[name] = (raw - raw.mean(axis=0)) / np.maximum(raw.std(axis=0), 1e-6)
    return features


if __name__ == "__main__":
    typer.run(main)
