"""The command line: what ``scr2st`` offers, and how it complains."""

import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from scr2st.commands.benchmark import benchmark
from scr2st.commands.demo import demo
from scr2st.commands.embed import embed
from scr2st.commands.features import features
from scr2st.commands.info import info
from scr2st.commands.train import train
from scr2st.many_values import ManyValuesCommand
from scr2st_env._version import __version__
from scr2st_env.errors import InputError

WRONG_INPUT = 2
INTERRUPTED = 130

app = typer.Typer(
    name="scr2st",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, features, embed, train, benchmark, info):
    app.command(cls=ManyValuesCommand, no_args_is_help=command is not demo)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scr2st {__version__}")
        raise typer.Exit


@app.callback()
def scr2st(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Decide where on a tissue slide to spend a sequencing budget, and predict the rest.

    See it work: `scr2st demo`. On your own data, in this order: `features`, `embed`, `train`,
    `benchmark`; `info` says what a file holds and what it still lacks.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Wrong input is answered by one line on standard error and status 2, without a traceback.
    Anything else that goes wrong is a defect of the program and keeps its traceback.

    Parameters
    ----------
    arguments
        Default: those of the process.

    Returns
    -------
    int
        The exit status.
    """
    command = typer.main.get_command(app)
    try:
        with _warnings_of_one_line(), _own_modules(), _terminated_like_interrupted():
            status = command.main(arguments, prog_name="scr2st", standalone_mode=False) or 0
    except InputError as error:
        return _complain(str(error))
    except TyperException as error:
        message = error.format_message()
        return _complain(message) if message.strip() else WRONG_INPUT  # help was shown instead
    if status == INTERRUPTED:
        _end_workers()
        typer.echo("scr2st: interrupted", err=True)
    return int(status)


@contextmanager
def _warnings_of_one_line() -> Iterator[None]:
    """Show users what concerns their data; what concerns developers stays for developers."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        typer.echo(f"scr2st: warning: {' '.join(str(message).split())}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        # anndata warns of what is an error here, which says so by itself
        warnings.filterwarnings("ignore", message=".* names are not unique")
        warnings.showwarning = show
        yield


@contextmanager
def _own_modules() -> Iterator[None]:
    """Let 'module:Class' name a file of the working directory, here and in worker processes.

    It is the last place to look, so that no file there takes the place of an installed module.
    """
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let a terminated run end in order, as after Ctrl-C: locks go, and workers with them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _end_workers() -> None:
    if "joblib" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _complain(message: str) -> int:
    typer.echo(f"scr2st: error: {' '.join(message.split())}", err=True)
    return WRONG_INPUT


if __name__ == "__main__":
    sys.exit(main())
