"""What the columns of a CSV file are, judged by their values."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from include.lifecycle.ingestion.csv_records import BROKEN_RECORDS, UnreadableFileError, read_records
from include.lifecycle.ingestion.quarantine import typed_column
from include.lifecycle.specs import RESERVED_COLUMNS

OF_THE_ENGINE = RESERVED_COLUMNS | {
    "label", "score", "score_low", "score_high", "coverage", "target_from", "target_until", "scored_at", "weekday",
    "model_name", "model_version", "act", "rank", "change",
}  # fmt: skip
MOST_CATEGORIES = 50
_ZERO_PADDED = r"^0\d"
_LONGEST_NAME = 40
_MOST_BROKEN = 0.1
_OF_THE_READER = ["raw_row", "raw_lines"]


class ScaffoldError(ValueError):
    """What was given cannot be made into a dataset and a model; the sentence says what to give instead."""


@dataclass(frozen=True)
class Table:
    """A CSV file as a table.

    Attributes
    ----------
    rows : the values as text, under our names.
    types : the type of each column, by our names.
    names : the file's names, by ours.
    """

    rows: pl.DataFrame
    types: Mapping[str, pl.DataType]
    names: Mapping[str, str]

    def ours(self, name: str) -> str:
        """Our name of a column that the file, or we, call so.

        Raises
        ------
        ScaffoldError
            If there is none.
        """
        for ours, theirs in self.names.items():
            if name in (ours, theirs):
                return ours
        raise ScaffoldError(f"The file has no column {name!r}; it has {list(self.names.values())}.")

    def values(self, name: str) -> pl.Series:
        """A column's values in its type; null where one is not of it."""
        return self.rows.select(typed_column(name, self.types[name])).to_series()


def read_table(path: Path) -> Table:
    """Read a CSV file and find a type for each column.

    Raises
    ------
    ScaffoldError
        If it is no CSV file with commas and rows.
    """
    if not path.is_file():
        raise ScaffoldError(f"{path} is no file; CSV= names the file that the data are in.")
    try:
        records = read_records(path.read_bytes())
    except UnreadableFileError as error:
        raise ScaffoldError(f"{path} {error}. Correct that in the file.") from error
    except OSError as error:
        raise ScaffoldError(
            f"{path} cannot be read: {error.strerror}; choose a file that you may read."
        ) from error
    rows = records.rows.drop(_OF_THE_READER)
    if records.broken.height > _MOST_BROKEN * (records.broken.height + rows.height):
        fault, line = records.broken["unreadable"][0], records.broken["raw_row"][0]
        raise ScaffoldError(
            f"{path} has {records.broken.height} broken records and {rows.height} others; the first begins in "
            f"line {line}. {BROKEN_RECORDS[fault]} Save the file as CSV with commas, in UTF-8."
        )
    if rows.is_empty() or rows.width < 2:
        raise ScaffoldError(
            f"{path} has {rows.height} rows of the columns {rows.columns}; a CSV file with a header, commas and "
            "at least two columns is needed."
        )
    names = {identifier(name): name for name in rows.columns}
    if len(names) < rows.width:
        raise ScaffoldError(
            f"{path} has columns whose names become the same: {rows.columns}; rename some of them."
        )
    rows = rows.rename({theirs: ours for ours, theirs in names.items()})
    return Table(rows, {name: _type_of(rows[name]) for name in rows.columns}, names)


def identifier(name: str) -> str:
    """A column's name in lower-case ASCII, with underscores, and none that Python or the engine uses itself."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip()).casefold()
    letters = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", words))
    plain = re.sub(r"[^a-z0-9]+", "_", letters).strip("_")
    plain = (plain if plain and not plain[0].isdigit() else f"column_{plain}")[:_LONGEST_NAME]
    return f"{plain}_given" if plain in OF_THE_ENGINE or keyword.iskeyword(plain) else plain


def _type_of(column: pl.Series) -> pl.DataType:
    """The narrowest type that nearly all values have; text where there is none."""
    given = column.drop_nulls()
    if given.str.contains(_ZERO_PADDED).any() and not given.str.contains("[-:.]").any():
        return pl.String()  # a code such as 007
    for dtype in (pl.Int64(), pl.Float64(), pl.Boolean(), pl.Date(), pl.Datetime()):
        if len(given) and _fit(given, dtype):
            return dtype
    return pl.String()


def _fit(given: pl.Series, dtype: pl.DataType) -> bool:
    typed = given.to_frame().select(typed_column(given.name, dtype)).to_series()
    return typed.null_count() <= len(given) // 20
