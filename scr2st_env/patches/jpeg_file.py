"""Files of patches, one JPEG per spot, as the HER2ST sections are kept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Self
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


class JpegPatches:
    """Patches kept as JPEGs end to end in one array, decoded when they are sliced.

    Parameters
    ----------
    data
        All JPEGs, uint8, (total bytes,).
    offsets
        Where each begins, and where the last one ends, (n + 1,).
    where
        What to call the file in messages.
    order
        Which of them, in which order; default all.
    """

    def __init__(
        self,
        data: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        where: str,
        order: ArrayLike | None = None,
    ) -> None:
        self._data = data
        self._offsets = offsets
        self._where = where
        self._order = np.asarray(np.arange(len(offsets) - 1) if order is None else order, np.intp)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        """Return the patches of a slice, uint8 (n, height, width, 3).

        Raises
        ------
        InputError
            If a patch is no JPEG, or they differ in size.
        """
        decoded = [self._decoded(index) for index in self._order[part]]
        if len({patch.shape for patch in decoded}) != 1:
            raise InputError(f"{self._where} holds patches of different sizes; cut them all alike")
        return np.stack(decoded)

    def take(self, indices: ArrayLike) -> Self:
        """Return the patches at ``indices``, in that order, still undecoded."""
        order = self._order[np.asarray(indices, np.intp)]
        return type(self)(self._data, self._offsets, self._where, order)

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        jpeg = self._data[self._offsets[index] : self._offsets[index + 1]].tobytes()
        try:
            with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
                return np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise InputError(
                f"patch {index} of {self._where} is not a JPEG; make it anew"
            ) from error


def read_patches(path: str | Path) -> tuple[list[str], JpegPatches]:
    """Open a file of patches.

    Parameters
    ----------
    path
        ``.npz`` with ``data`` (uint8, all JPEGs end to end), ``offsets`` (n + 1) and ``obs_name``
        (n): patch i is the JPEG in ``data[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    tuple of list of str and JpegPatches
        The n spot names, and their patches in the same order.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; name an .npz file of patches")
    try:
        with np.load(path, allow_pickle=False) as stored:
            data, offsets, names = (stored[key] for key in ("data", "offsets", "obs_name"))
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{path} is not a file of patches: it needs data, offsets and obs_name ({error})"
        ) from error
    in_order = offsets.size > 0 and (np.diff(offsets) > 0).all() and offsets[0] == 0
    if len(offsets) != len(names) + 1 or not in_order or offsets[-1] != data.size:
        raise InputError(f"{path} is damaged: data, offsets and obs_name do not fit together")
    labels = [str(name) for name in names]
    if len(set(labels)) < len(labels):
        raise InputError(f"{path} names a spot twice in obs_name; keep one patch per spot")
    return labels, JpegPatches(data, offsets, str(path))


def patches_of(path: str | Path, spot_names: Sequence[str]) -> JpegPatches:
    """Return the patches of named spots, in the order of the names.

    Parameters
    ----------
    path
        See :func:`read_patches`; patches of other spots in it are left alone.
    spot_names
        n names, such as ``adata.obs_names``.

    Returns
    -------
    JpegPatches
        n patches.

    Raises
    ------
    InputError
        If a spot has no patch; the message counts them and names the first.
    """
    names, patches = read_patches(path)
    place = {name: index for index, name in enumerate(names)}
    wanted = [str(name) for name in spot_names]
    missing = [name for name in wanted if name not in place]
    if missing:
        raise InputError(
            f"{path} has no patch for {len(missing)} of {len(wanted)} spots (first: "
            f"{missing[0]!r}; the file has names like {names[0]!r}); make obs_names agree"
        )
    return patches.take([place[name] for name in wanted])
