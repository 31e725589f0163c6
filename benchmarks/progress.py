"""Progress bars that suit a terminal and a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(doing: str, total: int, *, shown: bool) -> tqdm[Any]:
    """Return a bar for ``total`` steps of what is being done."""
    # A log file gets a line a minute, a terminal ten a second.
    interval = 0.1 if sys.stderr.isatty() else 60.0
    return tqdm(desc=doing, total=total, disable=not shown, mininterval=interval)
