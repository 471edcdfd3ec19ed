"""Hostile price files, Telco files and database texts end as good or quarantined, or in a sentence; none crashes.

Tries other files, and as many of each kind:
`HOSTILE_DAYS=1000 python -m pytest --hypothesis-profile=default tests/integration/test_hostile_sources.py`
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values

from include.datasets.customers import CUSTOMERS
from include.datasets.customers.sources import TELCO_COLUMNS, TelcoFileSource
from include.datasets.customers.tables import TABLES
from include.datasets.market import MARKET
from include.datasets.market.file_source import FileSource
from include.datasets.market.periods import Period
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import DatasetSpec, Extracted, Source
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.hostile_files import CELLS, Cells, data_lines, hostile_files
from tests.integration.test_hostile_files import BILLS, FIRST, read

FILES = int(os.environ.get("HOSTILE_DAYS", "40"))
SYMBOLS = ("AAPL", "MSFT", "TSLA")
SESSIONS = [date(2017, 7, day).isoformat() for day in (5, 6, 7, 10, 11, 12, 13, 14)]
TODAY = date(2017, 7, 31)

NUMBERS = ("10.5", "11", "-0", "1e308", "1e999", "nan", "inf", "", "many", "\u0665", "1,5", " 2 ", "0")
PRICE_CELLS: Cells = {
    "Date": (*SESSIONS, "2017-07-08", "0001-01-01", "9999-12-31", "2017-02-30", "today", "", " 2017-07-10"),
    **dict.fromkeys(("Open", "High", "Low", "Close", "Volume"), NUMBERS),
    "OpenInt": ("0", "0", "", "x"),
}
HEADER = ",".join(PRICE_CELLS)
YES_NO = ("Yes", "No", "", "two\nlines", 'say "so"', "No internet service")
TELCO_CELLS: Cells = {
    "customerID": CELLS["id"],
    **{name: YES_NO for name in TELCO_COLUMNS if name != "customerID"},
    "gender": ("Female", "Male", "", "female"),
    "SeniorCitizen": ("0", "1", "2", "", "yes"),
    "tenure": ("1", "34", "-1", "1e9", "", str(2**63)),
    "Contract": ("One year", "Two year", "", "a,b", "\x1a"),
    "MonthlyCharges": NUMBERS,
    "TotalCharges": NUMBERS,
    "Churn": ("Yes", "No", "yes", "", " No", "Maybe"),
}

hostile = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def lenient(dataset: DatasetSpec) -> DatasetSpec:
    """The dataset, with days accepted however few or bad their rows are."""
    limits = {"max_bad_share": 1, "min_rows": 0, "usual_rows": None, "may_repeat": True}
    tables = tuple(table.model_copy(update=limits) for table in dataset.tables)
    return dataset.model_copy(update={"tables": tables})


def checked(dataset: DatasetSpec, lake: Lake, source: Source, run: RunInfo) -> list[DayVerdict]:
    """The verdicts on all days of a source; each adds up, or says why the day is rejected."""
    days = source.days()
    extracted = extract(dataset, lake, source, days, run)
    verdicts = validate(dataset, lake, days, run, extracted.faults)
    for verdict in verdicts:
        event(" ".join(verdict.problems)[:40] or "accepted")
        assert verdict.accepted != bool(verdict.problems)
        assert "does not add up" not in " ".join(verdict.problems)
        for name, table in verdict.tables.items() if verdict.accepted else ():
            good, quarantined = (
                read(lake, layer(name), verdict.day) for layer in (dataset.clean, dataset.quarantine)
            )
            if table.counted is None:
                assert good.height + quarantined["raw_lines"].sum() == table.lines
            else:
                assert good.height + quarantined.height == table.counted
    return verdicts


@settings(hostile, max_examples=-(-FILES // len(SYMBOLS)))
@example(contents=(f"{HEADER}\n".encode(), f"{HEADER}\n".encode(), f"{HEADER}\n2017-07-08,1,1,1,1,1,0\n".encode()))
@example(contents=(f"{HEADER}\n2017-07-07,1,1,1,1,1,0\n2017-07-08,1,1,1,1,1,0\n".encode(), b"", b""))
@given(contents=st.tuples(*(hostile_files(PRICE_CELLS, st.sampled_from(SESSIONS)) for _ in SYMBOLS)))
def test_each_line_of_a_hostile_price_file_belongs_to_one_session_or_its_symbol_is_a_fault(
    contents: tuple[bytes, ...], lake: Lake, run: RunInfo
) -> None:
    with TemporaryDirectory() as folder:
        files = {symbol: Path(folder) / symbol for symbol in SYMBOLS}
        for symbol, content in zip(SYMBOLS, contents, strict=True):
            files[symbol].write_bytes(content)
        source = FileSource(files, Period(date.min, date.max), None, TODAY)

        checked(lenient(MARKET), lake, source, run)

        event("a fault" if source.faults() else "no fault")
        for symbol, content in zip(SYMBOLS, contents, strict=True):
            lines, given = extracted_lines(lake, source.days(), symbol), len(data_lines(content))
            assert lines <= given
            assert lines == given or f"of {symbol} " in " ".join(source.faults())


def extracted_lines(lake: Lake, days: list[date], symbol: str) -> int:
    """How many lines of a symbol's file the raw partitions of the days have."""
    with TemporaryDirectory() as folder:
        tables = [lake.download(MARKET.raw("prices"), day, Path(folder))[0].read_bytes() for day in days]
    return sum(line.startswith(f"{symbol},".encode()) for table in tables for line in table.splitlines())


