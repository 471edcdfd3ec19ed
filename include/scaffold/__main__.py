"""`python -m include.scaffold`: what `make new` calls; it writes a dataset and a model for a CSV file."""

from __future__ import annotations

import argparse
import ast
import keyword
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from include.catalog import DATASETS, MODELS
from include.scaffold.columns import ScaffoldError, read_table
from include.scaffold.proposal import Wish, propose
from include.scaffold.quarantined import refuse_unfit_rows
from include.scaffold.rendering import render, with_catalog_entries, with_source_variable

PROJECT = Path(__file__).parents[2]
CATALOG = "include/catalog.py"
SETTINGS = "airflow_settings.yaml"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_NAME = 40
_IN_WHAT_IS_WRITTEN = {
    "ACT_FROM", "CATEGORICAL", "CLASSIFICATION_GATE", "DAYS_AHEAD", "HISTORY_DAYS", "KEY", "MADE", "NUMERIC",
    "REGRESSION_GATE", "TABLE", "TRUSTED_TYPES",
}  # fmt: skip
"""What these names mean in the files that are written, no dataset and no model can mean."""


def main(arguments: list[str] | None = None) -> int:
    """Write the folders that the arguments ask for and return the exit code."""
    parser = argparse.ArgumentParser(prog="make new", description=__doc__)
    for name in ("dataset", "model", "csv", "key", "date", "label"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--project", type=Path, default=PROJECT)
    given = parser.parse_args(arguments)
    try:
        wish = Wish(given.dataset, given.model, Path(given.csv), given.key, given.date, given.label)
        new(wish, given.project)
    except ScaffoldError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"Written: include/datasets/{wish.dataset}, include/models/{wish.model}, a test of both, and entries for "
        f"them in {CATALOG} and {SETTINGS}.\nNext: make check-data DATASET={wish.dataset}"
    )
    return 0


def new(wish: Wish, project: Path) -> None:
    """Write a dataset and a model for a CSV file into the project.

    Raises
    ------
    ScaffoldError
        If a name is no name or taken, or the file lacks what is needed; nothing is written then.
    """
    _check_names(wish, project)
    proposal = propose(wish, read_table(wish.csv), _ask)
    refuse_unfit_rows(proposal)
    files = render(proposal)
    catalog, settings = (_text(project / name) for name in (CATALOG, SETTINGS))
    changed = {
        SETTINGS: with_source_variable(settings, wish.dataset, proposal.source_settings()),
        CATALOG: with_catalog_entries(catalog, wish.dataset, wish.model),
    }
    for path, text in {**files, CATALOG: changed[CATALOG]}.items():
        _check_is_python(path, text)
    try:
        _write(project, files)
        _write(project, changed)
    except BaseException as error:
        for folder in {(project / path).parent for path in files}:
            shutil.rmtree(folder, ignore_errors=True)
        for name, text in {CATALOG: catalog, SETTINGS: settings}.items():
            if _text(project / name) != text:
                _put(project / name, text)
        if isinstance(error, OSError | subprocess.SubprocessError):
            raise ScaffoldError(f"The files could not be written, so that all is as before: {error}") from error
        raise


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ScaffoldError(f"{path} cannot be read, where the new lines would go: {error}") from error


def _check_is_python(path: str, text: str) -> None:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise ScaffoldError(f"{path} is no Python: {error}; choose plainer names or values.") from error


def _write(project: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        _put(project / path, text)
    _format(project, [path for path in files if path.endswith(".py")])


def _put(path: Path, text: str) -> None:
    """Write a file whole or not at all, also on a disk that is full."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text)
        if path.exists():
            shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _check_names(wish: Wish, project: Path) -> None:
    if not str(wish.csv) or str(wish.csv) == ".":
        raise ScaffoldError("Say which file the data are in: make new DATASET=orders MODEL=demand CSV=orders.csv")
    taken = _names_in(project / CATALOG) | _IN_WHAT_IS_WRITTEN
    for what, name in (("dataset", wish.dataset), ("model", wish.model)):
        if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > _LONGEST_NAME:
            raise ScaffoldError(
                f"{what.upper()}={name!r} is no name; take lower-case letters, digits and underscores, at most "
                f"{_LONGEST_NAME}, and no word of Python's."
            )
        if name in DATASETS or name in MODELS:
            raise ScaffoldError(
                f"There is a {'dataset' if name in DATASETS else 'model'} {name!r} already; choose another "
                "name, or remove its folder."
            )
    if wish.dataset == wish.model:
        raise ScaffoldError(f"DATASET and MODEL are both {wish.model!r}; give the model another name.")
    if there := _already_there(wish, project):
        raise ScaffoldError(f"There are already {', '.join(there)}; choose other names, or remove all of these.")
    for what, name in (("dataset", wish.dataset), ("model", wish.model)):
        if name.upper() in taken:
            raise ScaffoldError(f"{what.upper()}={name!r} means something else in the code; choose another name.")


def _names_in(catalog: Path) -> set[str]:
    if not catalog.exists():
        return set()
    _check_is_python(CATALOG, catalog.read_text())
    nodes = list(ast.walk(ast.parse(catalog.read_text())))
    imported = {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    return imported | {node.id for node in nodes if isinstance(node, ast.Name)}


def _already_there(wish: Wish, project: Path) -> list[str]:
    """What an earlier dataset or model of these names has left."""
    paths = [
        path
        for kind, name in (("datasets", wish.dataset), ("models", wish.model))
        for path in (f"include/{kind}/{name}", f"include/{kind}/{name}.py", f"tests/unit/{kind}/{name}")
        if (project / path).exists()
    ]
    # Two test files of the same name cannot be run together.
    tests = sorted((project / "tests").rglob(f"test_{wish.model}.py"))
    own = project / f"tests/unit/models/{wish.model}"
    paths += [str(test.relative_to(project)) for test in tests if test.parent != own]
    catalog = _names_in(project / CATALOG)
    names = (wish.dataset.upper(), wish.model.upper()) if paths else ()
    imports = [f"{name} in {CATALOG}" for name in names if name in catalog]
    variable, settings = f"{wish.dataset}_source", project / SETTINGS
    is_set = settings.exists() and re.search(rf"(?m)^[^#\n]*variable_name:\W*{variable}\b", settings.read_text())
    return [*paths, *imports, *([f"the variable {variable} in {SETTINGS}"] if is_set else [])]


def _ask(question: str, answers: list[str]) -> str:
    """Ask the person in front of the terminal; without one, say what is missing."""
    if not sys.stdin.isatty():
        raise ScaffoldError(f"{question} Possible: {', '.join(answers)}.")
    try:
        while (answer := input(f"{question} {', '.join(answers)}: ").strip()) not in answers:
            print(f"{answer!r} is none of them.")
    except (EOFError, KeyboardInterrupt) as error:
        raise ScaffoldError("\nNothing was answered, so nothing is written.") from error
    return answer


def _format(project: Path, files: list[str]) -> None:
    """Bring imports and lines into the project's order, as lint wants them."""
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check", "--quiet", "--select", "I,F401", "--fix"], ["format", "--quiet"]):
        subprocess.run([ruff, *command, *files], cwd=project, check=True)


if __name__ == "__main__":
    sys.exit(main())
