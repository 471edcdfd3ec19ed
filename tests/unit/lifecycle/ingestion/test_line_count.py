"""How many rows a file holds by its lines."""

from __future__ import annotations

import codecs
import tracemalloc
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.lifecycle.ingestion import line_count
from include.lifecycle.ingestion.line_count import BYTE_ORDER_MARKS, count_data_lines

PIECES = st.lists(st.sampled_from(["\n", "\r", "\r\n", "a", ",", "\u0a0d", "\u0d0a", "\U0001f40d", "\x85"]))


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


def count_at_once(content: bytes) -> int:
    """What `count_data_lines` counts, from the whole file at once."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            content = content[len(mark) :].decode(encoding, "replace").encode()
            break
    lines = content.splitlines()
    filled = [number for number, line in enumerate(lines) if line]
    if not filled:
        return 0
    return len(filled) - 1 if b"," in lines[filled[0]] else len(lines) - filled[0] - 1


def count_in_blocks(content: bytes, characters: int) -> int:
    with NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        file.write(content)
        file.flush()
        patch.setattr(line_count, "_BLOCK_CHARACTERS", characters)
        return count_data_lines(Path(file.name))


@given(
    mark=st.sampled_from(sorted(BYTE_ORDER_MARKS)),
    pieces=PIECES,
    cut=st.binary(max_size=3),
    size=st.integers(1, 4),
)
@example(mark=codecs.BOM_UTF8, pieces=["a", "\r\n", "\r", "\n"], cut=b"", size=2)
def test_blocks_of_any_size_give_the_same_count(mark: bytes, pieces: list[str], cut: bytes, size: int) -> None:
    content = mark + "".join(pieces).encode(BYTE_ORDER_MARKS[mark]) + cut

    assert count_in_blocks(content, size) == count_at_once(content)


@given(
    content=st.lists(st.sampled_from([b"\n", b"\r", b",", b"a", b"\xff", b"\xfe", b"\0"])), size=st.integers(1, 4)
)
def test_blocks_of_any_bytes_give_the_same_count(content: list[bytes], size: int) -> None:
    assert count_in_blocks(b"".join(content), size) == count_at_once(b"".join(content))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("offset", range(-3, 4))
def test_a_line_end_may_lie_anywhere_in_a_large_file(encoding: str, offset: int) -> None:
    lines = ("x" * (8192 + offset) + "\r\n\r\n\U0001f40d\r\n") * 20
    content = f"\ufeffa,b\r\n{lines}".encode(encoding)

    assert count_in_blocks(content, 64 * 1024) == 40


@pytest.mark.parametrize("content", [b"\n" * 2**22, b"a,b\n" + b",\n" * 2**21, b"x" * 2**22])
def test_a_large_file_takes_no_more_memory_than_a_small_one(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    tracemalloc.start()
    try:
        count_data_lines(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2 * 2**20