@settings(hostile, max_examples=FILES)
@given(content=hostile_files(TELCO_CELLS))
def test_each_line_of_a_hostile_telco_file_is_a_row_of_the_customers_or_its_day_says_why_not(
    content: bytes, lake: Lake, run: RunInfo
) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "telco.csv"
        file.write_bytes(content)
        source = TelcoFileSource(file, FIRST)

        [verdict] = checked(lenient(CUSTOMERS), lake, source, run)

    if verdict.accepted:
        assert verdict.tables[TABLES[0].name].lines == len(data_lines(content))


class DatabaseTable:
    """A source whose texts may have anything in them that PostgreSQL takes, also line ends and quotes."""

    max_lag_days = None

    def __init__(self, connection: Any, rows: list[dict[str, str | None]]) -> None:
        self.connection, self.rows = connection, rows

    def days(self) -> list[date]:
        return [FIRST, FIRST + timedelta(1)]

    def faults(self) -> list[str]:
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        with self.connection, self.connection.cursor() as cursor, file.open("wb") as target:
            columns = ", ".join(f'"{name}"' for name in CELLS)
            texts = ", ".join(f'"{name}" text' for name in CELLS)
            cursor.execute(f"create temp table {table} ({texts}) on commit drop")
            if self.rows:
                rows = [tuple(row[name] for name in CELLS) for row in self.rows]
                execute_values(cursor, f"insert into {table} ({columns}) values %s", rows)
            cursor.copy_expert(f"copy {table} to stdout with (format csv, header, encoding 'UTF8')", target)
            return Extracted(records=cursor.rowcount)


def texts(known: tuple[str, ...]) -> st.SearchStrategy[str | None]:
    free = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
    awkward = st.text(st.sampled_from('\n\r",\\. a'), max_size=6)
    return st.one_of(st.none(), st.sampled_from(known), st.sampled_from(known[:2]), free, awkward)


DATABASE_ROWS: Mapping[str, st.SearchStrategy[str | None]] = {name: texts(known) for name, known in CELLS.items()}


@settings(hostile, max_examples=FILES)
@example(rows=[dict.fromkeys(CELLS) | {"id": "a1", "pieces": "1", "ratio": "\n"}])
@given(rows=st.lists(st.fixed_dictionaries(dict(DATABASE_ROWS)), max_size=12))
def test_each_record_that_a_database_counted_is_good_or_quarantined_whatever_its_texts_hold(
    rows: list[dict[str, str | None]], lake: Lake, run: RunInfo, postgres: Any
) -> None:
    verdicts = checked(BILLS, lake, DatabaseTable(postgres, rows), run)

    for verdict in verdicts:
        table = verdict.tables["bills"]
        assert verdict.accepted, verdict.problems
        assert table.good + table.quarantined == table.counted == len(rows)
