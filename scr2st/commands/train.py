"""``scr2st train``: an agent from slides that were fully measured in the past."""

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scr2st.outputs import must_be_file, must_be_writable
from scr2st.spaces import must_share_a_space
from scr2st_env.errors import InputError

IMAGE_FREE = "none"
PREDICTION_ALONE = {"states": 0.0, "types": 0.0, "density": 0.0, "prediction": 1.0}
MAX_SEED = 2**32 - 1  # of the libraries


class Objective(StrEnum):
    """What an agent is trained for."""

    REWARD = "reward"
    PREDICTION = "prediction"
    LOOKAHEAD = "lookahead"


def train(
    *,
    slides: Annotated[
        list[Path],
        typer.Option(
            "--slides",
            metavar="SLIDE...",
            help="Fully measured slides with features and embeddings, .h5ad; one or several.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The reference as 'scr2st embed' wrote it, .h5ad.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="AGENT", help="New file, .safetensors.", show_default=False
        ),
    ],
    objective: Annotated[
        Objective,
        typer.Option(
            help="'reward': novel and spread-out biology. 'prediction': the fall of the error "
            "with which the rest of a slide is predicted. 'lookahead': the same, by a model of "
            "expression that plans with what comes back, in seconds; of the options below only "
            "--seed, --features and --embedding have a say in it."
        ),
    ] = Objective.REWARD,
    budget: Annotated[
        list[str],
        typer.Option(
            "--budget",
            metavar="B...",
            help="A share of each slide's spots (0.1; 1.0 is all of them) or a number of spots "
            "(40; 1 is one spot); several to train at all of them.",
        ),
    ] = ["0.1"],  # noqa: B006 - typer copies it
    round_size: Annotated[
        int, typer.Option(min=1, metavar="K", help="Spots sequenced together.")
    ] = 1,
    feedback: Annotated[
        bool,
        typer.Option(
            "--feedback", help="The agent heeds what measured spots showed, round by round."
        ),
    ] = False,
    evaluation_slides: Annotated[
        list[Path] | None,
        typer.Option(
            "--evaluation-slides",
            metavar="SLIDE...",
            help="Fully measured slides, best of other patients, on which the best checkpoint is "
            "chosen; default: the training slides.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="AGENT",
            help="An agent to go on from, .safetensors, such as one trained on synthetic tissue.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Purchases to learn from.")
    ] = 20_000,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="End early after N scores in a row without a new best; there are about eight.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the progress here; the same command goes on from it after it was killed.",
            show_default=False,
        ),
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write TensorBoard's logs here.", show_default=False),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, metavar="N", help="Of everything random.")
    ] = 0,
    features: Annotated[
        str, typer.Option(metavar="KEY", help="obsm key of the patch features; 'none': no image.")
    ] = "X_patch",
    embedding: Annotated[
        str, typer.Option(metavar="KEY", help="obsm key of the embeddings, of spots and cells.")
    ] = "X_cell",
    types: Annotated[
        str, typer.Option(metavar="KEY", help="obsm key of the spots' cell types.")
    ] = "X_type",
    cell_type: Annotated[
        str, typer.Option(metavar="COLUMN", help="obs column of the reference's labels.")
    ] = "cell_type",
    states: Annotated[
        int, typer.Option(min=2, metavar="C", help="Cell states of the reference.")
    ] = 100,
) -> None:
    """Train an agent on fully measured slides, to buy spots on slides it has never seen.

    Example: `scr2st train --slides embedded/C2.h5ad embedded/C3.h5ad --reference
    embedded/atlas.h5ad -o agent.safetensors`
    """
    if output.suffix != ".safetensors":
        raise InputError(f"{output} does not end in .safetensors; name it so")
    must_be_writable(output)
    to_spend = [budget_of(each) for each in budget]
    judged_on = evaluation_slides or []
    for path in (*slides, *judged_on, reference, *([] if start is None else [start])):
        must_be_file(path)
    if checkpoint is not None:
        must_be_writable(checkpoint)
    from agents.lookahead.training import train_lookahead_agent
    from agents.spot_agent import SpotAgent
    from agents.training import train_spot_agent
    from scr2st_env.reference import CellReference
    from scr2st_env.slide import Slide

    key = None if features == IMAGE_FREE else features
    measured, judged = (
        [Slide.from_anndata(path, features=key, embedding=embedding, types=types) for path in paths]
        for paths in (slides, judged_on)
    )
    for slide in (*measured, *judged):
        for share in to_spend:
            if isinstance(share, float) and round(share * slide.n_spots) < 1:
                raise InputError(
                    f"--budget {share} of the {slide.n_spots} spots of slide {slide.name!r} is "
                    "less than one spot; raise it"
                )
    must_share_a_space([reference, *slides, *judged_on], embedding)
    if objective is Objective.LOOKAHEAD:
        planner = train_lookahead_agent(measured, seed=seed)
        planner.save(output)
        typer.echo(
            f"{output}: {planner.programs.n_programs} expression programs of {len(measured)} slides"
        )
        return
    atlas = CellReference.from_anndata(
        reference, embedding=embedding, cell_type=cell_type, n_states=states, seed=seed
    )
    agent = train_spot_agent(
        measured,
        atlas,
        budget=to_spend[0] if len(to_spend) == 1 else to_spend,
        round_size=round_size,
        feedback=feedback,
        reward=None if objective is Objective.REWARD else PREDICTION_ALONE,
        total_steps=steps,
        seed=seed,
        evaluation_slides=judged or None,
        start=None if start is None else SpotAgent.load(start),
        patience=patience,
        checkpoint=checkpoint,
        log_folder=logs,
    )
    agent.save(output)
    record = agent.record
    if record is not None:
        score = "mean reward per episode"
        if objective is Objective.PREDICTION:
            score = "mean correlation on held-out spots"
        first = "untrained" if start is None else "before"
        typer.echo(
            f"{output}: {score} {record.score_before:.3f} {first}, {record.score_after:.3f} trained"
        )


def budget_of(text: str) -> float:
    """Return a number of spots, as ``int``, or a share of them, as ``float``.

    Parameters
    ----------
    text
        As typed: a whole number is a number of spots.

    Returns
    -------
    int or float

    Raises
    ------
    InputError
        If it is neither.

    Examples
    --------
    >>> budget_of("1"), budget_of("1.0")
    (1, 1.0)
    """
    with suppress(ValueError):
        if (count := int(text)) >= 1:
            return count
    with suppress(ValueError):
        if 0 < (share := float(text)) <= 1:
            return share
    raise InputError(
        f"--budget {text} is neither a share of the spots, above 0 and up to 1.0, nor a number "
        "of spots, from 1"
    )
