"""How many rows a raw file holds by its lines alone, so that nothing a parser swallows can go unnoticed."""

from __future__ import annotations

import codecs
from pathlib import Path

BYTE_ORDER_MARKS = {
    # UTF-32 first: its little-endian mark starts with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
}


def count_data_lines(path: Path) -> int:
    r"""Lines after the header, which end with \n, \r\n or \r, or with the file.

    Blank lines do not count, except where the header has one column: there a blank line is a missing value.
    """
    lines = _as_utf8(path.read_bytes()).splitlines()
    filled = [number for number, line in enumerate(lines) if line]
    if not filled:
        return 0
    has_one_column = b"," not in lines[filled[0]]
    return len(lines) - filled[0] - 1 if has_one_column else len(filled) - 1


def _as_utf8(content: bytes) -> bytes:
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            body = content[len(mark) :]
            return body if encoding == "utf-8" else body.decode(encoding, "replace").encode("utf-8", "replace")
    return content
