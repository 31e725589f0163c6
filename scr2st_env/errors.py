"""The one exception for wrong input."""


class InputError(ValueError):
    """What the caller handed in cannot be used.

    The message names the thing, the place and the way out, in one line: the command line prints
    it as it is and exits with status 2.
    """
