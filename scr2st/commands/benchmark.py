"""``scr2st benchmark``: agents and predictors compared under one protocol."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from benchmarks.config import BenchmarkConfig, load_config
from scr2st.stages import run_and_report
from scr2st_env.errors import InputError

PANEL = "Fields of the configuration: a flag replaces what FILE says"


def benchmark(
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Configuration, .toml, or the name of one that comes with the package: demo, "
            "her2st-cross-patient, her2st-image-free, her2st-new-slide, her2st-within-slide, "
            "synthetic-patients, synthetic-patients-deep.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the results; default results/ and the configuration's name. A run "
            "that was interrupted continues there.",
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the report here, too, as Markdown with its figures and tables, to be kept "
            "under version control.",
        ),
    ] = None,
    **fields: Any,
) -> None:
    """Compare agents and predictors under one protocol: table, figures and an HTML page.

    A list is emptied by '' as in `--random-budgets ''`. 'module:Class' may name a file of the
    working directory: agents = ["random", "mine:Darkest"] finds mine.py.

    Example: `scr2st benchmark --config her2st-image-free --budgets 0.1 0.2 --seeds 3`
    """
    changes = {
        name: listed(name, value) if isinstance(value, list) else value
        for name, value in fields.items()
        if value not in (None, [])
    }
    if config is None:
        chosen, name = BenchmarkConfig.checked(changes, "flags"), "benchmark"
    else:
        chosen, name = load_config(config, **changes), Path(config).stem
    run_and_report(chosen, Path("results") / name if output is None else output, markdown)


def listed(field: str, values: list[str]) -> list[Any]:
    """Return a list as its field has it, from what was typed; ``''`` alone is the empty list.

    Raises
    ------
    InputError
        If a value should be a number and is none.

    Examples
    --------
    >>> listed("budgets", ["0.1", "0.2"]), listed("sections", ["C2"]), listed("sections", [""])
    ([0.1, 0.2], ['C2'], [])
    """
    if values == [""]:
        return []
    (item,) = get_args(BenchmarkConfig.model_fields[field].annotation)
    if as_typed(item) is str:
        return values
    try:
        return [as_typed(item)(value) for value in values]
    except ValueError as error:
        raise InputError(f"--{field.replace('_', '-')}: {error}") from error


def with_a_flag_for_each_field(command: Any, model: type[BenchmarkConfig]) -> None:
    """Give a command with ``**fields`` one option per field of a configuration.

    Parameters
    ----------
    command
        Its signature is replaced.
    model
        Its fields have descriptions and defaults.
    """
    flags = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                as_typed(field.annotation) | None,
                typer.Option(
                    flag_of(name, field.annotation),
                    help=f"{field.description}{choices_of(field.annotation)}{default_of(field)}",
                    metavar=metavar_of(field.annotation),
                    show_default=False,
                    rich_help_panel=PANEL,
                ),
            ],
        )
        for name, field in model.model_fields.items()
    ]
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *flags])


def flag_of(name: str, annotation: Any) -> str:
    """Return how the flag is typed: ``--n-genes``, or ``--feedback/--no-feedback``."""
    flag = name.replace("_", "-")
    return f"--{flag}/--no-{flag}" if annotation is bool else f"--{flag}"


def as_typed(annotation: Any) -> Any:
    """Return what the command line parses; the configuration checks the value's limits."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return as_typed(arguments[0])
    if origin is Literal:
        return str
    return list[str] if origin is list else annotation


def metavar_of(annotation: Any) -> str:
    """Return how the value is written in the help."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return metavar_of(arguments[0])
    if origin is Literal:
        return "NAME"
    if origin is list:
        return f"{metavar_of(arguments[0])}..."
    names: Mapping[Any, str] = {str: "TEXT", int: "N", float: "X", bool: ""}
    return names[annotation]


def choices_of(annotation: Any) -> str:
    """Return the values of a field that has few, as a sentence."""
    if get_origin(annotation) is not Literal:
        return ""
    return f" One of {', '.join(map(str, get_args(annotation)))}."


def default_of(field: Any) -> str:
    """Return the default as the flag would be typed."""
    default = field.get_default()
    shown = " ".join(map(str, default)) if isinstance(default, list) else str(default)
    return f" [default: {shown}]" if shown else ""


with_a_flag_for_each_field(benchmark, BenchmarkConfig)
