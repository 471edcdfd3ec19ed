"""Customers from files, and the settings that choose a source."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.datasets.customers import CUSTOMERS
from include.datasets.customers.sources import TELCO_COLUMNS, make_source
from include.datasets.customers.tables import CUSTOMERS_TABLE
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.raw_tables import read_raw
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.specs import Extracted
from include.lifecycle.storage.lake import Lake, RunInfo

DAY = date(2026, 10, 1)
TELCO = """\
customerID,gender,SeniorCitizen,Partner,Dependents,tenure,PhoneService,MultipleLines,InternetService,OnlineSecurity,\
OnlineBackup,DeviceProtection,TechSupport,StreamingTV,StreamingMovies,Contract,PaperlessBilling,PaymentMethod,\
MonthlyCharges,TotalCharges,Churn
7590-VHVEG,Female,0,Yes,No,1,No,No phone service,DSL,No,Yes,No,No,No,No,Month-to-month,\
Yes,Electronic check,29.85,29.85,No
3668-QPYBK,Male,0,No,No,2,Yes,No,DSL,Yes,Yes,No,No,No,No,Month-to-month,Yes,Mailed check,53.85,108.15,Yes
4472-LVYGI,Female,0,Yes,Yes,0,No,No phone service,DSL,Yes,No,Yes,Yes,Yes,No,Two year,\
Yes,Bank transfer (automatic),52.55, ,No
"""


def no_connection(connection_id: str) -> Any:
    raise AssertionError(f"The file source asked for the connection {connection_id!r}.")


@pytest.fixture
def telco(tmp_path: Path) -> Path:
    path = tmp_path / "telco.csv"
    path.write_text(TELCO)
    return path


def telco_settings(path: Path) -> dict[str, Any]:
    return {"kind": "csv", "path": str(path), "day": "2026-10-01"}


def extracted(settings: dict[str, Any], table: str, scratch: Path) -> pl.DataFrame | None:
    file = scratch / f"{table}-extracted.csv"
    found = make_source(settings, no_connection).extract(table, DAY, file)
    return pl.read_csv(file, infer_schema=False) if found else None


def test_the_telco_file_is_one_day(telco: Path) -> None:
    assert make_source(telco_settings(telco), no_connection).days() == [DAY]


def test_the_telco_file_becomes_our_customers_with_its_texts_as_they_are(telco: Path, tmp_path: Path) -> None:
    customers = extracted(telco_settings(telco), "customers", tmp_path)

    assert customers is not None
    assert set(customers.columns) == set(CUSTOMERS.table("customers").columns)
    assert customers["customer_id"].to_list() == ["7590-VHVEG", "3668-QPYBK", "4472-LVYGI"]
    assert customers["total_charges"].to_list() == ["29.85", "108.15", " "]
    original = pl.read_csv(telco, infer_schema=False)
    for theirs, ours in TELCO_COLUMNS.items():
        assert customers[ours].to_list() == original[theirs].to_list()
    for name in ("age", "location", "signup_date"):
        assert customers[name].to_list() == [None] * 3


def test_who_churned_in_the_telco_file_leaves_within_the_month_after_its_day(telco: Path, tmp_path: Path) -> None:
    churns = extracted(telco_settings(telco), "churns", tmp_path)

    assert churns is not None
    assert churns.rows() == [("3668-QPYBK", "2026-10-31", "2026-11-05")]


@pytest.mark.parametrize("table", ["usage_daily", "invoices"])
def test_the_telco_file_has_no_usage_and_no_invoices(telco: Path, tmp_path: Path, table: str) -> None:
    assert extracted(telco_settings(telco), table, tmp_path) is None


def test_a_column_missing_in_the_telco_file_is_missing_in_the_extract(telco: Path, tmp_path: Path) -> None:
    pl.read_csv(telco, infer_schema=False).drop("Contract", "Churn").write_csv(telco)

    customers = extracted(telco_settings(telco), "customers", tmp_path)

    assert customers is not None
    assert set(CUSTOMERS.table("customers").columns) - set(customers.columns) == {"contract"}
    assert extracted(telco_settings(telco), "churns", tmp_path) is None


def test_broken_records_of_the_telco_file_are_extracted_for_quarantine(telco: Path, tmp_path: Path) -> None:
    telco.write_text(telco.read_text() + 'a,b\n"never closed,\nswallowed\n')

    given = make_source(telco_settings(telco), no_connection).extract("customers", DAY, tmp_path / "customers.csv")

    raw = read_raw(tmp_path / "customers.csv", CUSTOMERS_TABLE, DAY, given.records if given else None)
    assert given == Extracted(records=raw.frame.height)
    assert raw.frame["raw_line"].drop_nulls().to_list() == ['"a,b"', '"""never closed,\nswallowed"']


@pytest.mark.parametrize("answer", ["yes", "", "Maybe", "1", " No"])
def test_a_customer_of_whom_the_file_does_not_say_whether_he_left_is_quarantined(
    telco: Path, tmp_path: Path, answer: str
) -> None:
    telco.write_text(TELCO.replace("29.85,29.85,No", f"29.85,29.85,{answer}"))

    given = make_source(telco_settings(telco), no_connection).extract("customers", DAY, tmp_path / "customers.csv")

    raw = read_raw(tmp_path / "customers.csv", CUSTOMERS_TABLE, DAY, given.records if given else None)
    assert given == Extracted(records=3)
    [broken] = raw.frame["raw_line"].drop_nulls()
    assert "7590-VHVEG" in broken
    assert "7590-VHVEG" not in raw.frame["customer_id"].drop_nulls()


