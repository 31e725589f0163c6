"""Maps of one slide: what every agent bought, and what judges made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.evidence import BASELINE
from benchmarks.report.style import agent_name, judge_name
from benchmarks.units import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from benchmarks.config import BenchmarkConfig
    from benchmarks.results import Results

ORDER_MAP, EXPRESSION_MAP = "plasma", "viridis"
COLUMNS = 6


def map_files(results: Results) -> dict[str, Path]:
    """Return the file of predictions of each slide, at the primary budget."""
    pairs = results.scores[["fold", "slide"]].drop_duplicates()
    return {
        slide: Unit(fold, slide, results.config.primary_budget).map_path(results.folder)
        for fold, slide in pairs.itertuples(index=False)
    }


def load_map(path: Path) -> dict[str, NDArray[Any]]:
    """Read the maps of one slide."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def purchases(maps: Mapping[str, NDArray[Any]], config: BenchmarkConfig, slide: str) -> Figure:
    """Draw which spots every agent bought, in which order, in the episode of seed 0.

    Parameters
    ----------
    maps
        Of :func:`load_map`.
    config
        Of the benchmark.
    slide
        Name of the slide.

    Returns
    -------
    Figure
    """
    agents = config.agents
    n_columns = min(len(agents), COLUMNS // 2 if len(agents) > 4 else COLUMNS)
    figure, axes = _grid(maps, -(-len(agents) // n_columns), n_columns)
    norm = Normalize(1, len(maps[f"picks/{agents[0]}"]))
    for axis, agent in zip(axes.flat, agents, strict=False):
        picks = maps[f"picks/{agent}"]
        _tissue(axis, maps)
        everything = np.arange(len(maps["coordinates"]))
        _spots(axis, maps, everything, facecolors="#FFFFFF99", edgecolors="#9A9A9A", linewidths=0.4)
        _crosses(axis, maps)
        order = mpl.colormaps[ORDER_MAP](norm(np.arange(1, len(picks) + 1)))
        _spots(axis, maps, picks, facecolors=order, edgecolors="#222222", linewidths=0.5)
        axis.set_title(agent_name(agent, config))
    for axis in axes.flat[len(agents) :]:
        axis.set_visible(False)
    figure.colorbar(
        mpl.cm.ScalarMappable(norm, ORDER_MAP),
        ax=axes,
        label="Order of purchase",
        ticks=MaxNLocator(integer=True),
        shrink=0.7,
        aspect=30,
        pad=0.015,
    )
    figure.suptitle(
        f"Slide {slide}: {config.primary_budget:.0%} of the spots bought; "
        "crosses are test spots, never sold",
        fontsize=10,
    )
    return figure


def predictions(maps: Mapping[str, NDArray[Any]], config: BenchmarkConfig, slide: str) -> Figure:
    """Draw one gene as measured, and as each judge predicts it from what agents bought.

    A prediction from noisy spots is flatter than what it predicts, and a correlation does not
    mind: so every map is shown in standard deviations from its own mean.

    Parameters
    ----------
    maps
        Of :func:`load_map`; the gene is that of clearest pattern in the training slides.
    config
        Of the benchmark.
    slide
        Name of the slide.

    Returns
    -------
    Figure
    """
    agents = shown_agents(config)
    figure, axes = _grid(maps, len(config.judges), 1 + len(agents))
    truth, measurable = maps["truth"], maps["measurable"]
    norm = Normalize(-2, 2)
    for row, judge in enumerate(config.judges):
        _expression(axes[row, 0], maps, np.where(measurable, truth, np.nan), norm)
        axes[row, 0].set_title("Measured")
        axes[row, 0].set_ylabel(judge_name(judge), fontweight="bold")
        for column, agent in enumerate(agents, start=1):
            predicted = maps[f"predicted/{agent}/{judge}"]
            _expression(axes[row, column], maps, predicted, norm)
            part = maps["test_part"]
            score = _correlation(truth[part], predicted[part])
            axes[row, column].set_title(f"{agent_name(agent, config)}\nr = {score:.2f}")
    figure.colorbar(
        mpl.cm.ScalarMappable(norm, EXPRESSION_MAP),
        ax=axes,
        label=f"{maps['gene']}, standard deviations from the map's mean",
        extend="both",
        shrink=0.7,
        aspect=30,
        pad=0.015,
    )
    figure.suptitle(
        f"Slide {slide}: {maps['gene']} at a budget of {config.primary_budget:.0%}; "
        "outlined are test spots, to which r refers",
        fontsize=10,
    )
    return figure


def shown_agents(config: BenchmarkConfig, limit: int = 4) -> list[str]:
    """Return the agents of the prediction maps: random, the primary one, then the others."""
    first = [BASELINE, config.primary_agent]
    return [*first, *(agent for agent in config.agents if agent not in first)][:limit]


def _correlation(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(np.corrcoef(truth, predicted)[0, 1])


def _grid(
    maps: Mapping[str, NDArray[Any]], n_rows: int, n_columns: int
) -> tuple[Figure, NDArray[Any]]:
    extent = np.ptp(maps["coordinates"], axis=0) + 2 * float(maps["pitch"])
    width = 2.3 if n_columns > 3 else 3.1
    height = width * float(extent[1] / extent[0]) + 0.4
    figure = Figure(figsize=(width * n_columns + 0.9, height * n_rows + 0.35), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for axis in axes.flat:
        _frame(axis, maps)
    return figure, axes


def _frame(axis: Axes, maps: Mapping[str, NDArray[Any]]) -> None:
    margin = float(maps["pitch"])
    low, high = maps["coordinates"].min(axis=0) - margin, maps["coordinates"].max(axis=0) + margin
    axis.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.title.set_fontsize(9)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _tissue(axis: Axes, maps: Mapping[str, NDArray[Any]]) -> None:
    if "image" not in maps:
        return
    height, width = maps["image"].shape[:2]
    scale, limits = float(maps["image_scale"]), (axis.get_xlim(), axis.get_ylim())
    axis.imshow(maps["image"], extent=(0, width / scale, height / scale, 0), alpha=0.75)
    axis.set(xlim=limits[0], ylim=limits[1])


def _spots(axis: Axes, maps: Mapping[str, NDArray[Any]], spots: NDArray[Any], **style: Any) -> None:
    size = 0.82 * float(maps["pitch"])
    place = maps["coordinates"][np.asarray(spots, int)]
    sizes = np.full(len(place), size)
    axis.add_collection(
        EllipseCollection(
            sizes,
            sizes,
            np.zeros(len(place)),
            units="xy",
            offsets=place,
            offset_transform=axis.transData,
            **style,
        )
    )


def _crosses(axis: Axes, maps: Mapping[str, NDArray[Any]]) -> None:
    place = maps["coordinates"][maps["test_part"]]
    axis.plot(place[:, 0], place[:, 1], "x", color="#666666", markersize=3, markeredgewidth=0.7)


def _expression(
    axis: Axes, maps: Mapping[str, NDArray[Any]], values: NDArray[Any], norm: Normalize
) -> None:
    spread = float(np.nanstd(values)) or 1.0
    standardised = (values - np.nanmean(values)) / spread
    faces = mpl.colormaps[EXPRESSION_MAP](norm(np.ma.masked_invalid(standardised)))
    tested = np.zeros(len(values), bool)
    tested[maps["test_part"]] = True
    for chosen, edge, width in ((~tested, "none", 0.0), (tested, "#111111", 0.7)):
        spots = np.flatnonzero(chosen)
        _spots(axis, maps, spots, facecolors=faces[spots], edgecolors=edge, linewidths=width)
