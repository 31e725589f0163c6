"""Names of files: safe on any system, different for different things."""

from __future__ import annotations

import hashlib
import json
import re

LONGEST = 80


def file_stem(*parts: str | float) -> str:
    """Return a name that shows its parts and holds eight hex digits of what they are.

    Parameters
    ----------
    *parts
        Of the name; two that look alike after unsafe characters are replaced stay apart.

    Returns
    -------
    str
        Letters, digits and ``_ . + -``; never a path.

    Examples
    --------
    >>> file_stem("../evil")
    '.._evil-d7583c95'
    """
    shown = re.sub(r"[^A-Za-z0-9_.+-]", "_", "-".join(str(part) for part in parts))[:LONGEST]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
    return f"{shown}-{digest}"
