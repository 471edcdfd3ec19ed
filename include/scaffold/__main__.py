"""`python -m include.scaffold`: what `make new` calls; it writes a dataset and a model for a CSV file."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from include.catalog import DATASETS, MODELS
from include.scaffold.columns import ScaffoldError, read_table
from include.scaffold.proposal import Wish, propose
from include.scaffold.rendering import render, with_catalog_entries, with_source_variable

PROJECT = Path(__file__).parents[2]
CATALOG = "include/catalog.py"
SETTINGS = "airflow_settings.yaml"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


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
        f"Written: include/datasets/{wish.dataset}, include/models/{wish.model} and tests of both; {CATALOG} and "
        f"{SETTINGS} have a line more.\nNext: make check-data DATASET={wish.dataset}"
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
    files = render(proposal)
    catalog, settings = project / CATALOG, project / SETTINGS
    files[CATALOG] = with_catalog_entries(catalog.read_text(), wish.dataset, wish.model)
    for path, text in files.items():
        target = project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    _format(project, list(files))
    settings.write_text(with_source_variable(settings.read_text(), wish.dataset, proposal.source_settings()))


def _check_names(wish: Wish, project: Path) -> None:
    if not str(wish.csv) or str(wish.csv) == ".":
        raise ScaffoldError("Say which file the data are in: make new DATASET=orders MODEL=demand CSV=orders.csv")
    for what, name, known in (("dataset", wish.dataset, DATASETS), ("model", wish.model, MODELS)):
        if not _NAME.fullmatch(name):
            raise ScaffoldError(
                f"{what.upper()}={name!r} is no name; take lower-case letters, digits and underscores."
            )
        if name in known or (project / f"include/{what}s/{name}").exists():
            raise ScaffoldError(f"There is a {what} {name!r} already; choose another name, or remove its folder.")
    if wish.dataset == wish.model:
        raise ScaffoldError(f"DATASET and MODEL are both {wish.model!r}; give the model another name.")


def _ask(question: str, answers: list[str]) -> str:
    """Ask the person in front of the terminal; without one, say what is missing."""
    if not sys.stdin.isatty():
        raise ScaffoldError(f"{question} Possible: {', '.join(answers)}.")
    while (answer := input(f"{question} {', '.join(answers)}: ").strip()) not in answers:
        print(f"{answer!r} is none of them.")
    return answer


def _format(project: Path, files: list[str]) -> None:
    """Bring imports and lines into the project's order, as lint wants them."""
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check", "--quiet", "--select", "I,F401", "--fix"], ["format", "--quiet"]):
        subprocess.run([ruff, *command, *files], cwd=project, check=True)


if __name__ == "__main__":
    sys.exit(main())
