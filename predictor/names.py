"""What columns are called: genes, cell types, encoders; what is called differently is not mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.arrays import FloatArray, finite_matrix
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def column_names(table: Any) -> tuple[str, ...]:
    """Return the column names of a data frame; none of anything else."""
    return tuple(map(str, getattr(table, "columns", ())))


def row_names(table: Any, n_rows: int) -> tuple[str, ...]:
    """Return the index of a data frame as text; "0", "1", ... of anything else."""
    index = table.index if hasattr(table, "columns") else range(n_rows)
    return tuple(map(str, index))


def check_same_encoder(known: str, given: str, what: str) -> None:
    """Refuse features of another encoder; an encoder that is not named passes.

    Raises
    ------
    InputError
        If both are named, and differently.
    """
    if known and given and known != given:
        raise InputError(
            f"{what} has features of encoder {given!r}, and what it is used with has those of "
            f"{known!r}; encode both with the same one"
        )


def check_same_genes(ours: Sequence[str], theirs: Sequence[str], what: str) -> None:
    """Refuse genes of other names or in another order; genes that are not named pass.

    Parameters
    ----------
    ours
        Those that were learned.
    theirs, what
        Those of something else, and what that is.

    Raises
    ------
    InputError
        Naming the first gene that is missing, or out of place.
    """
    if not ours or not theirs or tuple(ours) == tuple(theirs):
        return
    missing = [gene for gene in ours if gene not in set(theirs)]
    if missing:
        raise InputError(
            f"{what} lacks {len(missing)} of {len(ours)} genes (first: {missing[0]!r}); "
            "use the same gene list"
        )
    raise InputError(
        f"{what} has {len(theirs)} genes in another order or beside the {len(ours)} that are "
        "wanted; select the columns by name"
    )


def composition(cell_types: Any, n_spots: int) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the cell-type composition of spots and the names of the types, none if unnamed.

    Parameters
    ----------
    cell_types
        (n, T) shares, as an array or as a data frame whose columns are types; or n labels.
    n_spots
        n.

    Raises
    ------
    InputError
        If the shape is wrong, a value is not finite or negative, or a label is missing.
    """
    import pandas as pd

    if np.ndim(cell_types) == 1 and len(cell_types) == n_spots:
        if pd.isna(np.asarray(cell_types, object)).any():
            raise InputError("cell_types lacks the label of some spots; leave these spots out")
        labels = np.asarray(cell_types).astype(str)
        names, codes = np.unique(labels, return_inverse=True)
        one_hot = np.eye(len(names), dtype=np.float32)[codes]
        return finite_matrix(one_hot, "cell_types"), tuple(names.tolist())
    shares = finite_matrix(cell_types, "cell_types", n_spots)
    if (shares < 0).any():
        raise InputError("cell_types has negative shares; give the composition of every spot")
    return shares, column_names(cell_types)


def align_types(
    parts: Sequence[tuple[ArrayLike | None, Sequence[str]]],
) -> tuple[list[FloatArray], tuple[str, ...]]:
    """Give compositions the same columns: the first's types, then those unseen so far.

    Parameters
    ----------
    parts
        (n, T) and T names each; where no part has names, columns are taken by their place, and T
        must be the same for all.

    Returns
    -------
    list of ndarray, and tuple of str
        The compositions with the same columns, and what these are called.

    Raises
    ------
    InputError
        If only some parts have names, or columns without names differ in number.
    """
    tables = [np.asarray(values, np.float32) for values, _ in parts]
    names = tuple(dict.fromkeys(name for _, part in parts for name in part))
    if not names:
        widths = sorted({table.shape[1] for table in tables})
        if len(widths) > 1:
            raise InputError(
                f"compositions of {' and '.join(map(str, widths))} cell types cannot be joined "
                "without the types' names; name the columns on both sides"
            )
        return tables, ()
    if not all(part for _, part in parts):
        raise InputError(
            f"a composition whose types are named ({', '.join(names[:3])}, ...) cannot be joined "
            "with one without names; name the columns on both sides, as a data frame does"
        )
    place = {name: index for index, name in enumerate(names)}
    aligned = []
    for table, (_, part) in zip(tables, parts, strict=True):
        wide = np.zeros((len(table), len(names)), np.float32)
        wide[:, [place[name] for name in part]] = table
        aligned.append(wide)
    return aligned, names
