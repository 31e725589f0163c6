"""Learning what to look ahead with, from slides that were fully measured in the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.lookahead.agent import LookaheadAgent
from agents.lookahead.programs import ExpressionPrograms
from agents.record import Origin
from agents.retrospective import read_retrospective
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.errors import InputError
from scr2st_env.genes import most_expressed_genes
from scr2st_env.kernel_choice import fit_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scr2st_env.envs.slides import SlideSource

N_GENES = 300
N_PROGRAMS = 3


def train_lookahead_agent(
    slides: Sequence[SlideSource] | None = None,
    *,
    n_programs: int = N_PROGRAMS,
    n_genes: int = N_GENES,
    n_targets: int = 800,
    seed: int = 0,
    features: str | None = "X_patch",
    embedding: str | None = "X_cell",
    min_counts: int = MIN_COUNTS,
) -> LookaheadAgent:
    """Learn expression programs, their surfaces, and how expression will be predicted.

    Parameters
    ----------
    slides
        Retrospective slides with embeddings, as ``SpotSampling-v0`` takes them; None for the
        embedded synthetic tissue.
    n_programs
        How many programs the agent follows.
    n_genes
        Genes that programs explain and that are to be predicted: the most expressed ones.
    n_targets
        See :class:`LookaheadAgent`.
    seed
        Of the spots on which kernels are fitted.
    features, embedding, min_counts
        How paths and AnnData objects are read; see ``SpotSampling-v0``.

    Returns
    -------
    LookaheadAgent

    Raises
    ------
    InputError
        If a slide is live or has no embedding, features are of different encoders, or the slides
        share no gene.
    """
    if n_genes < 1:
        raise InputError(f"n_genes={n_genes}: at least one gene has to be predicted")
    learned_from = read_retrospective(
        slides,
        None,
        None,
        features=features,
        embedding=embedding,
        types=None,
        n_states=0,
        min_counts=min_counts,
    ).slides
    first = learned_from[0].public
    for slide in learned_from:
        if slide.public.encoder != first.encoder:
            raise InputError(
                f"slide {slide.name!r} has features by {slide.public.encoder!r}, slide "
                f"{first.name!r} by {first.encoder!r}; encode all alike"
            )
    genes = most_expressed_genes(learned_from, n_genes)
    return LookaheadAgent(
        ExpressionPrograms.fit(learned_from, genes, n_programs, seed),
        fit_kernel(learned_from, genes, seed),
        first.encoder,
        first.n_features,
        Origin.from_slides(learned_from),
        n_targets,
    )
