"""Imports point one way, and DAG files stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "storage",
    "reporting",
    "ingestion",
    "modelling",
    "training",
    "promotion",
    "scoring",
    "monitoring",
    "operations",
    "overview",
)
HEAVY = {"pandas", "sklearn", "mlflow", "great_expectations", "evidently", "exchange_calendars", "skfolio"}


def _modules(folder: str) -> Iterator[Path]:
    return (ROOT / folder).rglob("*.py")


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", _modules("include"), ids=str)
def test_include_never_imports_airflow(path: Path) -> None:
    assert not {name for name in _imports(path) if name.split(".")[0] == "airflow"}


@pytest.mark.parametrize("path", _modules("include/lifecycle"), ids=str)
def test_the_engine_knows_no_dataset_and_no_model(path: Path) -> None:
    own_data = ("include.sources", "include.toolkit", "include.checks", "include.scaffold")
    others = ("include.datasets", "include.models", "include.catalog", "include.samples", "include.stack")
    forbidden = (*others, *own_data)
    assert not {name for name in _imports(path) if name.startswith(forbidden)}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported_modules(path: Path, modules: Collection[str]) -> set[str]:
    """Those of the modules that a file imports, also within functions and for types alone.

    In the engine a text that names a module of the engine counts, too: something is imported by it.
    """
    tree, names = ast.parse(path.read_text()), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= full & set(modules) if full & set(modules) else {node.module}
    if _name(path).startswith("include.lifecycle."):
        names |= _modules_in_texts(tree)
    return names & set(modules) - {_name(path)}


def _modules_in_texts(tree: ast.Module) -> set[str]:
    """What texts name, as `import_module` and `Deferred` take it: each module, and those that it may lie in."""
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    parts = [
        re.split("[.:]", text)
        for text in texts
        if isinstance(text, str) and re.fullmatch(r"include\.lifecycle[\w.:]*", text)
    ]
    return {".".join(names[:length]) for names in parts for length in range(3, len(names) + 1)}


def _room(module: str) -> str | None:
    """The room of a module of the engine; None for what lies before all rooms, such as the specs."""
    room = f"{module}.".split(".")[2]
    return room if room in ROOMS else None


def test_each_folder_of_the_engine_is_a_room() -> None:
    folders = {path.parent.name for path in (ROOT / "include/lifecycle").glob("*/__init__.py")}

    assert folders == {*ROOMS, "specs"}


@pytest.mark.parametrize("path", _modules("include/lifecycle"), ids=str)
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    modules = [_name(other) for other in _modules("include/lifecycle")]
    own = _room(_name(path))
    before = ROOMS[: ROOMS.index(own) + 1] if own else ()

    imported = {module: _room(module) for module in _imported_modules(path, modules)}

    assert [module for module, room in imported.items() if room not in (None, *before)] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {_name(path): path for path in _modules("include")}
    imports = {name: _imported_modules(path, names) for name, path in names.items()}

    # A CycleError names the circle.
    assert set(TopologicalSorter(imports).static_order()) == set(names)


@pytest.mark.parametrize(
    "line",
    [
        'import_module("include.lifecycle.modelling.tasks").task_of(model)',
        'Deferred("include.lifecycle.modelling.tasks:task_of")',
        'pkgutil.resolve_name("include.lifecycle.modelling.tasks.task_of")',
        '_TASKS = "include.lifecycle.modelling.tasks"',
    ],
)
def test_a_module_that_is_imported_by_its_name_counts(line: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "include/lifecycle/specs/models.py"
    path.parent.mkdir(parents=True)
    path.write_text(f'"""Not include.lifecycle.storage."""\n{line}\n')

    assert _imported_modules(path, {"include.lifecycle.modelling.tasks", "include.lifecycle.storage"}) == {
        "include.lifecycle.modelling.tasks"
    }


@pytest.mark.parametrize("path", _modules("include/datasets"), ids=str)
def test_datasets_know_no_model(path: Path) -> None:
    assert not {name for name in _imports(path) if name.startswith(("include.models", "include.samples"))}


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.name)
def test_importing_a_dag_file_loads_nothing_heavy(path: Path, tmp_path: Path) -> None:
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("dag_file", {str(path)!r})
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    python_path = f"{ROOT}:{ROOT / 'plugins'}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": python_path, "AIRFLOW_HOME": str(tmp_path), "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_looking_at_the_state_loads_nothing_heavy() -> None:
    """The exporter runs all the time, so its memory counts."""
    code = f"""
import sys
import include.catalog, include.lifecycle.operations.state_metrics, include.lifecycle.promotion.registry
print(sorted(({HEAVY!r} | {{"matplotlib"}}) & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
