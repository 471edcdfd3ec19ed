"""How many rows a raw file holds by its lines alone, so that nothing a parser swallows can go unnoticed."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

BYTE_ORDER_MARKS = {
    # UTF-32 first: its little-endian mark starts with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
}
_BLOCK_CHARACTERS = 64 * 1024


def count_data_lines(path: Path) -> int:
    r"""Lines after the header, which end with \n, \r\n or \r, or with the file.

    Blank lines do not count, except where the header has one column: there a blank line is a missing value. The
    file is read block by block, so that the largest takes no more memory than a small one.
    """
    ends = filled = 0
    has_comma, last = False, "\n"
    for block in _blocks(path):
        text = block if filled else block.lstrip("\n")
        if not text:
            continue
        if not ends:
            has_comma = has_comma or "," in text.partition("\n")[0]
        pieces = text.split("\n")
        goes_on = last != "\n" and text[0] != "\n"
        ends += len(pieces) - 1
        filled += sum(map(bool, pieces)) - goes_on
        last = text[-1]
    if not filled:
        return 0
    return filled - 1 if has_comma else ends + (last != "\n") - 1


def _blocks(path: Path) -> Iterator[str]:
    r"""The file as text, with \n at the end of each line; bytes without a mark stand for one character each."""
    with path.open("rb") as file:
        start = file.read(len(codecs.BOM_UTF32_LE))
        mark = next((mark for mark in BYTE_ORDER_MARKS if start.startswith(mark)), b"")
        file.seek(len(mark))
        encoding = BYTE_ORDER_MARKS.get(mark, "utf-8")
        # No byte of a longer UTF-8 character is a line end or a comma.
        text = TextIOWrapper(file, "latin-1" if encoding == "utf-8" else encoding, "replace")
        while block := text.read(_BLOCK_CHARACTERS):
            yield block
