"""`make new` for a series and for people: what it writes is clean, tested, and goes through all stages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.scaffold.__main__ import PROJECT, main

SERIES = "day,load\n" + "".join(
    f"2025-{month:02d}-{day:02d},{100 + 10 * ((day * 7 + month * 13) % 11)}\n"
    for month in range(1, 9)
    for day in range(1, 28)
)
PEOPLE = "date,member,plan,spend,left\n" + "".join(
    f"2026-{month:02d}-{day:02d},M{member},{'gold' if member % 3 else 'basic'},{(member * 31 + day) % 97}.5,"
    f"{'yes' if (member * 7 + month * 31 + day) % 60 == 0 else 'no'}\n"
    for month in range(1, 4)
    for day in range(1, 29)
    for member in range(100)
)


def run(project: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "ML_STATE_DIR": str(project / ".state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a new dataset and model of each kind."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "include", folder / "include", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "airflow_settings.yaml", "airflow.env"):
        shutil.copy(PROJECT / name, folder / name)
    for dataset, model, label, text in (("grid", "load", "load", SERIES), ("club", "leaving", "left", PEOPLE)):
        csv = folder / f"{dataset}.csv"
        csv.write_text(text)
        given = ["--dataset", dataset, "--model", model, "--csv", str(csv), "--label", label]
        assert main([*given, "--project", str(folder)]) == 0
    return folder


def test_what_is_written_passes_lint_and_types(project: Path) -> None:
    run(project, "ruff", "check", ".")
    run(project, "ruff", "format", "--check", ".")
    run(
        project,
        "mypy",
        "include/datasets/grid",
        "include/datasets/club",
        "include/models/load",
        "include/models/leaving",
    )


def test_the_tests_that_are_written_pass(project: Path) -> None:
    assert "14 passed" in run(project, "pytest", "--quiet", "-p", "no:cacheprovider", "tests/unit")


@pytest.mark.parametrize(("dataset", "model"), [("grid", "load"), ("club", "leaving")])
def test_the_data_go_through_all_stages(dataset: str, model: str, project: Path) -> None:
    said = run(project, "include.checks", dataset)

    assert "FAILED" not in said
    for step in ("source", "validation", "features", "point in time", "regrouping"):
        assert f"ok      {step}: " in said
    for step in ("labels", "split", "candidates", "decisions", "drift"):
        assert f"ok      {model}: {step}: " in said
