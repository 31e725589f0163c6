"""A section and an atlas to write to a file, and what two slides have in common, bit by bit."""

import dataclasses
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scr2st_env import Slide

LARGE = 3000  # spots: with 100 features, more than a megabyte, and so mapped


def section(n_spots: int = 40, n_features: int = 5, seed: int = 0) -> AnnData:
    rng = np.random.default_rng(seed)
    places = np.stack([np.arange(n_spots) % 50, np.arange(n_spots) // 50], axis=1) * 100.0
    return AnnData(
        sparse.csr_matrix(rng.poisson(3, (n_spots, 7)).astype(np.float32)),
        obs=pd.DataFrame({"patient": "P"}, index=[f"spot {i}" for i in range(n_spots)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(7)]),
        obsm={
            "spatial": places,
            "X_patch": rng.normal(size=(n_spots, n_features)).astype(np.float32),
            "X_cell": rng.normal(size=(n_spots, 3)).astype(np.float32),
            "X_type": rng.dirichlet(np.ones(2), n_spots).astype(np.float32),
        },
        uns={"X_type_names": ["a", "b"], "X_patch_encoder": "toy"},
    )


def atlas(n_cells: int = 60) -> AnnData:
    rng = np.random.default_rng(1)
    return AnnData(
        obs=pd.DataFrame(
            {"cell_type": ["a", "b"] * (n_cells // 2)}, index=[f"c{i}" for i in range(n_cells)]
        ),
        obsm={"X_cell": rng.normal(size=(n_cells, 3)).astype(np.float32)},
    )


def write(adata: AnnData, path: Path) -> Path:
    adata.write_h5ad(path)
    return path


def arrays_in(value: Any, name: str = "") -> dict[str, NDArray]:
    """Every array that a value object holds, by where it is."""
    if isinstance(value, np.ndarray):
        return {name: value}
    if sparse.issparse(value):
        return {f"{name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")}
    if not dataclasses.is_dataclass(value):
        return {}
    parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return {
        key: array for part, v in parts for key, array in arrays_in(v, f"{name}.{part}").items()
    }


def plain_values_in(value: Any) -> list[Any]:
    if not dataclasses.is_dataclass(value):
        return [] if isinstance(value, np.ndarray) or sparse.issparse(value) else [value]
    fields = [field.name for field in dataclasses.fields(value) if field.name != "origin"]
    return [plain for name in fields for plain in plain_values_in(getattr(value, name))]


def assert_same_bits(one: Any, other: Any) -> None:
    arrays, others = arrays_in(one), arrays_in(other)
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype, name
        assert array.shape == others[name].shape, name
        assert array.tobytes() == others[name].tobytes(), name
    assert plain_values_in(one) == plain_values_in(other)


def read_directly(path: Path, **options: Any) -> Slide:
    return Slide.from_anndata(anndata.read_h5ad(path), name=path.stem, **options)
