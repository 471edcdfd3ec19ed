"""How many rows a file holds by its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.lifecycle.line_count import count_data_lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", 0),
        (b"a,b\n", 0),
        (b"a,b\n1,2\n3,4\n", 2),
        (b"a,b\n1,2\n3,4", 2),
        (b"a,b\r\n1,2\r\n", 1),
        (b"a,b\r1,2\r3,4\r", 2),
        (b"a,b\r\n1,2\r3,4\n5,6", 3),
        (b"\n\na,b\n\n1,2\n\n", 1),
        (b"a\n\n1\n\n", 3),
        (b'a,b\n"1,2\n3,4\n', 2),
        (b"a,b\n\x00\n\xff,\xfe\n", 2),
        (b"\xef\xbb\xbfa,b\n1,2\n", 1),
        (b"\xef\xbb\xbf", 0),
        ("a,b\n1,\u2028\x85\x0b\n".encode(), 1),
        ("\ufeffa,b\r\n1,2\r\n\u010a,4\r\n".encode("utf-16-le"), 2),
        ("\ufeffa,b\n1,2\n".encode("utf-32-be"), 1),
        ("\ufeffa,b\n1,2\n".encode("utf-16-le") + b"\x0a", 2),
    ],
)
def test_lines_after_the_header_are_counted_whatever_is_in_them(
    content: bytes, lines: int, tmp_path: Path
) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(content)

    assert count_data_lines(file) == lines
