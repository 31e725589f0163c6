"""What an agent is trained and judged on: slides that were fully measured in the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scr2st_env.envs.slides import check_names, read_reference, read_slides
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scr2st_env.envs.slides import ReferenceSource, SlideSource, SpotSets
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import Slide


class Retrospective(NamedTuple):
    """Slides to learn from and to be judged on, and the reference of both."""

    slides: tuple[Slide, ...]
    evaluation_slides: tuple[Slide, ...]
    reference: CellReference | None

    def arguments(
        self,
        slides: tuple[Slide, ...],
        *,
        excluded: SpotSets | None = None,
        initial: SpotSets | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Return the arguments of an environment on some of the slides.

        Parameters
        ----------
        slides
            ``self.slides`` or ``self.evaluation_slides``.
        excluded, initial
            Spots by name of any slide; those of other slides are left out.
        **options
            Further arguments of ``SpotSampling-v0``.

        Raises
        ------
        InputError
            If a spot set names a slide that is neither to learn from nor to be judged on.
        """
        everything = {slide.name: slide for slide in (*self.slides, *self.evaluation_slides)}
        for argument, sets in (("excluded", excluded), ("initial", initial)):
            check_names(sets, list(everything.values()), argument)
        return {
            "slides": slides,
            "reference": self.reference,
            "excluded": _part(excluded, slides),
            "initial": _part(initial, slides),
            **options,
        }


def _part(sets: SpotSets | None, slides: tuple[Slide, ...]) -> SpotSets:
    return {slide.name: sets[slide.name] for slide in slides if sets and slide.name in sets}


def read_retrospective(
    slides: Sequence[SlideSource] | None,
    reference: ReferenceSource | None,
    evaluation_slides: Sequence[SlideSource] | None,
    *,
    features: str | None,
    embedding: str | None,
    types: str | None,
    n_states: int,
    min_counts: int,
) -> Retrospective:
    """Read every slide and the reference once.

    Parameters
    ----------
    slides, reference
        As ``SpotSampling-v0`` takes them.
    evaluation_slides
        Likewise; None for the training slides.
    features, embedding, types, n_states, min_counts
        See ``SpotSampling-v0``.

    Returns
    -------
    Retrospective

    Raises
    ------
    InputError
        If the slides do not fit one another, or one is live.
    """
    if slides is None:
        from scr2st_env.synthetic.embedded import load_reference, load_slides

        slides = load_slides()
        reference = load_reference() if reference is None else reference

    def read(sources: Sequence[SlideSource]) -> tuple[Slide, ...]:
        found = read_slides(
            sources, features=features, embedding=embedding, types=types, min_counts=min_counts
        )
        for slide in found:
            if slide.hidden is None:
                raise InputError(
                    f"slide {slide.name!r} is live: train on slides that were measured"
                )
        return found

    learned_from = read(slides)
    return Retrospective(
        learned_from,
        learned_from if evaluation_slides is None else read(evaluation_slides),
        read_reference(reference, embedding=embedding, n_states=n_states),
    )
