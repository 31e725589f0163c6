"""Options that take several values, as in ``--slides A.h5ad B.h5ad C.h5ad``."""

from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand


class ManyValuesCommand(TyperCommand):
    """A command whose repeatable options also take their values in one go."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its values, which is the form that is understood."""
        repeatable = {
            name
            for parameter in self.params
            if getattr(parameter, "multiple", False)
            for name in parameter.opts
        }
        return super().parse_args(ctx, list(one_value_each(args, repeatable)))


def one_value_each(arguments: Iterable[str], repeatable: Iterable[str]) -> Iterator[str]:
    """Yield the arguments with a repeatable option before every value of its own.

    Values end at the next option, or at ``--``.

    Parameters
    ----------
    arguments
        As typed.
    repeatable
        Names of the options that may be repeated.

    Yields
    ------
    str

    Examples
    --------
    >>> list(one_value_each(["--slides", "A", "B", "-o", "C"], {"--slides"}))
    ['--slides', 'A', '--slides', 'B', '-o', 'C']
    """
    names = frozenset(repeatable)
    option, waits = "", False  # the repeatable option before us; whether it waits for a value
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            name, equals, _ = argument.partition("=")
            option, waits = (name, not equals) if name in names else ("", False)
        elif option and not waits:
            yield option
        else:
            waits = False
        yield argument
