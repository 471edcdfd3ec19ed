"""Raw tables as they were extracted: CSV read as text, every row of the file accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from include.lifecycle.ingestion.csv_records import UnreadableFileError, read_records
from include.lifecycle.ingestion.line_count import count_data_lines
from include.lifecycle.specs import RESERVED_COLUMNS, TableSpec

ENGINE_COLUMNS: dict[str, Any] = {
    "dt": pl.Date,
    "raw_row": pl.UInt32,
    "raw_lines": pl.UInt32,
    "raw_line": pl.String,
    "unreadable": pl.String,
}
INDEX = "_index"
_PLAIN_TEXTS: dict[Any, str] = {
    pl.Boolean: "true",
    pl.Date: "2000-01-01",
    pl.Datetime: "2000-01-01 00:00:00",
    pl.Time: "00:00:00",
}


@dataclass(frozen=True)
class RawTable:
    """One day of a table as text.

    `frame` has the columns of the file and those of the table's spec (null where the file lacks one), all text,
    and: `dt`, the day; `raw_row`, the number of the row's first line in the file, from 1; `raw_lines`, how many
    lines it takes, blank ones aside; `raw_line`, all of its text where it does not split into the header's
    columns; `unreadable`, the id of the rule by which the row cannot be checked at all.
    `lines` is how many lines of data the file has and `counted` how many rows the source says it wrote, both made
    without the reader. `fault` says why there is no table at all; `missing` and `unexpected` compare its columns
    with the spec's. `inputs` is the digest of the partition it was read from, by lake path.
    """

    day: date
    frame: pl.DataFrame
    lines: int = 0
    counted: int | None = None
    fault: str | None = None
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def text_columns(self) -> list[str]:
        """Columns of the file and of the spec."""
        return [name for name in self.frame.columns if name not in ENGINE_COLUMNS]


def no_rows(table: TableSpec, day: date, fault: str) -> RawTable:
    """A table that could not be had; `fault` goes on from its name, e.g. "was not extracted"."""
    return RawTable(day, pl.DataFrame(schema=_schema(table)), fault=fault)


def plain_rows(table: TableSpec) -> pl.DataFrame:
    """A row in which every column has a plain value of its type, as `RawTable.frame` has rows."""
    texts = {name: _plain_text(dtype) for name, dtype in table.columns.items()}
    place = {"dt": date(2000, 1, 1), "raw_row": 1, "raw_lines": 1, "raw_line": None, "unreadable": None}
    return pl.DataFrame([texts | place], schema=_schema(table))


def _schema(table: TableSpec) -> dict[str, Any]:
    return dict.fromkeys(table.columns, pl.String) | ENGINE_COLUMNS


def _plain_text(dtype: Any) -> str:
    if dtype == pl.Enum:
        return str(dtype.categories.first())
    if dtype == pl.Decimal:
        # The only number that has a place whatever the precision and the scale.
        return "0"
    return next((text for kind, text in _PLAIN_TEXTS.items() if dtype == kind), "1")


def read_raw(path: Path, table: TableSpec, day: date, counted: int | None = None) -> RawTable:
    """Read a CSV file with a header; `counted` is how many rows the source says it wrote, where it says so.

    Records that cannot be split into the header's columns are kept whole in `raw_line`. Where the file lacks a
    column of the spec, none of its rows can be checked.
    """
    lines = count_data_lines(path)
    try:
        records = read_records(path.read_bytes(), counted, RESERVED_COLUMNS)
    except UnreadableFileError as error:
        return replace(no_rows(table, day, str(error)), lines=lines, counted=counted)
    names = [name for name in records.rows.columns if name not in ENGINE_COLUMNS]
    missing = tuple(name for name in table.columns if name not in names)
    frame = pl.concat([records.rows, records.broken], how="diagonal").sort("raw_row")
    return RawTable(
        day,
        frame.with_columns(
            *(pl.lit(None, pl.String).alias(name) for name in missing),
            dt=pl.lit(day),
            unreadable=_unreadable(table, missing),
        ),
        lines=lines,
        counted=counted,
        missing=missing,
        unexpected=tuple(name for name in names if name not in table.columns),
    )


def _unreadable(table: TableSpec, missing: Sequence[str]) -> pl.Expr:
    if missing:
        return pl.lit(f"{table.name}.schema.columns")
    return pl.lit(f"{table.name}.schema.") + pl.col("unreadable")
