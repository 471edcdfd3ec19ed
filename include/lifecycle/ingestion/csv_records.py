r"""CSV files read so that every line of them is accounted for.

A line ends with \n, \r\n or \r, also mixed in one file. A record is one line that follows the grammar of RFC 4180
by itself; nothing in it can change how the next line is read. Only lines that do not follow it are looked at one
by one: where such a line ends inside a quoted field, its record goes on until the quote closes or the file ends.

A record over several lines is broken even if it is well formed, because that is what a pair of stray quotes looks
like. It is good only where the source itself counted its rows and the file has as many records: that proves the
quotes right.

Blank lines are no records, except under a header of one column, where they are missing values.
"""

from __future__ import annotations

import codecs
import csv
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import polars as pl

from include.lifecycle.ingestion.line_count import BYTE_ORDER_MARKS
from include.lifecycle.shown import columns_in_words, visible

MAX_RECORD_CHARACTERS = 100_000
MAX_COLUMNS = 1_000
BROKEN_RECORDS = {
    "bytes": "The record has bytes that are not UTF-8; they are shown as escapes.",
    "nul": "The record has a NUL character, which no database takes as text.",
    "size": f"The record is longer than {MAX_RECORD_CHARACTERS:,} characters.",
    "quotes": "A quoted field is never closed, or a quote stands where none may.",
    "lines": "The record goes on over several lines, as a stray pair of quotes would make it.",
    "fields": "The record has another number of fields than the header.",
}
"""Why a record cannot be split into fields, by the last part of the rule's id; the first that holds is given."""

_OPEN_QUOTE = r'"[^"]*(?:""[^"]*)*'
_FIELD = rf'(?:{_OPEN_QUOTE}"|[^",]*)'
_RECORD = rf"{_FIELD}(?:,{_FIELD})*"
# Possessive, so that the longest line takes no longer than its length.
_IS_RECORD = re.compile(_RECORD.replace("*", "*+"))
_IS_OPEN = re.compile(rf"(?:{_FIELD},)*{_OPEN_QUOTE}".replace("*", "*+"))
_NUMBERS = {"raw_row": pl.UInt32, "raw_lines": pl.UInt32}
_BROKEN = {**_NUMBERS, "raw_line": pl.String, "unreadable": pl.String}


class UnreadableFileError(ValueError):
    """A file is not a CSV table; the message goes on from the table's name."""


@dataclass(frozen=True)
class Records:
    """The records of a file, each of them in one of two frames, by line.

    `rows` has a column per name of the header, all text, blank ones null; `broken` has `raw_line`, the record as
    it came, and `unreadable`, a key of `BROKEN_RECORDS`. Both have `raw_row`, the number in the file, from 1, of
    the record's first line, and `raw_lines`, how many lines it takes, blank ones aside.
    """

    rows: pl.DataFrame
    broken: pl.DataFrame

    @property
    def lines(self) -> int:
        """Lines of all records."""
        return sum(int(records["raw_lines"].sum()) for records in (self.rows, self.broken))


def read_records(content: bytes, counted: int | None = None, reserved: Collection[str] = ()) -> Records:
    """Read a CSV file with a header.

    Parameters
    ----------
    counted : how many rows the source says it wrote, where it says so.
    reserved : names that no column may have.

    Raises
    ------
    UnreadableFileError
        If there is no header of distinct names, or a line is not in the encoding that the byte order mark says.
    """
    lines = _Lines(_as_utf8(content))
    names = _header(lines, {*reserved, *_BROKEN})
    body = lines.after_header()
    is_record = _is_record(body["raw_line"])
    spans = list(_spans(lines, (body["raw_row"].filter(~is_record) - 1).to_list()))
    single = _outside(body.filter(is_record), spans)
    proven = counted is not None and single.height + len(spans) == counted
    several = _several(lines, spans)
    return _sorted_out(names, pl.concat([_singles(lines, single), several]), proven)


@dataclass(frozen=True)
class _Span:
    """A record that is not one well-formed line: its first and last line, from 0, and whether its quotes match."""

    first: int
    last: int
    is_whole: bool


