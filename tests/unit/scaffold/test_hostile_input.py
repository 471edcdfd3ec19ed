"""`make new` with names and values that would be code, and failures in the middle: nothing half written stays."""

from __future__ import annotations

import ast
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
import yaml

from include.scaffold import __main__ as scaffold
from include.scaffold.__main__ import CATALOG, PROJECT, SETTINGS, main
from include.scaffold.columns import ScaffoldError
from include.scaffold.rendering import with_catalog_entries, with_source_variable

HOSTILE = [
    'x" + str(__import__("os").system("touch pwned")) + "y',
    "don't",
    "two\nlines",
    "\\N{DOLLAR}",
    "\\",
    '"""',
    "{{ 7 * 7 }}",
    "{__import__(1)}",
    "日本 ²",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "include").mkdir(parents=True)
    for name in (CATALOG, SETTINGS, "pyproject.toml"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


def events(folder: Path, yes: str = "yes", name: str = "data.csv") -> Path:
    """300 loans, each paid back or not, in a file."""
    quoted = '"' + yes.replace('"', '""') + '"'
    rows = (
        f"2026-01-{1 + n // 10:02d},L{n},{n},{'no' if n % 5 else quoted},{'left' if n % 2 else quoted}\n"
        for n in range(300)
    )
    (folder / name).write_text("date,loan,amount,paid,side\n" + "".join(rows))
    return folder / name


def new(project: Path, csv: Path, dataset: str = "shop", model: str = "sales") -> int:
    given = ["--dataset", dataset, "--model", model, "--csv", str(csv), "--key", "loan", "--label", "paid"]
    return main([*given, "--project", str(project)])


def state(project: Path) -> dict[str, str]:
    return {
        str(path.relative_to(project)): path.read_text()
        for path in project.rglob("*")
        if path.suffix in (".py", ".yaml")
    }


def trees(project: Path) -> dict[str, ast.Module]:
    return {path: ast.parse(text) for path, text in state(project).items() if path.endswith(".py")}


def names_in(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("value", [one for one in HOSTILE if "\n" not in one])
def test_a_value_is_data_and_never_code(value: str, project: Path, tmp_path: Path) -> None:
    assert new(project, events(tmp_path, value)) == 0

    written = trees(project)
    label = ast.walk(written["include/models/sales/__init__.py"])
    assert value in [node.value for node in label if isinstance(node, ast.Constant)]
    for tree in written.values():
        assert "__import__" not in names_in(tree)


def test_a_file_whose_records_the_source_would_quarantine_is_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(project)

    assert new(project, events(tmp_path, "two\nlines")) == 1

    assert "180 broken records and 120 others; the first begins in line 2" in capsys.readouterr().err
    assert state(project) == before


@pytest.mark.parametrize("value", [one for one in HOSTILE if "/" not in one])
def test_a_files_name_is_never_code_and_its_path_is_kept(value: str, project: Path, tmp_path: Path) -> None:
    csv = events(tmp_path, name=f"{value}$.csv")

    assert new(project, csv) == 0

    for tree in trees(project).values():
        assert "__import__" not in names_in(tree)
    variables = yaml.safe_load((project / SETTINGS).read_text())["airflow"]["variables"]
    assert variables[0]["variable_value"]["path"] == str(csv).replace("$", "$$")


@pytest.mark.parametrize("name", ["日本", "prix €", "a\x85b", "a\u2028b", "😀", "cost$"])
def test_settings_are_read_as_what_was_written(name: str) -> None:
    text = with_source_variable(
        (PROJECT / SETTINGS).read_text(), "shop", {"columns": {name: "ours"}, "path": name}
    )

    added = yaml.safe_load(text)["airflow"]["variables"][0]["variable_value"]
    assert added == {"columns": {name: "ours"}, "path": name.replace("$", "$$")}


def test_ten_datasets_one_after_the_other_are_all_in_the_catalog(project: Path, tmp_path: Path) -> None:
    csv = events(tmp_path)

    for number in range(10):
        assert new(project, csv, f"a_dataset_{number}", f"a_model_{number}") == 0

    names = names_in(trees(project)[CATALOG])
    assert {f"A_{kind}_{number}" for number in range(10) for kind in ("DATASET", "MODEL")} <= names


def test_a_file_without_the_place_for_a_new_line_is_refused() -> None:
    with pytest.raises(ScaffoldError, match="do not have an import of include"):
        with_catalog_entries("DATASETS = {}\n", "shop", "sales")
    with pytest.raises(ScaffoldError, match="do not have a list of `variables`"):
        with_source_variable("airflow: {}\n", "shop", {})


@pytest.mark.parametrize(
    ("dataset", "model", "sentence"),
    [
        ("class", "sales", "DATASET='class' is no name"),
        ("shop", "x" * 51, "is no name"),
        ("shop", "customers", "There is a dataset 'customers' already"),
        ("churn", "sales", "There is a model 'churn' already"),
        ("shop", "datasets", "MODEL='datasets' means something else"),
        ("table", "sales", "DATASET='table' means something else"),
    ],
)
def test_names_that_would_break_the_code_are_refused(
    dataset: str, model: str, sentence: str, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(project)

    assert new(project, events(tmp_path), dataset, model) == 1

    assert sentence in capsys.readouterr().err
    assert state(project) == before


def test_what_is_left_of_an_earlier_one_is_named_whole(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = events(tmp_path)
    new(project, csv)
    shutil.rmtree(project / "include/datasets/shop")

    assert new(project, csv) == 1

    said = capsys.readouterr().err
    for left in (
        "include/models/sales",
        "tests/unit/models/sales",
        "shop_source",
        CATALOG,
    ):
        assert left in said


@pytest.mark.parametrize("missing", [CATALOG, SETTINGS])
def test_without_the_catalog_or_the_settings_nothing_is_written(
    missing: str, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / missing).unlink()
    before = state(project)

    assert new(project, events(tmp_path)) == 1

    assert missing in capsys.readouterr().err
    assert state(project) == before


def test_a_failure_in_the_middle_leaves_all_as_before(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(project)

    def fail(project: Path, files: list[str]) -> None:
        if CATALOG in files:
            raise subprocess.CalledProcessError(1, "ruff")

    monkeypatch.setattr(scaffold, "_format", fail)

    assert new(project, events(tmp_path)) == 1
    assert state(project) == before


@pytest.mark.parametrize("stray", ["9999-12-31", "0001-01-01"])
def test_a_stray_date_is_not_the_first_day(stray: str, project: Path, tmp_path: Path) -> None:
    csv = events(tmp_path)
    csv.write_text(csv.read_text() + f"{stray},L999,1,no,left\n")

    assert new(project, csv) == 0

    written = state(project)
    assert (
        f"first_day={date(2026, 1, 1)!r}".replace("datetime.", "") in written["include/datasets/shop/__init__.py"]
    )
