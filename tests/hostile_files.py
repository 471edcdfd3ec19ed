"""Files that nobody should send and somebody will: a generator, and a count of their rows that parses nothing."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

from hypothesis import strategies as st

COLUMNS = ("id", "name", "amount", "pieces", "ratio", "paid", "on")
Cells = Mapping[str, tuple[str, ...]]
CELLS: Cells = {
    "id": (
        *("a1", "a2", "a3", "A1", "b 7", "", " ", " a1", "a1\u00a0", "a\u200b1", "\ufeffa1", "\uff411", "a\ufffd"),
        *("cafe\u0301", "caf\u00e9", "a\x07", "\\.", "\\N", "=1+1", "x" * 3000, "\u5ba2" * 900),
    ),
    "name": (
        *("", "north", 'say "so"', "a,b", "two\nlines", "two\r\nlines", "\\.", "a\n\\.\nb", "\x1a", "NULL", "'"),
        "\u2028",
    ),
    "amount": ("1.5", "-0", "1e308", "1e999", "nan", "inf", "5e-324", "", "many", "\u0665", "1,5", " 2 "),
    "pieces": ("1", str(2**63 - 1), str(2**63), str(-(2**63)), "1.0", "", "0x1", "1_000"),
    "ratio": ("0.5", "1e38", "1e39", "1e-45", "1e-60", "", "-inf"),
    "paid": ("true", "f", "1", "yes", "", "TRUE"),
    "on": (
        *("2026-03-01", "0001-01-01", "9999-12-31", "10000-01-01", "+10000-01-01", "0000-01-01", "-0044-03-15"),
        *("", "infinity", "2026-02-30", "2026-3-5", "today"),
    ),
}
ENDS = ("\n", "\r\n", "\r")
NOISE = ("", '"', '""', '",', ',"', "\0", "\n", "\r", ",", "\ufeff", "\\", " ", "\ud800", "\x85", "\x0b", "'")
ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


IDS = st.integers(0, 10_000).map("id{}".format)


@st.composite
def hostile_files(draw: st.DrawFn, cells: Cells = CELLS, keys: st.SearchStrategy[str] = IDS) -> bytes:
    """The bytes of a file with the columns of `cells`: mostly such a table, with anything wrong with it.

    The first two of a column's cells are as they should be; the first column mostly has one of `keys`.
    """
    ends = st.sampled_from(ENDS) if draw(st.booleans()) else st.just(draw(st.sampled_from(ENDS)))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    lines = [draw(_headers(tuple(cells))), *draw(st.lists(_lines(cells, keys, quoting), max_size=25))]
    text = "".join(line + draw(ends) for line in lines)
    if draw(_rarely()):
        text = text[: draw(st.integers(0, len(text)))]
    content = _encoded(text, draw(st.sampled_from(ENCODINGS)) if draw(_rarely()) else "utf-8")
    return _damaged(draw, content) if draw(_rarely()) else content


def data_lines(content: bytes) -> list[tuple[int, str]]:
    """Number from 1 and text of each line after the header, blank ones left out; bad bytes are escaped."""
    lines = re.split("\r\n|\r|\n", _decoded(content))
    filled = [(number, line) for number, line in enumerate(lines, 1) if line]
    return filled[1:]


def _rarely() -> st.SearchStrategy[bool]:
    return st.sampled_from([False] * 5 + [True])


@st.composite
def _headers(draw: st.DrawFn, columns: tuple[str, ...]) -> str:
    header = ",".join(columns)
    if not draw(_rarely()):
        return header
    others = [
        ",".join(columns[:-1]),
        f"{header},{columns[0]}",
        header + ",more",
        header + ",",
        header.upper(),
        '"' + header,
    ]
    others += ['"' + '","'.join(columns) + '"', header.replace(columns[0], "raw_row")]
    return draw(st.sampled_from(["", "\0", *others]))


@st.composite
def _lines(draw: st.DrawFn, cells: Cells, keys: st.SearchStrategy[str], quoting: int) -> str:
    is_odd = draw(st.booleans())
    fields = [draw(st.sampled_from(known if is_odd else known[:2])) for known in cells.values()]
    if not draw(_rarely()):
        fields[0] = draw(keys)
    line = _written(fields, quoting)
    match draw(st.sampled_from(["whole"] * 8 + ["cut", "noise", "blank", "widened", "giant", "text"])):
        case "cut":
            return line[: draw(st.integers(0, len(line)))]
        case "noise":
            at = draw(st.integers(0, len(line)))
            return line[:at] + draw(st.sampled_from(NOISE)) + line[at:]
        case "blank":
            return draw(st.sampled_from(["", " ", ",", '""', "\t"]))
        case "widened":
            return line + draw(st.sampled_from([",", ",1", ',"', ',"x"']))
        case "giant":
            return line.replace(fields[0], "g" * draw(st.sampled_from([2000, 99_000, 200_000])), 1)
        case "text":
            return draw(st.text(max_size=40))
    return line


def _written(cells: list[str], quoting: int) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="").writerow(cells)  # type: ignore[arg-type]
    return text.getvalue()


def _encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 3)) :]


def _decoded(content: bytes) -> str:
    for mark, encoding in (
        (b"\xff\xfe\0\0", "utf-32-le"),
        (b"\0\0\xfe\xff", "utf-32-be"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
        (b"\xef\xbb\xbf", "utf-8"),
    ):
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "backslashreplace")
    return content.decode("utf-8", "backslashreplace")
