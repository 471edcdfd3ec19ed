"""Raw tables as they were extracted: CSV read as text, every row of the file accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from include.lifecycle.specs import TableSpec

ENGINE_COLUMNS: dict[str, Any] = {
    "dt": pl.Date,
    "raw_row": pl.UInt32,
    "raw_line": pl.String,
    "unreadable": pl.String,
}
INDEX = "_index"
_RESERVED = {*ENGINE_COLUMNS, INDEX, "broken_rules"}


class _UnreadableFileError(ValueError):
    """A file is not a CSV table."""


@dataclass(frozen=True)
class RawTable:
    """One day of a table as text.

    `frame` has the columns of the file and those of the table's spec (null where the file lacks one), all text,
    and: `dt`, the day; `raw_row`, the row's number in the file, from 1; `raw_line`, the whole line where it does
    not split into the header's columns; `unreadable`, the id of the rule by which the row cannot be judged at all.
    `fault` says why there is no table at all; `missing` and `unexpected` compare its columns with the spec's.
    `inputs` is the digest of the partition it was read from, by lake path.
    """

    day: date
    frame: pl.DataFrame
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
    schema: dict[str, Any] = dict.fromkeys(table.columns, pl.String)
    return RawTable(day, pl.DataFrame(schema=schema | ENGINE_COLUMNS), fault=fault)


def read_raw(path: Path, table: TableSpec, day: date) -> RawTable:
    """Read a CSV file with a header.

    Lines with another number of fields than the header are kept whole in `raw_line`. Where the file lacks a
    column of the spec, none of its rows can be judged.
    """
    try:
        rows, broken_lines = _read_text(path)
    except _UnreadableFileError as error:
        return no_rows(table, day, str(error))
    missing = tuple(name for name in table.columns if name not in rows.columns)
    unexpected = tuple(name for name in rows.columns if name not in table.columns)
    frame = pl.concat([_numbered(rows, broken_lines), broken_lines], how="diagonal").sort("raw_row")
    return RawTable(
        day,
        frame.with_columns(
            *(pl.lit(None, pl.String).alias(name) for name in missing),
            dt=pl.lit(day),
            unreadable=_unreadable(table, missing),
        ),
        missing=missing,
        unexpected=unexpected,
    )


def _unreadable(table: TableSpec, missing: Sequence[str]) -> pl.Expr:
    if missing:
        return pl.lit(f"{table.name}.schema.columns")
    return pl.when(pl.col("raw_line").is_not_null()).then(pl.lit(f"{table.name}.schema.fields"))


def _read_text(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a file as text, and the lines that do not split into them as `raw_row` and `raw_line`."""
    import pyarrow as pa
    from pyarrow import csv

    broken: list[tuple[int, str]] = []

    def set_aside(row: Any) -> str:
        broken.append((row.number - 1, row.text))
        return "skip"

    try:
        arrow = csv.read_csv(
            path,
            # Rows are numbered, and broken lines reported in order, on a single thread only.
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
            convert_options=csv.ConvertOptions(
                default_column_type=pa.string(), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        raise _UnreadableFileError(f"is not a UTF-8 CSV file with a header: {error}") from error
    _check_header(arrow.column_names)
    lines = pl.DataFrame(
        broken, schema={name: ENGINE_COLUMNS[name] for name in ("raw_row", "raw_line")}, orient="row"
    )
    return pl.DataFrame(arrow), lines


def _check_header(names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise _UnreadableFileError(f"has {repeated} more than once in its header")
    reserved = sorted(set(names) & _RESERVED)
    if reserved:
        raise _UnreadableFileError(f"has {reserved} in its header, which validation itself uses")


def _numbered(rows: pl.DataFrame, broken_lines: pl.DataFrame) -> pl.DataFrame:
    numbers = pl.int_range(1, rows.height + broken_lines.height + 1, dtype=pl.UInt32, eager=True)
    return rows.with_columns(raw_row=numbers.filter(~numbers.is_in(broken_lines["raw_row"].implode())))
