"""Fixtures: a small tissue made by hand, and the real sections where they are at hand."""

import os
import shlex
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from scr2st_env import CellReference, Slide

settings.register_profile("any machine", deadline=None)  # a slow machine is no failure
settings.load_profile("any machine")

N_TYPES = 3
N_DIMENSIONS = 4
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def toy_slide(
    name: str = "toy", side: int = 8, seed: int = 0, n_features: int = 6, pitch: float = 100.0
) -> Slide:
    """A square lattice of side x side spots whose features, types and embedding are related."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    place = grid / side
    waves = np.stack([np.sin(3 * place[:, 0]), np.cos(4 * place[:, 1]), place[:, 0] * place[:, 1]])
    types = np.exp(2 * waves.T + 0.3 * rng.normal(size=(side * side, N_TYPES)))
    types /= types.sum(axis=1, keepdims=True)
    embedding = types @ rng.normal(size=(N_TYPES, N_DIMENSIONS)) + 0.1 * rng.normal(
        size=(side * side, N_DIMENSIONS)
    )
    programs = rng.gamma(2.0, size=(N_TYPES, 30))
    features = types @ rng.normal(size=(N_TYPES, n_features))
    return Slide.make(
        name,
        grid * pitch,
        features=features + 0.2 * rng.normal(size=features.shape),
        counts=rng.poisson(10 * types @ programs),
        genes=[f"g{index}" for index in range(30)],
        embedding=embedding,
        types=types,
        type_names=["a", "b", "c"],
        patient=f"patient of {name}",
        encoder="toy",
    )


def toy_reference(seed: int = 0, n_states: int = 10) -> CellReference:
    rng = np.random.default_rng(seed)
    labels = rng.integers(N_TYPES, size=120)
    centres = rng.normal(size=(N_TYPES, N_DIMENSIONS))
    cells = centres[labels] + 0.4 * rng.normal(size=(120, N_DIMENSIONS))
    return CellReference.make(cells, [["a", "b", "c"][code] for code in labels], n_states=n_states)


def has_compiler() -> bool:
    """Whether an installation on this machine can compile C."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cl"
    return shutil.which(shlex.split(command)[0]) is not None


@pytest.fixture(scope="session")
def cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest, cache_of_tests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave the user's cache alone; only tests on real sections gain from what is in it."""
    if "real_data" not in request.keywords:
        monkeypatch.setenv("SCR2ST_CACHE", str(cache_of_tests))


@pytest.fixture
def slide() -> Slide:
    return toy_slide()


@pytest.fixture
def slides() -> list[Slide]:
    """Three slides of different sizes and patients."""
    return [toy_slide("one", 8, 1), toy_slide("two", 6, 2), toy_slide("three", 7, 3)]


@pytest.fixture
def reference() -> CellReference:
    return toy_reference()


def data_folder() -> Path | None:
    """The real data: SCR2ST_DATA, else ../shared/data beside the checkout, else None."""
    named = os.environ.get("SCR2ST_DATA")
    if named is not None:
        return Path(named)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return beside if (beside / "her2st").is_dir() else None


def complaint_about_real_data() -> str | None:
    """Why the data that SCR2ST_DATA names cannot be used, or None."""
    named = os.environ.get("SCR2ST_DATA")
    if named is None:
        return None
    try:
        sections = sorted((Path(named) / "her2st").glob("*.h5ad"))
        if not sections:
            return f"SCR2ST_DATA={named} holds no section her2st/*.h5ad"
        for path in [*sections, *(Path(named) / "reference").glob("*.h5ad")]:
            with path.open("rb") as file:
                if file.read(len(HDF5_SIGNATURE)) != HDF5_SIGNATURE:
                    return f"SCR2ST_DATA={named}: {path} is not an .h5ad file"
    except OSError as error:
        return f"SCR2ST_DATA={named} cannot be read: {error}"
    return None


def pytest_configure() -> None:
    """Tests that were asked for and cannot run are a failure, never a silent skip."""
    complaint = complaint_about_real_data()
    if complaint is not None:
        raise pytest.UsageError(complaint)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    count = {
        outcome: sum(
            "real_data" in report.keywords
            for report in terminalreporter.stats.get(outcome, [])
            if isinstance(report, pytest.TestReport)
        )
        for outcome in ("passed", "failed", "skipped")
    }
    place = data_folder() or "no data: set SCR2ST_DATA to the folder that holds her2st/"
    terminalreporter.write_line(
        f"real-data tests: {count['passed'] + count['failed']} ran, {count['failed']} failed, "
        f"{count['skipped']} skipped ({place})"
    )


@pytest.fixture
def real_data() -> Path:
    folder = data_folder()
    if folder is None:
        pytest.skip("no real data: set SCR2ST_DATA")
    return folder
