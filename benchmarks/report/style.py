"""One colour and one name per agent, in every figure and table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.config import BenchmarkConfig

# Okabe & Ito's palette, which readers with any colour vision can tell apart.
COLOURS = {
    "random": "#767676",
    "grid": "#E69F00",
    "farthest": "#56B4E9",
    "design": "#0072B2",
    "design:fitted": "#009E73",
    "learned:reward": "#D55E00",
    "learned:prediction": "#CC79A7",
    "learned:lookahead": "#AA0044",
    "oracle": "#000000",
    "oracle:denoised": "#555555",
    "reward-oracle": "#000000",
    "reward-oracle:denoised": "#555555",
}
SPARE = ("#B8A200", "#8B4513", "#6A3D9A", "#88CCEE", "#44AA99", "#999933", "#882255", "#332288")
MARKERS = {
    "random": "o",
    "grid": "s",
    "farthest": "D",
    "design": "^",
    "design:fitted": "v",
    "learned:reward": "P",
    "learned:prediction": "X",
    "learned:lookahead": "p",
    "oracle": "*",
}
NAMES = {
    "random": "Random",
    "grid": "Grid",
    "farthest": "Farthest point",
    "design": "A-optimal design",
    "design:rough": "A-optimal, rough kernel",
    "design:fitted": "A-optimal, fitted kernel",
    "learned:reward": "Learned (reward)",
    "learned:prediction": "Learned (prediction)",
    "learned:lookahead": "Learned (lookahead)",
    "k-center": "k-center",
    "k-means": "k-means",
    "typiclust": "TypiClust",
    "facility-location": "Facility location",
    "geosketch": "Geometric sketch",
    "leverage": "Leverage scores",
    "mutual-information": "Mutual information",
    "mutual-information:fitted": "Mutual information, fitted kernel",
    "ensemble-uncertainty": "Ensemble uncertainty",
    "posterior-sampling": "Posterior sampling",
    "posterior-sampling:fitted": "Posterior sampling, fitted kernel",
    "scrl": "SCRL",
    "scrl-released": "SCRL as released",
    "oracle": "Oracle (upper bound)",
    "oracle:denoised": "Oracle, denoised (upper bound)",
    "reward-oracle": "Reward oracle (upper bound)",
    "reward-oracle:denoised": "Reward oracle, denoised (upper bound)",
}
JUDGES = {
    "gp": "Gaussian process",
    "ridge": "Ridge regression",
    "knn": "Nearest neighbours",
    "mean": "Mean profile",
    "pls": "Partial least squares",
    "scr2net": "SCR2Net",
    "st-net": "ST-Net-like",
    "bleep": "BLEEP-like",
    "environment": "Reward",
}
METRICS = {
    "pearson_per_gene": "Pearson r per gene, test spots",
    "pearson_per_gene_truth": "Pearson r with the truth, test spots",
    "reward": "Reward of an episode",
}

PAPER: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
}


def colours(agents: Sequence[str]) -> dict[str, str]:
    """Return a colour for every agent; the built-in ones always have the same."""
    spare = iter(SPARE * len(agents))
    return {agent: COLOURS[agent] if agent in COLOURS else next(spare) for agent in agents}


def agent_name(agent: str, config: BenchmarkConfig | None = None) -> str:
    """Return an agent's name for readers; a foreign agent keeps its own.

    A saved agent is called by its file, and by as many folders as tell it from the others. Where
    the protocol grants no cohort, a learned agent is labelled as trained elsewhere.
    """
    name = NAMES.get(agent) or _file_name(agent, [] if config is None else config.agents)
    if config is not None and config.protocol == "within-slide" and agent.startswith("learned:"):
        return f"{name}, trained on other patients"
    return name


def _file_name(agent: str, agents: Sequence[str]) -> str:
    paths = [other.removesuffix(".safetensors").split("/") for other in agents if other != agent]
    own = agent.removesuffix(".safetensors").split("/")
    parts = 1
    while parts < len(own) and own[-parts:] in [path[-parts:] for path in paths]:
        parts += 1
    return "/".join(own[-parts:])


def judge_name(judge: str) -> str:
    """Return a judge's name for readers.

    Examples
    --------
    >>> judge_name("gp:no-cohort"), judge_name("module:Class")
    ('Gaussian process, no cohort', 'module:Class')
    """
    base, _, change = judge.partition(":")
    if base not in JUDGES or not change:
        return JUDGES.get(judge, judge)
    return f"{JUDGES[base]}, {change.replace('-', ' ')}"