class _Lines:
    """The lines of a file as text, without their ends; bytes that are not UTF-8 are escaped."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._bytes = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._is_utf8 = _is_utf8(content)

    @cached_property
    def _texts(self) -> pl.Series:
        valid = self._bytes if self._is_utf8 else self._bytes.decode(errors="backslashreplace").encode()
        return pl.read_lines(valid)["line"]

    @cached_property
    def texts(self) -> list[str]:
        """All lines as Python strings, which take much memory: only for records that are no single lines."""
        return self._texts.to_list()

    @cached_property
    def header(self) -> int:
        """Number of the first line that is not blank, from 0."""
        is_filled = self._texts != ""
        first = is_filled.arg_max()
        if first is None or not is_filled[first]:
            raise UnreadableFileError("has no header: the file is empty")
        return first

    @cached_property
    def header_text(self) -> str:
        return str(self._texts[self.header])

    def after_header(self) -> pl.DataFrame:
        """Number from 1, `raw_row`, and text, `raw_line`, of each line after the header that counts."""
        first = self.header + 1
        numbers = pl.int_range(first + 1, len(self._texts) + 1, dtype=pl.UInt32, eager=True)
        lines = pl.DataFrame({"raw_row": numbers, "raw_line": self._texts[first:]})
        return lines.filter(pl.col("raw_line") != "") if self.skips_blank else lines

    @property
    def skips_blank(self) -> bool:
        return "," in self.header_text

    @cached_property
    def undecodable(self) -> list[int]:
        """Numbers, from 0, of the lines with bytes that are not UTF-8."""
        if self._is_utf8:
            return []
        return [number for number, line in enumerate(BytesIO(self._bytes)) if not _is_utf8(line)]

    def is_undecodable(self, span: _Span) -> bool:
        """Whether any line of the span has bytes that are not UTF-8."""
        following = bisect_left(self.undecodable, span.first)
        return following < len(self.undecodable) and self.undecodable[following] <= span.last

    def filled(self, span: _Span) -> int:
        """How many lines of the span count."""
        lines = self.texts[span.first : span.last + 1]
        return sum(map(bool, lines)) if self.skips_blank else len(lines)

    def text(self, span: _Span) -> str:
        """The span as it came, with the ends of its lines except the last."""
        text = b"".join(self._with_ends[span.first : span.last + 1]).decode(errors="backslashreplace")
        return text.rstrip("\r\n")

    @cached_property
    def _with_ends(self) -> list[bytes]:
        return self._content.splitlines(keepends=True)


def _as_utf8(content: bytes) -> bytes:
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            body = content[len(mark) :]
            return body if mark == codecs.BOM_UTF8 else _recoded(body, encoding)
    return content


def _recoded(body: bytes, encoding: str) -> bytes:
    try:
        return body.decode(encoding).encode()
    except UnicodeDecodeError as error:
        before = body[: error.start].decode(encoding, "replace").encode(errors="replace")
        line = len((before + b".").splitlines())
        raise UnreadableFileError(
            f"is not {encoding.upper()}, as its byte order mark says, in line {line}; save it as UTF-8"
        ) from error


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _header(lines: _Lines, reserved: Collection[str]) -> list[str]:
    text, number = lines.header_text, lines.header + 1
    if "\0" in text:
        raise UnreadableFileError(
            f"has NUL characters in its header, line {number}, as UTF-16 without a byte order mark has; "
            "save it as UTF-8"
        )
    if lines.undecodable and lines.undecodable[0] == lines.header:
        raise UnreadableFileError(f"has bytes that are not UTF-8 in its header, line {number}: {_start(text)}")
    if not _IS_RECORD.fullmatch(text) or len(text) > MAX_RECORD_CHARACTERS:
        raise UnreadableFileError(f"has a header, line {number}, that is not a line of CSV: {_start(text)}")
    [names] = csv.reader([text], strict=True)
    if len(names) > MAX_COLUMNS:
        raise UnreadableFileError(f"has {len(names):,} columns, and {MAX_COLUMNS:,} are read at most")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UnreadableFileError(f"repeats {columns_in_words(repeated)} in its header")
    clashing = sorted(set(names) & set(reserved))
    if clashing:
        raise UnreadableFileError(f"has {columns_in_words(clashing)} in its header, which validation itself uses")
    return names


def _start(text: str) -> str:
    return visible(repr(text if len(text) <= 60 else text[:59] + "…"))


def _is_record(texts: pl.Series) -> pl.Series:
    """Whether each line is well formed by itself: most have no quote, which takes no look at their fields."""
    quoted = texts.str.contains('"', literal=True)
    if not quoted.any():
        return ~quoted
    return ~quoted | texts.str.contains(f"^(?:{_RECORD})$")


def _spans(lines: _Lines, suspects: Sequence[int]) -> Iterator[_Span]:
    """The records that begin with a line that is not well formed; those that another one takes in are left out."""
    last = -1
    for first in suspects:
        if first > last:
            span = _span(lines.texts, first)
            last = span.last
            yield span


def _span(texts: Sequence[str], first: int) -> _Span:
    for number in range(first, len(texts)):
        # Inside a quoted field a line reads as if it began with the quote.
        text = texts[number] if number == first else f'"{texts[number]}'
        if not _IS_OPEN.fullmatch(text):
            return _Span(first, number, is_whole=_IS_RECORD.fullmatch(text) is not None)
    return _Span(first, len(texts) - 1, is_whole=False)


def _outside(body: pl.DataFrame, spans: Sequence[_Span]) -> pl.DataFrame:
    """The lines that no span takes in."""
    long = [span for span in spans if span.last > span.first]
    if not long:
        return body
    rows = (body["raw_row"] - 1).cast(pl.Int64)
    before = pl.Series([span.first for span in long]).search_sorted(rows, side="right").cast(pl.Int64)
    ends = pl.Series([-1, *(span.last for span in long)])
    return body.filter(rows > ends.gather(before))


def _singles(lines: _Lines, single: pl.DataFrame) -> pl.DataFrame:
    """Well-formed lines with the fault that they have all the same, if any."""
    damaged = pl.Series([number + 1 for number in lines.undecodable], dtype=pl.UInt32)
    text = pl.col("raw_line")
    return single.with_columns(
        raw_lines=pl.lit(1, pl.UInt32),
        unreadable=pl.when(pl.col("raw_row").is_in(damaged.implode()))
        .then(pl.lit("bytes"))
        .when(text.str.contains("\0", literal=True))
        .then(pl.lit("nul"))
        .when(text.str.len_bytes() > MAX_RECORD_CHARACTERS, text.str.len_chars() > MAX_RECORD_CHARACTERS)
        .then(pl.lit("size")),
    ).select(list(_BROKEN))


def _several(lines: _Lines, spans: Sequence[_Span]) -> pl.DataFrame:
    found = [(span.first + 1, lines.filled(span), *_text_and_fault(lines, span)) for span in spans]
    return pl.DataFrame(found, schema=_BROKEN, orient="row")


def _text_and_fault(lines: _Lines, span: _Span) -> tuple[str, str]:
    text = lines.text(span)
    if lines.is_undecodable(span):
        return text, "bytes"
    if "\0" in text:
        return text, "nul"
    if len(text) > MAX_RECORD_CHARACTERS:
        return text, "size"
    return text, "lines" if span.is_whole else "quotes"


def _sorted_out(names: Sequence[str], found: pl.DataFrame, proven: bool) -> Records:
    """Split what can be split into as many fields as there are names."""
    fault = pl.col("unreadable")
    if proven:
        fault = pl.when(fault != "lines").then(fault)
    wrong_width = pl.when(_width() != len(names)).then(pl.lit("fields"))
    found = found.with_columns(unreadable=pl.coalesce(fault, wrong_width))
    readable = found.filter(pl.col("unreadable").is_null())
    rows = pl.concat([_fields(names, readable["raw_line"]), readable.select(list(_NUMBERS))], how="horizontal")
    return Records(
        rows=rows.sort("raw_row"),
        broken=found.filter(pl.col("unreadable").is_not_null()).sort("raw_row"),
    )


def _width() -> pl.Expr:
    """Number of fields of a well-formed record."""
    return pl.col("raw_line").str.replace_all('"[^"]*"', "").str.count_matches(",", literal=True) + 1


def _fields(names: Sequence[str], records: pl.Series) -> pl.DataFrame:
    """The fields of well-formed records of the right width, blank ones null."""
    if records.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    # The comma in front makes a field of its own, so that no record looks like a blank line.
    file = BytesIO()
    records.to_frame().select(pl.lit(""), pl.all()).write_csv(file, include_header=False, quote_style="never")
    file.seek(0)
    fields = pl.read_csv(file, has_header=False, infer_schema=False, null_values="")
    return fields.drop(fields.columns[0]).rename(dict(zip(fields.columns[1:], names, strict=True)))
