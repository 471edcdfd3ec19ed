"""CSV files, one per table, whose rows say themselves which day they are of."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

import polars as pl

from include.lifecycle.calendars import first_plausible
from include.lifecycle.ingestion.csv_records import Records, UnreadableFileError, read_records
from include.lifecycle.ingestion.line_count import count_data_lines
from include.lifecycle.specs import Extracted
from include.sources.files import check_is_regular

log = logging.getLogger(__name__)

_OF_THE_READER = ("raw_row", "raw_lines")
_PLACE = "dt"
"""The day to which a record belongs; no column of a table may be called so."""
_FIRST_TEN = 10
"""Characters of a date; a time may follow."""


@dataclass(frozen=True)
class _DatedRecords:
    """A file's records with `dt`, the day to which each belongs, by that day.

    `rows` has the file's columns under our names, as text; `broken` has in `raw_line` those that do not split.
    """

    rows: pl.DataFrame
    broken: pl.DataFrame


@dataclass(frozen=True)
class CsvTablesSource:
    """One CSV file per table, each read once, as text, so that what is written stays as it came.

    Each row belongs to the day in its `date_column`. One whose date nobody can read, that lies in the future or
    years away from all others, belongs to the day of the nearest row before it in the file, where validation meets
    it; so does a record that does not split into the header's columns. Nothing is lost.
    """

    files: Mapping[str, Path]
    date_column: str
    columns: Mapping[str, str]
    max_lag_days: int | None
    has_all_tables: bool = True
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    def days(self) -> list[date]:
        """The days that a row of any table belongs to."""
        return sorted({day for found in self._tables.values() for day in found.rows[_PLACE].unique()})

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write the table's rows that belong to `day`; then broken records, whole in one field."""
        found = self._tables.get(table)
        if found is None:
            return None
        rows = _of_day(found.rows, day).drop(_PLACE)
        broken = _of_day(found.broken, day)["raw_line"]
        with file.open("w", encoding="utf-8", newline="") as target:
            rows.write_csv(target)
            csv.writer(target, lineterminator="\n").writerows([line] for line in broken)
        return Extracted(records=rows.height + len(broken))

    @cached_property
    def _tables(self) -> dict[str, _DatedRecords]:
        tables = {table: self._read(path) for table, path in self.files.items()}
        known = {name for found in tables.values() for name in found.rows.columns}
        if self.has_all_tables and (missing := [ours for ours in self.columns.values() if ours not in known]):
            theirs = [name for name, ours in self.columns.items() if ours in missing]
            raise ValueError(
                f"`columns` in the source's settings names {theirs}, which {_named(self.files.values())} does not "
                "have; correct the names."
            )
        return tables

    def _read(self, path: Path) -> _DatedRecords:
        records = _read_whole(path)
        names = [name for name in records.rows.columns if name not in _OF_THE_READER]
        if self.date_column not in names:
            raise ValueError(
                f"{path} has no column {self.date_column!r}; its columns are {names}. Set `date_column` in the "
                f"source's settings.{_hint_of_separator(names)}"
            )
        places = self._places(records, path)
        ours = [self.columns.get(name, name) for name in names]
        _check_names(ours, path)
        rows = records.rows.select("raw_row", *names).rename(dict(zip(names, ours, strict=True)))
        return _DatedRecords(
            _by_place(rows, places).select(*ours, _PLACE),
            _by_place(records.broken, places).select("raw_line", _PLACE),
        )

    def _places(self, records: Records, path: Path) -> pl.DataFrame:
        """The day to which each record belongs, by its number in the file."""
        text = pl.col(self.date_column).str.strip_chars().str.head(_FIRST_TEN)
        dated = records.rows.select("raw_row", dated=text.str.to_date("%Y-%m-%d", strict=False))
        in_order = pl.concat([dated, records.broken.select("raw_row", dated=pl.lit(None, pl.Date))]).sort(
            "raw_row"
        )
        days = dated["dated"].filter(dated["dated"].is_between(date.min, self.today)).unique().sort().to_list()
        if not days:
            example = records.rows[self.date_column].drop_nulls().head(1).to_list()
            raise ValueError(
                f"{path} has no date until {self.today} in its column {self.date_column!r}"
                f"{f', e.g. {example[0]!r}' if example else ''}; dates are written like {self.today}."
            )
        first, last = first_plausible(days), first_plausible(days[::-1])
        certain = pl.when(pl.col("dated").is_between(first, last)).then("dated")
        placed = in_order.with_columns(certain=certain).with_columns(
            pl.coalesce(pl.col("certain").forward_fill(), pl.col("certain").backward_fill()).alias(_PLACE)
        )
        if misplaced := placed["certain"].null_count():
            log.warning(
                "%s: %s records are broken, or have a date that cannot be read or be right; each goes to the day "
                "of the row before it.",
                path,
                f"{misplaced:,}",
            )
        return placed.select("raw_row", _PLACE)


def _check_names(ours: Sequence[str], path: Path) -> None:
    """Refuse names of columns, as `columns` makes them, that are there twice or that the engine uses."""
    if twice := sorted(name for name, count in Counter(ours).items() if count > 1):
        raise ValueError(f"{path} has {twice} twice after the names in `columns` are changed; give others there.")
    if reserved := sorted({_PLACE, *_OF_THE_READER} & set(ours)):
        raise ValueError(
            f"{path} has the columns {reserved}, which the engine uses itself; give them other names in the "
            "source's settings, under `columns`."
        )


def _named(files: Iterable[Path]) -> str:
    return " or ".join(map(str, files))


def _read_whole(path: Path) -> Records:
    check_is_regular(path)
    try:
        records = read_records(path.read_bytes())
    except UnreadableFileError as error:
        raise ValueError(f"{path} {error}.") from error
    lines = count_data_lines(path)
    if lines != records.lines:
        raise ValueError(f"{path} has {lines} lines of data, but {records.lines} were read.")
    return records


def _by_place(records: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    return records.join(places, on="raw_row", how="left", maintain_order="left").sort(_PLACE, maintain_order=True)


def _of_day(records: pl.DataFrame, day: date) -> pl.DataFrame:
    """The records of a day, of records that are sorted by it."""
    first, last = (records[_PLACE].search_sorted(day, side) for side in ("left", "right"))
    return records[first:last]


def _hint_of_separator(names: list[str]) -> str:
    other = next((mark for mark in (";", "\t", "|") if len(names) == 1 and mark in names[0]), None)
    return f" Its fields are separated by {other!r}; write the file with commas." if other else ""
