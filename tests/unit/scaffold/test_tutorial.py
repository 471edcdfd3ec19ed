"""docs/your-own-data.md shows what `make new` writes for the files that it has one make."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.scaffold.__main__ import CATALOG, PROJECT, SETTINGS, main

PAGE = (PROJECT / "docs/your-own-data.md").read_text()
FILE_AND_LISTING = re.compile(r"(`(?:include|tests)/[\w/]+\.py`)|```python\n(.*?)```", re.DOTALL)


def listings() -> list[tuple[str, str]]:
    """Each listing of Python, with the file that is named last before it."""
    found, path = [], ""
    for name, listing in FILE_AND_LISTING.findall(PAGE):
        path = name.strip("`") or path
        if listing:
            found.append((path, listing))
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the commands of the first two sections have been run."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "include").mkdir()
    for name in (CATALOG, SETTINGS, "pyproject.toml"):
        shutil.copy(PROJECT / name, folder / name)
    for code, file in re.findall(r'python -c "\n(.*?)" > (/tmp/\w+\.csv)', PAGE, re.DOTALL):
        made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        (folder / Path(file).name).write_text(made.stdout)
    commands = re.findall(r"^make new (.*)$", PAGE, re.MULTILINE)
    for command in commands:
        given = [part.partition("=") for part in command.replace("/tmp/", f"{folder}/").split()]
        options = [f"--{name.lower()}={value}" for name, _, value in given]
        assert main([*options, "--project", str(folder)]) == 0
    assert len(commands) == 2
    return folder


@pytest.mark.parametrize(("path", "listing"), listings(), ids=[path for path, _ in listings()])
def test_each_listing_is_what_is_written(path: str, listing: str, project: Path) -> None:
    assert listing in (project / path).read_text()


@pytest.mark.parametrize(("model", "kind"), [("demand", "value_after"), ("leaving", "happens_within")])
def test_the_label_of_each_model_is_what_is_written(model: str, kind: str, project: Path) -> None:
    [label] = re.findall(rf"`({kind}\(.*?\))`", PAGE)

    assert f"label={label}," in (project / f"include/models/{model}/__init__.py").read_text()
