"""What every reward term is: a potential of the set of measured spots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from scr2st_env.arrays import BoolArray, FloatArray, IntArray, frozen
from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from scr2st_env.reference import CellReference
    from scr2st_env.slide import Slide

    SpotArray = NDArray[np.intp]
    Rows = slice | NDArray[np.intp]

Table = TypeVar("Table")


_TABLES: WeakKeyDictionary[Slide, dict[Hashable, Any]] = WeakKeyDictionary()


def shared_table(slide: Slide, key: Hashable, compute: Callable[[], Table]) -> Table:
    """Return a table of one slide, computed once for all environments that hold the slide.

    Parameters
    ----------
    slide
        The table lives as long as the slide does.
    key
        Everything else that the table depends on.
    compute
        Makes the table.
    """
    tables = _TABLES.setdefault(slide, {})
    if key not in tables:
        tables[key] = compute()
    return tables[key]


@dataclass(frozen=True, eq=False)
class Setting:
    """One slide as an episode plays it.

    Parameters
    ----------
    slide
        The slide, hidden part included: terms read the rows of measured spots.
    reference
        The atlas, or None where no term needs one.
    budget
        How many spots may be bought, a count.
    purchasable
        Spots that can be bought, bool, (N,): measurable, neither excluded nor initial.
    initial
        Spots that are measured before the first purchase, int32, (n,).
    """

    slide: Slide
    reference: CellReference | None
    budget: int
    purchasable: BoolArray  # (N,)
    initial: IntArray  # (n,)

    @property
    def n_measured(self) -> int:
        """Size of the measured set when the budget is spent: what "attainable" refers to."""
        return self.budget + len(self.initial)

    def without(self, spots: IntArray) -> Setting:
        """Return the setting with fewer purchasable spots."""
        purchasable = self.purchasable.copy()
        purchasable[spots] = False
        return replace(self, purchasable=frozen(purchasable))

    def cell_reference(self, term: str) -> CellReference:
        """Return the reference, which the reward term ``term`` needs."""
        if self.reference is None:
            raise InputError(
                f"reward term {term!r} needs a reference; pass reference= or give it weight 0"
            )
        return self.reference

    def embedding(self, term: str) -> FloatArray:
        """Return the embedding of the spots, (N, E), after checking that it fits the reference."""
        hidden, reference = self.slide.hidden, self.cell_reference(term)
        if hidden is None or hidden.embedding is None:
            raise InputError(
                f"slide {self.slide.name!r} has no embedding, which reward term {term!r} needs; "
                "run 'scr2st embed' or give the term weight 0"
            )
        width = hidden.embedding.shape[1]
        if width != reference.n_dimensions:
            raise InputError(
                f"slide {self.slide.name!r} has an embedding of width {width} but the reference "
                f"one of {reference.n_dimensions}; embed both with the same embedder"
            )
        return hidden.embedding

    def types(self, term: str) -> FloatArray:
        """Return the composition of the spots, (N, T), columns in the order of the reference."""
        hidden, reference = self.slide.hidden, self.cell_reference(term)
        if hidden is None or hidden.types is None:
            raise InputError(
                f"slide {self.slide.name!r} has no cell types, which reward term {term!r} needs; "
                "run 'scr2st embed' or give the term weight 0"
            )
        different = set(hidden.type_names) ^ set(reference.type_names)
        if different:
            raise InputError(
                f"slide {self.slide.name!r} and the reference name different cell types "
                f"(only one of them has {min(different)!r}); use the reference's names"
            )
        column = {name: index for index, name in enumerate(hidden.type_names)}
        return hidden.types[:, [column[name] for name in reference.type_names]]


class Potential(Protocol):
    """A term bound to one slide, following one episode.

    ``value``, an attribute or a property, is a function of the *set* of measured spots and of
    nothing else. ``reset`` makes new state, so that ``copy.copy`` of a potential shares its tables
    and not its episode: this is how the batched environment plays a term that has no batched form
    of its own.
    """

    def reset(self, initial: IntArray) -> None:
        """Begin an episode in which the spots ``initial``, (n,), are measured already."""

    def add(self, spots: Sequence[int]) -> None:
        """Add newly measured spots, none of which was measured before."""

    @property
    def value(self) -> float:
        """Phi of the spots measured so far."""


class BatchedPotential(Protocol):
    """A term bound to one slide, following many episodes at once; each has a row.

    ``rows`` is an array of distinct rows, (m,), or ``slice(None)`` for all of them, which is
    faster.
    """

    def reset(self, rows: Rows, initial: IntArray) -> None:
        """Begin episodes in which the spots ``initial``, (n,), are measured already."""

    def add(self, rows: Rows, spots: SpotArray) -> None:
        """Add one newly measured spot to each of the rows; spots is (m,)."""

    def values(self, rows: Rows) -> NDArray[np.float64]:
        """Return Phi of the spots measured so far, (m,)."""


class CopiedPotentials:
    """The batched form of any potential: one copy for each episode, played one by one.

    Parameters
    ----------
    potential
        Follows no episode yet; its tables are shared by the copies.
    n_episodes
        Number of rows.
    """

    def __init__(self, potential: Potential, n_episodes: int) -> None:
        self._potentials = [copy(potential) for _ in range(n_episodes)]

    def reset(self, rows: Rows, initial: IntArray) -> None:
        """Begin episodes in which the spots ``initial``, (n,), are measured already."""
        for potential in self._in(rows):
            potential.reset(initial)

    def add(self, rows: Rows, spots: SpotArray) -> None:
        """Add one newly measured spot to each of the rows."""
        for potential, spot in zip(self._in(rows), spots.tolist(), strict=True):
            potential.add([spot])

    def values(self, rows: Rows) -> NDArray[np.float64]:
        """Return Phi of the spots measured so far, (m,)."""
        return np.array([potential.value for potential in self._in(rows)], np.float64)

    def _in(self, rows: Rows) -> list[Potential]:
        if isinstance(rows, slice):
            return self._potentials[rows]
        return [self._potentials[row] for row in rows.tolist()]


def check_weight(name: str, weight: Any) -> None:
    """Raise :class:`InputError` unless ``weight`` is a finite number that is not negative."""
    is_number = isinstance(weight, int | float | np.number)
    if not (is_number and np.isfinite(weight) and weight >= 0):
        raise InputError(f"reward weight {name!r} must be a number >= 0, got {weight!r}")


@dataclass(frozen=True)
class Term(ABC):
    """A reward term: subclass it and pass an instance in ``terms=`` to add one of your own.

    Parameters
    ----------
    weight
        What one unit of the potential is worth; 0 leaves the term out.

    Examples
    --------
    A term that pays for every measured spot in the left half of the tissue:

    >>> class LeftHalf(Term):
    ...     name = "left_half"
    ...     def bind(self, setting):
    ...         return LeftHalfPotential(setting.slide.public.scaled_coordinates[:, 0] < 0.5)
    >>> class LeftHalfPotential:
    ...     def __init__(self, is_left):
    ...         self.is_left = is_left
    ...     def reset(self, initial):
    ...         self.value = float(self.is_left[initial].sum())
    ...     def add(self, spots):
    ...         self.value += float(self.is_left[spots].sum())
    >>> LeftHalf(weight=0.5)
    LeftHalf(weight=0.5)
    """

    name: ClassVar[str]
    privileged: ClassVar[bool] = False  # parts of a privileged term are kept from agents

    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check name and weight."""
        if not isinstance(getattr(self, "name", None), str):
            raise InputError(f"reward term {type(self).__name__} has no name; give it one, a str")
        check_weight(self.name, self.weight)

    def check(self, setting: Setting) -> None:  # noqa: B027 - a term without needs keeps it
        """Raise :class:`InputError` where ``setting`` lacks what the term needs; cheap."""

    @abstractmethod
    def bind(self, setting: Setting) -> Potential:
        """Return the term's potential on one slide, its tables computed."""

    def bind_batched(self, setting: Setting, n_episodes: int) -> BatchedPotential:
        """Return the potential of many episodes on one slide.

        A term that does not override this is played episode by episode: right, and slower.
        """
        return CopiedPotentials(self.bind(setting), n_episodes)
