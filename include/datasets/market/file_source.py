"""Prices from files, one per symbol."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

from include.datasets.market.calendar import FIRST_DAY
from include.datasets.market.periods import MOST_MISPLACED, Period, until_last_session
from include.datasets.market.price_files import COLUMNS, PriceFile, PriceFileError, read_price_file
from include.lifecycle.calendars import first_plausible
from include.lifecycle.failures import LOCAL_FILE_ERRORS, lies_in_the_data, one_line
from include.lifecycle.specs import Extracted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSource:
    """One CSV file per symbol. Each is read once, as text, so that what is written stays as it came."""

    files: Mapping[str, Path]
    period: Period
    max_lag_days: int | None
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    lacking: tuple[str, ...] = ()
    """Faults of symbols that have no file here."""

    def days(self) -> list[date]:
        """All sessions from the first to the last day to which any symbol has a row, strays left out.

        A session on which all of them lack a row is among them, so that validation meets it.
        """
        first, last = self._rows.select(pl.col("place").first(), last=pl.col("place").last()).row(0)
        return self.period.sessions(first, last)

    def faults(self) -> list[str]:
        """Symbols without a usable file, in a sentence each."""
        return [*self.lacking, *self._prices.faults]

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Write the rows that belong to `day`, by symbol and date; then broken lines, whole in one field."""
        belonging = self.period.belonging_to(day)
        first, last = (self._rows["place"].search_sorted(end, side) for end, side in _ends(belonging))
        rows = self._rows[first:last].sort("symbol", "place", maintain_order=True)
        broken = rows.filter(pl.col("raw_line").is_not_null()).select("symbol", "raw_line")
        with file.open("w", encoding="utf-8", newline="") as target:
            rows.filter(pl.col("raw_line").is_null()).select(COLUMNS).write_csv(target)
            csv.writer(target, lineterminator="\n").writerows(broken.iter_rows())
        return Extracted(records=rows.height)

    @property
    def _rows(self) -> pl.DataFrame:
        return self._prices.rows

    @cached_property
    def _prices(self) -> _Prices:
        given, faults = [], []
        for symbol, path in self.files.items():
            try:
                given.append(read_price_file(symbol, path))
            except PriceFileError as error:
                faults.append(str(error))
            except LOCAL_FILE_ERRORS as error:
                faults.append(
                    f"The file {path} of {symbol} cannot be read: {error.strerror}. Correct `path`, `file_name` "
                    "or `symbols` in the market's source settings."
                )
            except Exception as error:
                if not lies_in_the_data(error):
                    raise
                faults.append(f"The file {path} of {symbol} cannot be read: {one_line(error)}. Correct it.")
        return _placed(given, self.period, self.today, faults)


@dataclass(frozen=True)
class _Prices:
    """All rows within the period, by `place`, the day to which each belongs; and what is wrong with symbols."""

    rows: pl.DataFrame
    faults: tuple[str, ...]


def _placed(files: Sequence[PriceFile], period: Period, today: date, faults: Sequence[str]) -> _Prices:
    """Give each row its day. Where a symbol has too many that belong elsewhere, they are left out, and a fault."""
    read = Period(max(period.first, FIRST_DAY), min(period.last, today))
    is_read = pl.col("parsed").is_between(read.first, read.last)
    dates = pl.concat([file.rows.filter(is_read)["parsed"] for file in files] or [pl.Series([], dtype=pl.Date)])
    days = dates.unique().sort().to_list()
    body = until_last_session(first_plausible(days), first_plausible(days[::-1])) if days else read
    kept, found = [_NO_ROWS], list(faults)
    for file in files:
        rows = _with_places(file.rows, body, period)
        stays = pl.col("raw_line").is_null() & pl.col("place").eq(pl.col("parsed")).fill_null(False)
        misplaced = rows.filter(~stays)
        if _has_too_many(misplaced):
            kept.append(rows.filter(stays))
            found.append(
                f"{file.path} of {file.symbol} has {misplaced.height:,} rows that are left out: they are broken, "
                f"or have a date that cannot be read or cannot be right, e.g. {_described(misplaced)}. "
                "Correct them, or set `first_day` and `last_day`."
            )
        else:
            kept.append(rows)
            for row in misplaced.iter_slices(1):
                log.warning("%s of %s: %s goes to quarantine.", file.path, file.symbol, _described(row))
    return _Prices(pl.concat(kept).sort("place", maintain_order=True), tuple(found))


_NO_ROWS = pl.DataFrame(
    schema={
        **dict.fromkeys(COLUMNS, pl.String),
        "line": pl.Int64,
        "raw_line": pl.String,
        "parsed": pl.Date,
        "place": pl.Date,
    }
)


def _with_places(rows: pl.DataFrame, body: Period, period: Period) -> pl.DataFrame:
    """The file's rows within the period, and their `place`: null where no row of the file has a plausible date."""
    near = pl.coalesce("parsed", pl.col("parsed").forward_fill(), pl.col("parsed").backward_fill())
    placed = pl.when(near.is_between(body.first, body.last)).then(near)
    newest = pl.when(placed.is_not_null().any()).then(pl.lit(body.last))
    rows = rows.with_columns(near=near, place=placed.fill_null(newest))
    is_read = pl.col("near").is_null() | pl.col("near").is_between(period.first, period.last)
    return rows.filter(is_read).drop("near")


def _has_too_many(misplaced: pl.DataFrame) -> bool:
    counts = misplaced.group_by("place").len()
    return counts.filter((pl.col("len") > MOST_MISPLACED) | pl.col("place").is_null()).height > 0


def _described(misplaced: pl.DataFrame) -> str:
    line, whole, day = misplaced.select("line", "raw_line", "date").row(0)
    return f"line {line} ({whole!r})" if whole is not None else f"line {line}, dated {day!r}"


def _ends(period: Period) -> tuple[tuple[date, Literal["left"]], tuple[date, Literal["right"]]]:
    return (period.first, "left"), (period.last, "right")