@pytest.mark.parametrize("content", ["", "\0", '"customerID'])
def test_a_file_that_is_no_table_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "telco.csv"
    path.write_text(content)

    with pytest.raises(ValueError, match=re.escape(str(path))):
        make_source(telco_settings(path), no_connection).extract("customers", DAY, tmp_path / "customers.csv")


def test_another_file_is_not_taken_for_telco_data(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("customer_id,churned_on\nC1,2026-01-01\n")

    with pytest.raises(ValueError, match=r"other\.csv has no column 'customerID'.*use the kind 'csv_folder'"):
        extracted(telco_settings(other), "customers", tmp_path)


def test_the_telco_file_answers_for_its_day_only(telco: Path, tmp_path: Path) -> None:
    source = make_source(telco_settings(telco), no_connection)

    with pytest.raises(ValueError, match="describes 2026-10-01, not 2026-10-02"):
        source.extract("customers", date(2026, 10, 2), tmp_path / "table.csv")


def test_a_folder_of_days_gives_each_days_files_as_they_are(tmp_path: Path) -> None:
    text = "customer_id,churned_on,recorded_on\nC1,x,\n"
    folder = tmp_path / "days" / "2026-10-01"
    folder.mkdir(parents=True)
    (tmp_path / "days" / "README.txt").write_text("not a day")
    (folder / "churns.csv").write_text(text)
    source = make_source({"kind": "csv_folder", "path": str(tmp_path / "days")}, no_connection)

    assert source.days() == [DAY]
    assert source.extract("churns", DAY, tmp_path / "churns.csv")
    assert (tmp_path / "churns.csv").read_text() == text
    assert not source.extract("invoices", DAY, tmp_path / "invoices.csv")


def test_what_is_no_day_or_no_table_is_named_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("2026-10-01", "2026-10-02", "2026-13-45", "20261003", "backup", "2026-10-04 copy"):
        (tmp_path / name).mkdir()
    (tmp_path / ".DS_Store").write_bytes(b"\x00")
    (tmp_path / "2026-10-05").write_text("a file")
    for name in ("customers.csv", "customers.csv.bak", "clients.csv", "Churns.CSV"):
        (tmp_path / "2026-10-01" / name).write_text("customer_id\nC1\n")
    source = make_source({"kind": "csv_folder", "path": str(tmp_path)}, no_connection)

    assert source.days() == [DAY, date(2026, 10, 2)]
    assert [line.split(": ", 1)[1] for line in caplog.messages] == [
        ".DS_Store, 2026-10-04 copy, 2026-10-05, 2026-13-45, 20261003, backup: no day (YYYY-MM-DD), so ignored."
    ]
    caplog.clear()
    given = [table.name for table in CUSTOMERS.tables if source.extract(table.name, DAY, tmp_path / "table.csv")]
    assert given == ["customers"]
    assert [line.split(": ", 1)[1] for line in caplog.messages] == [
        "Churns.CSV, clients.csv, customers.csv.bak: no table, so ignored."
    ]


def test_a_day_folder_without_any_table_is_a_rejected_day_and_stops_no_other(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    empty, broken = tmp_path / "2026-10-01", tmp_path / "2026-10-02" / "customers.csv"
    empty.mkdir()
    broken.mkdir(parents=True)
    source = make_source({"kind": "csv_folder", "path": str(tmp_path)}, no_connection)

    extracted = extract(CUSTOMERS, lake, source, source.days(), run)
    verdicts = validate(CUSTOMERS, lake, source.days(), run, extracted.faults)

    assert verdicts[0].problems == ("customers was not extracted.",)
    assert "customers.csv is no regular file, but a folder" in verdicts[1].problems[0]


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def put_loop(path: Path) -> None:
    path.symlink_to(path)


NO_FILES = [put_socket, put_loop, put_pipe]


@pytest.mark.parametrize("put", NO_FILES)
def test_what_is_no_regular_file_stops_only_its_day(
    put: Callable[[Path], None], tmp_path: Path, lake: Lake, run: RunInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2026-10-01", "2026-10-02"):
        (tmp_path / day).mkdir()
    monkeypatch.chdir(tmp_path / "2026-10-01")  # the name of a socket has 107 bytes at most
    put(Path("customers.csv"))
    (tmp_path / "2026-10-02" / "customers.csv").write_text("customer_id\n1\n")
    source = make_source({"kind": "csv_folder", "path": str(tmp_path)}, no_connection)

    faults = extract(CUSTOMERS, lake, source, source.days(), run).faults

    assert list(faults) == [DAY]
    assert "2026-10-01/customers.csv is no regular file" in faults[DAY]["customers"]


@pytest.mark.parametrize("put", NO_FILES[::2])
def test_a_telco_file_that_is_no_regular_file_is_refused(
    put: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(Path("telco.csv"))

    with pytest.raises(ValueError, match=r"telco\.csv is no regular file, but a folder, a pipe, a socket"):
        extracted(telco_settings(tmp_path / "telco.csv"), "customers", tmp_path)


def test_the_database_is_the_connection_that_the_settings_name() -> None:
    asked: list[str] = []

    make_source({"kind": "postgres", "connection": "company_db"}, asked.append)

    assert asked == ["company_db"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "excel"}, "excel"),
        ({}, "kind"),
        ({"kind": "csv", "path": "/tmp"}, "day"),
        ({"kind": "postgres", "connection": "company_db", "table": "x"}, "table"),
    ],
)
def test_settings_that_are_wrong_are_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_source(settings, no_connection)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv does not exist; correct `path`"):
        make_source(telco_settings(tmp_path / "nowhere.csv"), no_connection)
