"""`make new` of any file: a sentence and nothing written, or a dataset and a model that keep their promises."""

from __future__ import annotations

import csv
import importlib
import io
import itertools
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import include.datasets
import include.models
from include.checks import promises
from include.scaffold import __main__ as scaffold
from include.scaffold.__main__ import CATALOG, PROJECT, SETTINGS, main
from include.scaffold.columns import ScaffoldError

NAMES = (
    *("y", "amount", "act", "rank", "change", "label", "model_name", "weekday", "class", "None", "raw_row", "dt"),
    *("y_mean_28", "y_lag_6", "y_same_weekday", "y_forecast", "amount_mean_28", "value", "index", "count", "x y"),
    *("", "1st", "a\nb", 'say "so"', "{{a}}", "Stra\u00dfe", "\u4ef7\u683c", "price ($)", "x" * 180, "date"),
)
CELLS: dict[str, Callable[[random.Random], str]] = {
    "number": lambda r: f"{r.gauss(5, 3):.2f}",
    "count": lambda r: str(r.randint(0, 50)),
    "huge": lambda r: r.choice(["9223372036854775808", "1e400", "1", "2"]),
    "not finite": lambda r: r.choice(["nan", "1.5", "inf", "2.5"]),
    "answer": lambda r: r.choice(["yes", "no"]),
    "bit": lambda r: r.choice("01"),
    "truth": lambda r: r.choice(["true", "False"]),
    "constant": lambda r: "7",
    "nothing": lambda r: "",
    "category": lambda r: r.choice("abc"),
    "hostile": lambda r: r.choice(['"', "\\n", "{x}", "\u00e9", "'", 'a"b\\']),
    "long": lambda r: r.choice(["q " * 150, "w " * 150]),
    "later": lambda r: str(date(2026, 6, 1) + timedelta(r.randint(0, 200))),
    "time": lambda r: f"2026-01-{r.randint(1, 28):02}T10:00:00Z",
}
TIMES = ("", "", "", "T12:00:00", " 12:00", "T12:00:00Z", " 12:00:00.5")
KEYS: tuple[Callable[[int], str], ...] = (
    "S{}".format,
    "S{}".format,
    "{:03}".format,
    " k{} ".format,
    'k"{}'.format,
)
_number = itertools.count()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project whose datasets and models can be imported as those of this one."""
    folder = tmp_path / "project"
    for kind, package in (("datasets", include.datasets), ("models", include.models)):
        (folder / "include" / kind).mkdir(parents=True)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder / "include" / kind)])
    for name in (CATALOG, SETTINGS, "pyproject.toml"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


def state(project: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and not {"__pycache__", ".ruff_cache"} & set(path.parts)
    }


def made(project: Path, csv_file: Path, **given: str) -> str:
    """What is said where the file is refused; empty where what was written keeps all promises."""
    number, before, said = next(_number), state(project), io.StringIO()
    dataset, model = f"any_dataset_{number}", f"any_model_{number}"
    arguments = [f"--{name}={value}" for name, value in given.items()]
    with redirect_stderr(said):
        code = main(
            [*arguments, f"--dataset={dataset}", f"--model={model}", f"--csv={csv_file}", f"--project={project}"]
        )
    if code:
        assert state(project) == before
        return said.getvalue()
    importlib.invalidate_caches()
    folders = (f"include/datasets/{dataset}", f"include/models/{model}", f"tests/unit/models/{model}")
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check"], ["format", "--check"]):
        found = subprocess.run(
            [ruff, *command, *folders], cwd=project, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout
    dataset_spec = getattr(importlib.import_module(f"include.datasets.{dataset}"), dataset.upper())
    for keeps in promises._OF_A_DATASET:
        keeps(dataset_spec)
    model_spec = getattr(importlib.import_module(f"include.models.{model}"), model.upper())
    for must in promises._OF_A_MODEL:
        must(model_spec)
    return ""


def table(header: list[str], rows: Iterator[tuple[str, ...]], file: Path) -> Path:
    with file.open("w", newline="") as target:
        csv.writer(target).writerows([header, *rows])
    return file


def panel(
    folder: Path, columns: dict[str, Callable[[random.Random], str]], keys: int = 12, days: int = 40
) -> Path:
    """A row of each key on each day, with the columns beside `date` and `store`."""
    chance = random.Random(7)
    rows = (
        (str(date(2026, 1, 1) + timedelta(day)), f"S{key}", *(make(chance) for make in columns.values()))
        for day in range(days)
        for key in range(keys)
    )
    return table(["date", "store", *columns], rows, folder / "panel.csv")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_file_is_refused_in_a_sentence_or_made_into_what_keeps_its_promises(
    project: Path, tmp_path: Path, data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    kinds = [data.draw(st.sampled_from([*CELLS])) for _ in names]
    days, keys = data.draw(st.sampled_from([(1, 1), (1, 60), (40, 1), (40, 2), (40, 12), (2, 60)]))
    time, key = data.draw(st.sampled_from(TIMES)), data.draw(st.sampled_from(KEYS))
    each_is_new, chance = data.draw(st.booleans()), random.Random(data.draw(st.integers(0, 100)))
    rows = (
        (
            f"{date(2026, 1, 1) + timedelta(day)}{time}",
            key(day * keys + number if each_is_new else number),
            *(CELLS[kind](chance) for kind in kinds),
        )
        for day in range(days)
        for number in range(keys)
    )
    file = table(["day", "store", *names], rows, tmp_path / "any.csv")
    chosen = data.draw(st.sampled_from(["", "store", "store,store", "store, day", "day", ",", "nope"]))

    said = made(project, file, label=names[0] or "column_", key=chosen, date="day")

    assert not said or (said.strip().endswith((".", "=)?")) and "Traceback" not in said), said


def test_two_answers_of_few_keys_are_classified_without_segments(project: Path, tmp_path: Path) -> None:
    file = panel(tmp_path, {"amount": CELLS["number"], "left": CELLS["answer"]})

    assert made(project, file, label="left") == ""


@pytest.mark.parametrize("name", ["act", "rank", "change", "model_name"])
@pytest.mark.parametrize("label", ["number", "answer"])
def test_a_column_called_as_a_decision_becomes_another(
    name: str, label: str, project: Path, tmp_path: Path
) -> None:
    assert made(project, panel(tmp_path, {name: CELLS["number"], "y": CELLS[label]}), label="y") == ""


def test_a_time_that_validation_does_not_read_is_no_date(project: Path, tmp_path: Path) -> None:
    file = panel(tmp_path, {"y": CELLS["number"]})
    file.write_text(file.read_text().replace(",S", " 12:00,S"))

    assert "No column of" in made(project, file, label="y")


def test_dates_after_the_row_s_day_are_no_fault(project: Path, tmp_path: Path) -> None:
    file = panel(tmp_path, {"delivered": CELLS["later"], "y": CELLS["number"]})

    assert made(project, file, label="y", date="date") == ""

    [written] = (project / "include/datasets").glob("*/__init__.py")
    assert 'days_ahead={"delivered": ' in written.read_text()


@pytest.mark.parametrize(
    ("columns", "given", "sentence"),
    [
        ({"y": "number"}, {"key": "store,store"}, "KEY=store,store names a column twice"),
        (
            {"y": "number", "y_mean_28": "number"},
            {},
            "['y_mean_28'], as something made of 'y' is called; rename it",
        ),
        ({"y": "number", "y_forecast": "number"}, {}, ""),
        ({"y": "number", "raw_row": "count"}, {}, "raw_row"),
        ({"y": "long"}, {}, "as short words, such as yes and no."),
    ],
)
def test_what_would_not_work_is_said(
    columns: dict[str, str], given: dict[str, str], sentence: str, project: Path, tmp_path: Path
) -> None:
    file = panel(tmp_path, {name: CELLS[kind] for name, kind in columns.items()})

    said = made(project, file, label="y", **given)

    assert sentence in said
    assert bool(said) is bool(sentence)


def test_keys_that_would_go_to_quarantine_are_shown(project: Path, tmp_path: Path) -> None:
    file = panel(tmp_path, {"y": CELLS["number"]})
    file.write_text(file.read_text().replace("S", " S"))

    said = made(project, file, label="y")

    assert "480 of the 480 rows" in said
    assert "A key with blanks around it" in said
    assert "store ' S0'" in said


def test_events_without_anything_to_learn_from_are_refused(project: Path, tmp_path: Path) -> None:
    rows = ((f"2026-01-{1 + n // 20:02}", f"L{n}", str(n % 7)) for n in range(300))
    file = table(["date", "loan", "y"], rows, tmp_path / "loans.csv")

    assert "has no column to learn y from" in made(project, file, label="y", key="loan")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_with_a_byte_order_mark_is_read_as_the_source_reads_it(
    encoding: str, project: Path, tmp_path: Path
) -> None:
    file = panel(tmp_path, {"y": CELLS["number"]})
    file.write_bytes(file.read_text().encode(encoding))

    assert made(project, file, label="y") == ""


def test_a_model_whose_test_has_the_name_of_another_is_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = project / "tests/unit/checks/test_kit.py"
    other.parent.mkdir(parents=True)
    other.touch()
    file = panel(tmp_path, {"y": CELLS["number"]})
    given = [f"--csv={file}", "--label=y", "--dataset=shop", "--model=kit", f"--project={project}"]

    assert main(given) == 1

    assert "There are already tests/unit/checks/test_kit.py" in capsys.readouterr().err


def test_a_disk_that_is_full_leaves_the_catalog_whole(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write = state(project), Path.write_text

    def full(path: Path, text: str, *args: object, **given: object) -> int:
        if project in path.parents and "settings" in path.name:
            path.write_bytes(b"")
            raise OSError(28, "No space left on device")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", full)

    assert "No space left on device" in made(project, panel(tmp_path, {"y": CELLS["number"]}), label="y")
    assert state(project) == before


def test_a_question_without_an_answer_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", ended)

    with pytest.raises(ScaffoldError, match="Nothing was answered"):
        scaffold._ask("Which?", ["a", "b"])
