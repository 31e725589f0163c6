"""The house keeps its shape: imports run downward, nothing is unpickled, files stay readable."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "scr2st_env": set(),
    "agents": {"scr2st_env"},
    "predictor": {"scr2st_env"},
    "benchmarks": {"scr2st_env", "agents", "predictor"},
    "scr2st": {"scr2st_env", "agents", "predictor", "benchmarks"},
}
MAX_LINES = 350
UNPICKLES = {
    ("pickle", "load"), ("pickle", "loads"), ("pickle", "Unpickler"), ("torch", "load"),
    ("joblib", "load"), ("dill", "load"), ("cloudpickle", "load"), ("cloudpickle", "loads"),
    ("pd", "read_pickle"), ("pandas", "read_pickle"),
}  # fmt: skip
EXECUTES = ROOT / "agents" / "foreign_models.py"  # behind a flag that says so
FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


@cache
def lazy_exports(package: str) -> dict[str, str]:
    """The module that defines each name of ``lazy_loader.attach(..., submod_attrs={...})``."""
    home = {}
    for node in ast.walk(parsed(package)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "attach":
            for keyword in node.keywords:
                if keyword.arg == "submod_attrs":
                    for module, names in ast.literal_eval(keyword.value).items():
                        home |= dict.fromkeys(names, f"{package}.{module}")
    return home


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def only_for_type_checkers(tree: ast.Module) -> set[ast.AST]:
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }


@cache
def imported_modules(module: str, *, for_types: bool = False) -> frozenset[str]:
    """Our modules that a module imports, wherever the statement stands.

    A name that a package re-exports counts as an import of the module that defines it.
    """
    unwanted = set() if for_types else only_for_type_checkers(parsed(module))
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if node in unwanted:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            exports = lazy_exports(node.module) if node.module in MODULES else {}
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                plain = submodule if submodule in MODULES else node.module
                found.add(exports.get(alias.name, plain))
    return frozenset(name for name in found if name in MODULES and name != module)


def test_imports_run_downward_only() -> None:
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        for other in imported_modules(module, for_types=True)
        if other.split(".")[0] != (package := module.split(".")[0])
        and other.split(".")[0] not in MAY_IMPORT[package]
    ]
    assert wrong == []


def circles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """One path for every circle that a depth-first search meets."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for other in sorted(graph[module]):
                visit(other, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def test_no_circle_among_files() -> None:
    graph = {module: imported_modules(module) for module in MODULES}
    assert circles(graph) == []


def test_the_search_for_circles_finds_one() -> None:
    graph = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"b"})}
    assert circles(graph) == [["b", "c", "b"]]


def test_the_scan_sees_imports() -> None:
    assert "scr2st_env.errors" in imported_modules("scr2st_env.arrays")
    assert lazy_exports("scr2st_env")["Slide"] == "scr2st_env.slide"
    assert "scr2st_env._version" in imported_modules("scr2st_env")
    assert set(MAY_IMPORT) <= set(MODULES)


def loads_of_models(tree: ast.Module) -> list[int]:
    """Lines where a Stable-Baselines3 class, or a variable that holds one, loads its zip."""
    classes = {"algorithm", "model_class"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("stable_baselines3", "sb3_contrib")
        ):
            classes.update(alias.asname or alias.name for alias in node.names)
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            getattr(node.func, "id", getattr(node.func, "attr", "")) == "load_from_zip_file"
            or (
                isinstance(node.func, ast.Attribute)
                and node.func.attr == "load"
                and getattr(node.func.value, "id", "") in classes
            )
        )
    ]


def test_models_that_may_hold_code_are_loaded_in_one_place_only() -> None:
    found = {path for path in FILES if loads_of_models(ast.parse(path.read_text("utf-8")))}
    assert found == {EXECUTES}
    seen = "from sb3_contrib import MaskablePPO as P\nP.load('x')\nload_from_zip_file('y')"
    assert loads_of_models(ast.parse(seen)) == [2, 3]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_unpickles_nothing_and_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            allowed = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            assert keyword.arg != "allow_pickle" or allowed, f"line {node.lineno}"
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            called = (node.func.value.id, node.func.attr)
            restricted = called == ("torch", "load") and any(
                keyword.arg == "weights_only" and getattr(keyword.value, "value", None) is True
                for keyword in node.keywords
            )
            assert called not in UNPICKLES or restricted, f"line {node.lineno}"
