"""Is the synthetic tissue about as hard as a real one? The same measurements on both.

``python -m scr2st_env.synthetic --check --her2st DATA`` prints them; docs/synthetic.md keeps the
table. The constants of the generative model were chosen by hand until synthetic and real figures
were of one size: 0.157 against HER2ST's 0.140 per gene with 10 % of the spots bought, 0.282 against
0.227 with all, 0.129 against 0.116 from the images of other patients.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree
from tqdm import tqdm

from scr2st_env.counts import MIN_COUNTS
from scr2st_env.encoders.cache import encode_cached
from scr2st_env.encoders.histology import HistologyEncoder
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel, posterior_mean
from scr2st_env.patches.jpeg_file import patches_of
from scr2st_env.slide import Slide
from scr2st_env.synthetic.embedded import load_slides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

TEST_SHARE = 0.25
RIDGE_PENALTY = 300.0
N_GENES = 300
IMAGED = ("B4", "C2", "C3", "C4", "C5", "C6")  # HER2ST sections with full-resolution patches


def gene_correlation(truth: Array, predicted: Array) -> Array:
    """Return Pearson's r of each gene over spots, (G,); 0 where either is constant."""
    # As in predictor.metrics, which the world, being what predictors build on, cannot import.
    truth = truth - truth.mean(axis=0)
    predicted = predicted - predicted.mean(axis=0)
    norm = np.linalg.norm(truth, axis=0) * np.linalg.norm(predicted, axis=0)
    product = (truth * predicted).sum(axis=0)
    return np.divide(product, norm, out=np.zeros_like(product), where=norm > 1e-9)


def within_slide(
    slide: Slide, genes: Sequence[str], budget: float | None, kernel: Kernel, n_seeds: int = 3
) -> float:
    """Score a Gaussian process trained on random spots of the slide it predicts.

    Parameters
    ----------
    slide
        A retrospective slide.
    genes
        What to predict.
    budget
        Spots to buy, as a share of all spots; None buys all outside the test part.
    kernel
        Of the process.
    n_seeds
        Random test parts (a quarter of the spots) and purchases to average over.

    Returns
    -------
    float
        Mean over genes and seeds of Pearson's r over the test spots.
    """
    covariance = kernel.for_slide(slide.public)
    expression = slide.expression(genes).astype(np.float64)
    bought_at_most = slide.n_spots if budget is None else round(budget * slide.n_spots)
    scores = []
    for seed in range(n_seeds):
        order = np.random.default_rng(seed).permutation(slide.n_spots)
        n_test = round(TEST_SHARE * slide.n_spots)
        test, bought = order[:n_test], order[n_test:][:bought_at_most]
        centre = expression[bought].mean(axis=0)
        predicted = posterior_mean(
            covariance[np.ix_(bought, bought)],
            covariance[np.ix_(test, bought)],
            expression[bought] - centre,
            kernel.noise,
        )
        scores.append(gene_correlation(expression[test], predicted).mean())
    return float(np.mean(scores))


def most_expressed(slides: Sequence[Slide], n_genes: int = N_GENES) -> list[str]:
    """Return the genes with the largest mean CP10k among those that all slides measure."""
    measured = [set(_genes(slide)) for slide in slides]
    common = [gene for gene in _genes(slides[0]) if all(gene in other for other in measured)]
    mean = np.mean([np.expm1(slide.expression(common)).mean(axis=0) for slide in slides], axis=0)
    return [common[index] for index in np.argsort(-mean, kind="stable")[:n_genes]]


def most_variable(slides: Sequence[Slide], genes: Sequence[str], n_genes: int = 50) -> list[str]:
    """Return the genes whose log1p(CP10k) varies most, averaged over slides."""
    spread = np.mean([slide.expression(genes).var(axis=0) for slide in slides], axis=0)
    return [genes[index] for index in np.argsort(-spread, kind="stable")[:n_genes]]


def transfer(train: Sequence[Slide], test: Slide, genes: Sequence[str]) -> float:
    """Score a ridge regression from patch features, trained on other sections.

    Parameters
    ----------
    train
        Sections to learn from.
    test
        The section to predict.
    genes
        What to predict.

    Returns
    -------
    float
        Mean over genes of Pearson's r over the spots of ``test``.
    """
    look = np.concatenate([slide.public.standardised_features for slide in train])
    answers = [slide.expression(genes) for slide in train]
    target = np.concatenate([answer - answer.mean(axis=0) for answer in answers])
    system = look.T.astype(np.float64) @ look + RIDGE_PENALTY * np.eye(look.shape[1])
    weights = cho_solve(cho_factor(system), look.T.astype(np.float64) @ target)
    predicted = test.public.standardised_features @ weights
    return float(gene_correlation(test.expression(genes).astype(np.float64), predicted).mean())


