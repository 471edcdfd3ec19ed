"""Days of hostile files through extract, validate and the warehouse: nothing crashes, and no line is lost.

Tries other days, and as many:
`HOSTILE_DAYS=1000 python -m pytest --hypothesis-profile=default tests/integration/test_hostile_files.py`
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import TableVerdict
from include.lifecycle.specs import DatasetSpec, Extracted, TableSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.hostile_files import COLUMNS, data_lines, hostile_files

DAYS_AT_ONCE = 20
DAYS = int(os.environ.get("HOSTILE_DAYS", "40"))
FIRST = date(2026, 1, 1)
TYPES = dict(
    zip(COLUMNS, [pl.String, pl.String, pl.Float64, pl.Int64, pl.Float32, pl.Boolean, pl.Date], strict=True)
)


def present() -> list[Any]:
    import great_expectations.expectations as gxe

    return [gxe.ExpectColumnValuesToNotBeNull(column="pieces", meta={"rule_id": "bills.pieces", "why": "Sold."})]


BILLS = DatasetSpec(
    name="hostile",
    title="Hostile files",
    description="Whatever a file can hold.",
    key=("id",),
    timezone="UTC",
    schedule="@daily",
    tables=(
        TableSpec(
            name="bills",
            columns=TYPES,
            key=("id",),
            rules=present,
            max_bad_share=1,
            min_rows=0,
            usual_rows=None,
            may_repeat=True,
        ),
    ),
    make_source=lambda settings, connect: pytest.fail("the test gives the source"),
    features=lambda days, tables: pytest.fail("no features are made"),
    history_days={"bills": 0},
)


@dataclass(frozen=True)
class Files:
    """A source that gives files as they are."""

    content: Mapping[date, bytes]
    max_lag_days: int | None = None

    def days(self) -> list[date]:
        return sorted(self.content)

    def faults(self) -> list[str]:
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        file.write_bytes(self.content[day])
        return Extracted()


@settings(
    max_examples=-(-DAYS // DAYS_AT_ONCE),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(files=st.lists(hostile_files(), min_size=DAYS_AT_ONCE, max_size=DAYS_AT_ONCE))
def test_each_line_of_a_hostile_file_is_good_or_quarantined_or_its_day_is_rejected_with_a_sentence(
    files: list[bytes], lake: Lake, run: RunInfo, postgres: Any
) -> None:
    source = Files({FIRST + timedelta(number): content for number, content in enumerate(files)})

    extract(BILLS, lake, source, source.days(), run)
    verdicts = validate(BILLS, lake, source.days(), run)

    for verdict in verdicts:
        table, lines = verdict.tables["bills"], data_lines(source.content[verdict.day])
        event(" ".join(verdict.problems)[:40] or "accepted")
        assert verdict.accepted != bool(verdict.problems)
        assert "does not add up" not in " ".join(verdict.problems)
        if verdict.accepted:
            quarantined = read(lake, BILLS.quarantine("bills"), verdict.day)
            good = read(lake, BILLS.clean("bills"), verdict.day)
            assert balanced(table, len(lines), good, quarantined)
            assert good["id"].to_list() == sorted(ids_outside(quarantined, lines))
            with warehouse.replacing(postgres, "bills", verdict.day, good.lazy(), key=["id"]):
                pass


def balanced(table: TableVerdict, lines: int, good: pl.DataFrame, quarantined: pl.DataFrame) -> bool:
    return good.height + quarantined["raw_lines"].sum() == table.lines == lines


def ids_outside(quarantined: pl.DataFrame, lines: Sequence[tuple[int, str]]) -> list[str]:
    """The first field of each line that is in no quarantined record."""
    taken = set[int]()
    position = {number: index for index, (number, _) in enumerate(lines)}
    for row, count in quarantined.select("raw_row", "raw_lines").iter_rows():
        taken.update(range(position[row], position[row] + count))
    free = [line for index, (_, line) in enumerate(lines) if index not in taken]
    return [next(csv.reader([line], strict=True))[0] for line in free]


def read(lake: Lake, prefix: str, day: date) -> pl.DataFrame:
    with TemporaryDirectory() as folder:
        return lake.scan(prefix, [day], Path(folder)).drop("dt").collect()
