"""What is installed: light imports, one version, a wheel with everything in it."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from conftest import has_compiler

import scr2st_env

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("scr2st_env", "agents", "predictor", "benchmarks", "scr2st")
HEAVY = ("torch", "anndata", "sklearn", "matplotlib", "pandas", "skimage", "faiss")


PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
BUILT = ("*.c", "*.so", "*.pyd")  # beside their source, where an editable installation puts them
NOT_SOURCE = shutil.ignore_patterns("__pycache__", *BUILT)


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    script = f"import sys, {package}; print(*[name for name in {HEAVY} if name in sys.modules])"
    assert run(sys.executable, "-c", script).split() == []


def test_importing_the_world_registers_the_environment() -> None:
    script = "import gymnasium, scr2st_env; print(gymnasium.spec('SpotSampling-v0').id)"
    assert run(sys.executable, "-c", script).strip() == "SpotSampling-v0"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_that_a_package_offers_can_be_loaded(package: str) -> None:
    module = __import__(package)
    for name in getattr(module, "__all__", []):
        assert getattr(module, name) is not None


NOT_INSTALLED = {"scvi": "scvi-tools"}  # libraries of extras that are not called as they import


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    version = re.compile(rf"(version\S*\s*[:=]\s*[\"']?){re.escape(scr2st_env.__version__)}\b")
    sources = [*ROOT.glob("*.toml"), *ROOT.glob("*.cff"), *ROOT.glob("Makefile")]
    sources += [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found = [path.name for path in sources if version.search(path.read_text(encoding="utf-8"))]
    assert found == ["_version.py"]
    assert f"## [{scr2st_env.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_requirement_is_pinned_once() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    assert all(len(pin) == 2 and pin[1][0].isdigit() and "+" not in pin[1] for pin in pins)
    pinned = {canonical(name) for name, _ in pins}
    assert len(pinned) == len(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = project["dependencies"] + project["optional-dependencies"]["test"]
    names = {canonical(re.split(r"[><=!~;\[ ]", line)[0]) for line in required}
    assert names - pinned == set()
    assert ["torch", "2.13.0"] in pins


def test_every_library_that_is_imported_is_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    required = {canonical(re.split(r"[><=!~;\[ ]", line)[0]) for line in lines}
    distributions = metadata.packages_distributions()
    imported = {
        name: path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in imports(path)
        if name not in {*PACKAGES, *sys.stdlib_module_names}
    }
    assert {"numpy", "sklearn", "faiss"} <= set(imported)
    undeclared = {
        name: place
        for name, place in imported.items()
        if required.isdisjoint(
            canonical(each) for each in distributions.get(name, [NOT_INSTALLED.get(name, name)])
        )
    }
    assert undeclared == {}


def imports(path: Path) -> set[str]:
    """The topmost names of the modules that a file imports anywhere."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in whole | parts}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_continuous_integration_calls_make_test_which_runs_every_check() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "make" in line] == ["make test"]
    planned = run("make", "--dry-run", "test", cwd=ROOT)
    for check in ("ruff check .", "ruff format --check .", "bin/mypy", "-m pytest -n 2"):
        assert check in planned


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"), os.environ)


def build_wheel(folder: Path, environment: Mapping[str, str]) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=NOT_SOURCE)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(*PIP, "wheel", *options, source, env=environment)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not any(path.match(pattern) for pattern in BUILT)
    }
    packed = packed_files(wheel)
    compiled = {name for name in packed if name.endswith(tuple(EXTENSION_SUFFIXES))}
    assert packed - compiled == files
    assert len(compiled) == has_compiler()
    assert {f"{package}/py.typed" for package in PACKAGES} <= packed


def packed_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_without_a_compiler_rewards_are_computed_by_numpy(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, os.environ | {"CC": shutil.which("false") or "false"})
    assert not any(name.endswith(tuple(EXTENSION_SUFFIXES)) for name in packed_files(wheel))
    run(*PIP, "install", "--no-deps", "--target", tmp_path / "site", wheel)
    script = (
        "import gymnasium, scr2st_env; from scr2st_env.rewards import COMPILED;"
        "env = gymnasium.make('SpotSampling-v0', budget=2); env.reset(seed=0);"
        "print(COMPILED, env.step(3)[1] > 0)"
    )
    environment = {name: os.environ[name] for name in os.environ if name != "SCR2ST_COMPILED"}
    environment["PYTHONPATH"] = str(tmp_path / "site")
    said = run(sys.executable, "-c", script, cwd=tmp_path, env=environment)
    assert said.split() == ["False", "True"]


def test_the_command_works_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    run(*PIP, "install", "--no-deps", "--target", tmp_path, wheel)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    where = [sys.executable, "-c", "import scr2st.cli; print(scr2st.cli.__file__)"]
    assert Path(run(*where, cwd=tmp_path, env=environment).strip()).is_relative_to(tmp_path)
    script = tmp_path / "bin" / "scr2st"
    said = run(script, "--version", cwd=tmp_path, env=environment)
    assert said.split() == ["scr2st", scr2st_env.__version__]