def neighbour_agreement(slide: Slide, genes: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """Return how often touching spots share an expression cluster, and how often by chance.

    PCA with 10 components and k-means with 5 clusters on all genes' log1p(CP10k).
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    scores = PCA(10, random_state=seed).fit_transform(slide.expression(genes))
    cluster = KMeans(5, n_init=5, random_state=seed).fit_predict(scores)
    pairs = cKDTree(slide.public.coordinates).query_pairs(
        1.25 * slide.public.pitch, output_type="ndarray"
    )
    shares = np.bincount(cluster) / len(cluster)
    return float((cluster[pairs[:, 0]] == cluster[pairs[:, 1]]).mean()), float((shares**2).sum())


def measure(slides: Sequence[Slide]) -> dict[str, float]:
    """Measure how hard some slides are.

    Parameters
    ----------
    slides
        Retrospective slides; those with features serve the measurements on images.

    Returns
    -------
    dict
        From the name of a measurement to its mean over slides, or over pairs of slides.
    """
    imaged = [slide for slide in slides if slide.public.n_features]
    own = {slide.name: most_expressed([slide]) for slide in slides}
    figures: dict[str, float] = {}
    for label, feature_weight, chosen in (
        ("coordinates, all slides", 0.0, slides),
        ("coordinates, imaged slides", 0.0, imaged),
        ("coordinates and image", 0.5, imaged),
    ):
        kernel = Kernel(length=3, noise=1.5, feature_weight=feature_weight)
        for budget in (0.1, None):
            name = f"within slide, {label}, {'all' if budget is None else f'{budget:.0%}'} bought"
            scores = [within_slide(slide, own[slide.name], budget, kernel) for slide in chosen]
            figures[name] = float(np.mean(scores))
    expressed = most_expressed(imaged)
    for label, genes in (
        ("most expressed", expressed),
        ("50 most variable", most_variable(imaged, expressed)),
    ):
        kin, strangers = _transfers(imaged, genes)
        figures[f"ridge, one section to another of its patient, {label}"] = kin
        figures[f"ridge, all sections of other patients, {label}"] = strangers
    agreement = np.array([neighbour_agreement(slide, _genes(slide)) for slide in slides])
    figures["touching spots in one cluster"] = float(agreement[:, 0].mean())
    figures["touching spots in one cluster, by chance"] = float(agreement[:, 1].mean())
    totals = [_totals(slide, _genes(slide)) for slide in slides]
    figures["median counts of a spot"] = float(np.median([np.median(each) for each in totals]))
    some = [_totals(slide, own[slide.name]) for slide in slides]
    figures["median counts, 300 genes"] = float(np.median([np.median(each) for each in some]))
    spread = [np.log(each[each >= MIN_COUNTS]).std() for each in totals]
    figures["spread of log counts"] = float(np.mean(spread))
    return figures


def _transfers(slides: Sequence[Slide], genes: Sequence[str]) -> tuple[float, float]:
    kin = [
        transfer([one], other, genes)
        for one in slides
        for other in slides
        if one is not other and one.patient == other.patient
    ]
    strangers = [
        transfer([one for one in slides if one.patient != other.patient], other, genes)
        for other in slides
    ]
    return float(np.mean(kin)), float(np.mean(strangers))


def _genes(slide: Slide) -> list[str]:
    return [] if slide.hidden is None else slide.hidden.genes.tolist()


def _totals(slide: Slide, genes: Sequence[str]) -> Array:
    if slide.hidden is None:
        return np.zeros(slide.n_spots)
    wanted = np.isin(slide.hidden.genes, genes)
    return np.asarray(slide.hidden.counts[:, wanted].sum(axis=1), np.float64).ravel()


def her2st_slides(folder: str | Path) -> list[Slide]:
    """Read the sections of HER2ST, six of them with patch features.

    Parameters
    ----------
    folder
        Holds ``her2st/*.h5ad`` and ``her2st/patches/*.npz``.

    Returns
    -------
    list of Slide

    Raises
    ------
    InputError
        If there are none.
    """
    paths = sorted((Path(folder) / "her2st").glob("*.h5ad"))
    if not paths:
        raise InputError(f"{folder} holds no her2st/*.h5ad; name the folder with --her2st")
    encoder = HistologyEncoder()
    slides = []
    for path in tqdm(paths, desc="HER2ST", unit="section"):
        slide = Slide.from_anndata(path, features=None, embedding=None, types=None)
        if slide.name in IMAGED:
            patches = patches_of(
                path.parent / "patches" / f"{path.stem}.npz", slide.public.spot_names.tolist()
            )
            slide = slide.with_features(encode_cached(encoder, patches), encoder.name)
        slides.append(slide)
    return slides


def comparison(folder: str | Path | None = None) -> Table:
    """Measure the embedded tissue and, where a folder is named, HER2ST.

    Parameters
    ----------
    folder
        See :func:`her2st_slides`; None measures the synthetic tissue alone.

    Returns
    -------
    rich.table.Table
    """
    real = {} if folder is None else measure(her2st_slides(folder))
    synthetic = measure(load_slides())
    table = Table("measurement", "synthetic", "HER2ST")
    for name, value in synthetic.items():
        other = real.get(name)
        digits = 0 if value > 10 else 3
        table.add_row(name, f"{value:.{digits}f}", "" if other is None else f"{other:.{digits}f}")
    return table
