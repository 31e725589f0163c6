"""Writing the synthetic tissue to disk: the embedded files, and ``.h5ad`` files to practise on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from scr2st_env.embedders.composition import TypeComposition
from scr2st_env.embedders.pca import PCAEmbedder
from scr2st_env.encoders.histology import HistologyEncoder
from scr2st_env.files import replacing
from scr2st_env.reference import CellReference
from scr2st_env.synthetic.drawing import PATCH_PX, UM_PER_PX
from scr2st_env.synthetic.embedded import TEST, TRAINING
from scr2st_env.synthetic.tissue import TRUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from scr2st_env.synthetic.tissue import SyntheticTissue

N_CELLS = 1500
N_PATIENTS = 6
EMBEDDING_DIM = 16
PICTURE_PX = 300


def embed_tissue(
    tissue: SyntheticTissue,
    folder: str | Path,
    *,
    training: Sequence[str] = TRAINING,
    test: Sequence[str] = TEST,
    n_cells: int = N_CELLS,
    n_states: int = 100,
) -> None:
    """Write the files that :mod:`scr2st_env.synthetic.embedded` reads.

    Features come from :class:`scr2st_env.encoders.HistologyEncoder`, embeddings from a PCA whose
    statistics are the training sections' and the reference's, compositions from non-negative least
    squares: what a laboratory would have, nothing from the truth.

    Parameters
    ----------
    tissue
        Whose sections.
    folder
        Where the files go; each is replaced only when it is complete.
    training, test
        Names of the sections.
    n_cells, n_states
        Size of the reference.
    """
    reference = tissue.reference(n_cells)
    sections = {
        name: tissue.section(*_numbers(name), hires_px=PICTURE_PX)
        for name in tqdm([*training, *test], desc="sections", unit="section")
    }
    embedder = PCAEmbedder(EMBEDDING_DIM)
    embedder.fit(reference, slides=[sections[name] for name in training])
    composition = TypeComposition().fit(reference)
    cells = CellReference.make(
        embedder.transform(reference, "cells"),
        reference.obs["cell_type"].tolist(),
        n_states=n_states,
        type_names=composition.type_names,
    )
    encoder = HistologyEncoder()
    _write(
        Path(folder) / "reference.npz",
        embedding=cells.embedding.astype(np.float16),
        cell_types=cells.cell_types.astype(np.uint8),
        type_names=np.array(cells.type_names),
        states=cells.states,
        bandwidth=np.float64(cells.bandwidth),
        genes=np.array(tissue.programs.genes),
        encoder=np.array(encoder.name),
    )
    for name, section in tqdm(sections.items(), desc="features", unit="section"):
        library = section.uns["spatial"][name]
        _write(
            Path(folder) / f"{name}.npz",
            spots=np.rint(section.obsm["spatial"] * UM_PER_PX).astype(np.uint16),
            counts=np.minimum(section.X.toarray(), np.iinfo(np.uint16).max).astype(np.uint16),
            features=encoder.encode(section.obsm["patches"]).astype(np.float16),
            embedding=embedder.transform(section).astype(np.float16),
            types=composition.transform(section).astype(np.float16),
            picture=_jpeg(library["images"]["hires"], quality=80),
            um_per_px=np.float64(UM_PER_PX / library["scalefactors"]["tissue_hires_scalef"]),
        )


def write_h5ad(
    tissue: SyntheticTissue, folder: str | Path, *, n_sections: int = 11, n_cells: int = N_CELLS
) -> list[Path]:
    """Write sections and reference as ``.h5ad`` files, and patches beside them.

    The sections carry counts, positions and a picture, but no features and no embedding, as if
    they came from the laboratory: ``scr2st features`` and ``scr2st embed`` make those.

    Parameters
    ----------
    tissue
        Whose sections.
    folder
        Gets ``reference.h5ad``, ``p1s1.h5ad``, ... and ``patches/p1s1.npz``, ... in the layout
        that :func:`scr2st_env.patches.read_patches` reads.
    n_sections
        How many: first one of each of six patients, then second ones.
    n_cells
        Size of the reference.

    Returns
    -------
    list of Path
        The ``.h5ad`` files written, the reference first.
    """
    folder = Path(folder)
    written = [folder / "reference.h5ad"]
    with replacing(written[0]) as path:
        tissue.reference(n_cells).write_h5ad(path)
    for index in tqdm(range(n_sections), desc="sections", unit="section"):
        name = f"p{index % N_PATIENTS + 1}s{index // N_PATIENTS + 1}"
        section = tissue.section(*_numbers(name))
        _write_patches(folder / "patches" / f"{name}.npz", section)
        del section.obsm["patches"], section.layers[TRUTH]
        written.append(folder / f"{name}.h5ad")
        with replacing(written[-1]) as path:
            section.write_h5ad(path)
    return written


def _write_patches(path: Path, section: AnnData) -> None:
    jpegs = [_jpeg(patch, quality=90) for patch in section.obsm["patches"]]
    _write(
        path,
        data=np.concatenate(jpegs),
        offsets=np.cumsum([0, *(len(jpeg) for jpeg in jpegs)]).astype(np.int64),
        obs_name=np.array(section.obs_names.tolist()),
        patch_px=np.int32(PATCH_PX),
        um_per_px=np.float32(UM_PER_PX),
    )


def _numbers(name: str) -> tuple[int, int]:
    """Return patient and section: ``p1s2`` is (1, 2)."""
    patient, section = name.removeprefix("p").split("s")
    return int(patient), int(section)


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.frombuffer(stream.getvalue(), np.uint8)


def _write(path: Path, **arrays: NDArray[np.generic] | np.generic) -> None:
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
