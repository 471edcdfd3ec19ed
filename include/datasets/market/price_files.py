"""Price files, one per symbol, read as text with every line accounted for: broken lines stay, whole."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from include.datasets.market.columns import PRICES
from include.lifecycle.ingestion.line_count import BYTE_ORDER_MARKS
from include.sources.files import check_is_regular

# The files may have further columns, e.g. OpenInt, which shares do not have; they are not read.
FILE_COLUMNS = {"Date": "date", **{name.title(): name for name in (*PRICES, "volume")}}
COLUMNS = ("symbol", *FILE_COLUMNS.values())


class PriceFileError(ValueError):
    """A symbol's file is no table of prices; the sentence names file and symbol."""


@dataclass(frozen=True)
class PriceFile:
    """A symbol's file.

    `rows` has `COLUMNS` as text, and: `line`, the line in the file, from 1; `raw_line`, the whole line where it
    does not split into the header's columns, with the date alone in its column; `parsed`, the date, null where
    nobody can read it or its year is not one of 1 to 9999. Blank lines are left out.
    """

    symbol: str
    path: Path
    rows: pl.DataFrame


def read_price_file(symbol: str, path: Path) -> PriceFile:
    r"""Read a CSV file with a header, in UTF-8 or, with a byte order mark, UTF-16 or UTF-32.

    Bytes that are no UTF-8 stay as escapes, such as `\xe9`.

    Raises
    ------
    PriceFileError
        If it is no regular file, or has no header with our columns.
    OSError
        If it cannot be read.
    """
    if path.exists() or path.is_symlink():
        try:
            check_is_regular(path)
        except ValueError as error:
            raise PriceFileError(f"The file of {symbol} cannot be read: {error}") from error
    text = text_of(path.read_bytes())
    rows = _read_at_once(text)
    if rows is None:
        rows = _read_line_by_line(symbol, path, text)
    parsed = pl.col("date").str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
    return PriceFile(
        symbol,
        path,
        rows.select(
            pl.lit(symbol).alias("symbol"),
            *FILE_COLUMNS.values(),
            "line",
            "raw_line",
            # Polars reads years such as -44 and 10000 as well, of which nothing else here can speak.
            parsed=pl.when(parsed.is_between(date.min, date.max)).then(parsed),
        ),
    )


def text_of(content: bytes) -> str:
    """A file's text by its byte order mark, with every line ended by a line feed."""
    return _decoded(content).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(content: bytes) -> str:
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "backslashreplace")
    return content.decode("utf-8", "backslashreplace")


def _read_at_once(text: str) -> pl.DataFrame | None:
    """The rows of a file that is as it should be, which is nearly all; None where a line needs a closer look."""
    lines = text.rstrip("\n").split("\n")
    header = lines[0].split(",")
    if '"' in text or "\0" in text or not set(FILE_COLUMNS) <= set(header):
        return None
    if any(line.count(",") != len(header) - 1 for line in lines) or len(set(header)) < len(header):
        return None
    return pl.read_csv(text.encode(), infer_schema=False).select(
        *(pl.col(theirs).alias(ours) for theirs, ours in FILE_COLUMNS.items()),
        line=pl.int_range(2, pl.len() + 2),
        raw_line=pl.lit(None, pl.String),
    )


def _read_line_by_line(symbol: str, path: Path, text: str) -> pl.DataFrame:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line]
    if not lines:
        raise PriceFileError(f"{path} of {symbol} is empty; it should begin with {','.join(FILE_COLUMNS)}.")
    header = _fields(lines[0][1])
    repeated = sorted(name for name, count in Counter(header).items() if count > 1)
    if repeated:
        raise PriceFileError(f"{path} of {symbol} has {repeated} more than once in its header.")
    missing = [name for name in FILE_COLUMNS if name not in header]
    if missing:
        raise PriceFileError(f"{path} of {symbol} lacks the columns {missing}; it has {header}.")
    rows = [_row(header, number, line) for number, line in lines[1:]]
    ours = dict.fromkeys(FILE_COLUMNS.values(), pl.String)
    schema: dict[str, Any] = {**ours, "line": pl.Int64, "raw_line": pl.String}
    return pl.DataFrame(rows, schema=schema)


def _row(header: list[str], number: int, line: str) -> dict[str, str | int | None]:
    """Our columns of a line; of one that does not split into the header's, the line and, if any, the date."""
    fields: list[str | None] = [field or None for field in _fields(line)]
    if len(fields) == len(header):
        given = dict(zip(header, fields, strict=True))
        ours = {name: given[theirs] for theirs, name in FILE_COLUMNS.items()}
        return {"line": number, "raw_line": None, **ours}
    place = header.index("Date")
    return {"line": number, "raw_line": line, "date": fields[place] if place < len(fields) else None}


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return []
