"""The sections and the reference that ship with the package, read without heavy imports.

One compressed ``.npz`` per section: ``spots`` (um, uint16), ``counts`` (uint16), ``features``,
``embedding`` and ``types`` (float16: a relative error below 0.0005), ``picture`` (JPEG bytes) and
``um_per_px`` of the picture; ``reference.npz`` holds the reference and the names of genes and cell
types. All are made by :mod:`scr2st_env.synthetic.making`.
"""

from __future__ import annotations

import io
from functools import lru_cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from scr2st_env.arrays import finite_matrix, frozen
from scr2st_env.counts import MIN_COUNTS
from scr2st_env.errors import InputError
from scr2st_env.reference import CellReference
from scr2st_env.slide import Slide, SlideImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TRAINING = ("p1s1", "p1s2", "p2s1", "p2s2", "p3s1", "p3s2", "p4s1", "p4s2")
TEST = ("p5s1", "p5s2", "p6s1")


@lru_cache(maxsize=1)
def _reference_arrays() -> dict[str, NDArray[Any]]:
    return _arrays("reference")


def _arrays(name: str) -> dict[str, NDArray[Any]]:
    with (
        as_file(files("scr2st_env") / "data" / f"{name}.npz") as path,
        np.load(path, allow_pickle=False) as stored,
    ):
        return dict(stored)


@lru_cache
def load_slide(name: str) -> Slide:
    """Return one section of the embedded tissue.

    Parameters
    ----------
    name
        One of :data:`TRAINING` or :data:`TEST`, such as ``"p1s2"``: patient 1, section 2.

    Returns
    -------
    Slide
        The same object at every call.

    Raises
    ------
    InputError
        If there is no such section.
    """
    if name not in TRAINING + TEST:
        known = ", ".join(TRAINING + TEST)
        raise InputError(f"no embedded section is called {name!r}; there are {known}")
    stored, shared = _arrays(name), _reference_arrays()
    counts = stored["counts"].astype(np.int32)
    return Slide.make(
        name,
        stored["spots"],
        features=stored["features"],
        counts=counts,
        genes=shared["genes"].tolist(),
        embedding=stored["embedding"],
        types=stored["types"],
        type_names=shared["type_names"].tolist(),
        spot_names=[f"{name}_{index}" for index in range(len(counts))],
        measurable=counts.sum(axis=1) >= MIN_COUNTS,
        patient=name.split("s", maxsplit=1)[0],
        encoder=str(shared["encoder"]),
        image=SlideImage(_picture(stored["picture"]), 1 / float(stored["um_per_px"])),
    )


def load_slides(names: Sequence[str] = TRAINING + TEST) -> list[Slide]:
    """Return sections of the embedded tissue.

    Parameters
    ----------
    names
        Which; default the training sections (patients p1 to p4), then the test sections (p5, p6).

    Returns
    -------
    list of Slide
        A new list of the same objects at every call.

    Examples
    --------
    >>> slides = load_slides(TRAINING[:2])
    >>> [(slide.name, slide.patient) for slide in slides]
    [('p1s1', 'p1'), ('p1s2', 'p1')]
    """
    return [load_slide(name) for name in names]


@lru_cache
def load_reference() -> CellReference:
    """Return the embedded single-cell reference, its cell states included.

    Returns
    -------
    CellReference
        The same object at every call.
    """
    stored = _reference_arrays()
    return CellReference(
        embedding=finite_matrix(stored["embedding"], "reference: embedding"),
        cell_types=frozen(stored["cell_types"].astype(np.int32)),
        type_names=tuple(stored["type_names"].tolist()),
        states=finite_matrix(stored["states"], "reference: states"),
        bandwidth=float(stored["bandwidth"]),
    )


def _picture(jpeg: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(jpeg.tobytes()), formats=["JPEG"]) as picture:
        return frozen(np.asarray(picture))
