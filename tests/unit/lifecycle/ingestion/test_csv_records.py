"""Every line of a file is in a row or in a broken record."""

from __future__ import annotations

import csv
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings

from include.lifecycle.ingestion.csv_records import (
    MAX_RECORD_CHARACTERS,
    Records,
    UnreadableFileError,
    read_records,
)
from tests.hostile_files import data_lines, hostile_files

ROWS = [f"c{number},{number}" for number in range(1, 1001)]


def rows(content: bytes, counted: int | None = None) -> list[tuple[str | None, ...]]:
    return read_records(content, counted).rows.drop("raw_row", "raw_lines").rows()


def broken(content: bytes) -> list[tuple[int, int, str, str]]:
    """First line, number of lines, text and fault of each broken record."""
    return read_records(content).broken.rows()


def with_lines(**lines: str) -> bytes:
    """A thousand good rows under a header, with some replaced: `row12` is the twelfth."""
    changed = ROWS.copy()
    for name, line in lines.items():
        changed[int(name.removeprefix("row")) - 1] = line
    return "\n".join(["id,amount", *changed, ""]).encode()


def test_what_a_stray_pair_of_quotes_swallows_is_one_broken_record_of_all_its_lines() -> None:
    content = with_lines(row12='"c12,12', row800='c800",800')

    assert rows(content) == [tuple(row.split(",")) for row in (*ROWS[:11], *ROWS[800:])]
    [(first, lines, text, fault)] = broken(content)
    assert (first, lines, fault) == (13, 789, "lines")
    assert text.splitlines() == content.decode().splitlines()[12:801]


def test_what_a_quote_that_is_never_closed_swallows_is_one_broken_record_to_the_end() -> None:
    content = with_lines(row990='c990,"990')

    assert len(rows(content)) == 989
    [(first, lines, text, fault)] = broken(content)
    assert (first, lines, fault) == (991, 11, "quotes")
    assert text.splitlines() == content.decode().splitlines()[990:]


def test_a_quote_that_is_never_closed_ends_at_the_next_line_with_quotes_of_its_own() -> None:
    content = b'a,b\n"x,1\n"y",2\n"z",3\n'

    assert broken(content) == [(2, 2, '"x,1\n"y",2', "quotes")]
    assert rows(content) == [("z", "3")]


def test_blank_lines_inside_a_broken_record_are_kept_and_not_counted() -> None:
    assert broken(b'a,b\n"x\n\n\ny",1\n') == [(2, 2, '"x\n\n\ny",1', "lines")]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"1", "fields"),
        (b"1,2,3", "fields"),
        (b",", None),
        (b'"1,2"', "fields"),
        (b'1,"2"x', "quotes"),
        (b'1,2"', "quotes"),
        (b'1, "2"', "quotes"),
        (b'1,"2"""', None),
        (b"1,\x00", "nul"),
        (b"1,caf\xe9", "bytes"),
        (b"1,\xed\xa0\x80", "bytes"),
        (b"1," + b"x" * MAX_RECORD_CHARACTERS, "size"),
        (b"1," + "\u00e9".encode() * (MAX_RECORD_CHARACTERS - 2), None),
    ],
)
def test_a_broken_record_takes_no_other_with_it(line: bytes, fault: str | None) -> None:
    content = b"a,b\ngood,1\n" + line + b"\ngood,3\n"

    faults = [(row, lines, found) for row, lines, _, found in broken(content)]

    assert faults == ([(3, 1, fault)] if fault else [])
    assert len(rows(content)) == (2 if fault else 3)


def test_bytes_that_are_not_utf_8_are_kept_as_escapes() -> None:
    assert broken(b"a,b\n1,caf\xe9\n") == [(2, 1, "1,caf\\xe9", "bytes")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
def test_lines_may_end_in_any_way(end: str, last: str) -> None:
    content = end.join(["a,b", "1,2", "3,4"]) + (end if last else "")

    assert rows(content.encode()) == [("1", "2"), ("3", "4")]


def test_lines_may_end_in_different_ways() -> None:
    assert rows(b"a,b\r\n1,2\r3,4\n5,\x0b\x1c6") == [("1", "2"), ("3", "4"), ("5", "\x0b\x1c6")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_says_how_to_read(encoding: str) -> None:
    assert rows("\ufeffa,b\r\n\u010a,2\r\n".encode(encoding)) == [("\u010a", "2")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header: the file is empty"),
        (b"\n\r\n", "has no header: the file is empty"),
        ("a,b\n1,2\n".encode("utf-16-le"), "has NUL characters in its header, line 1, as UTF-16 without"),
        ("\ufeffa,b\n1,2\n3".encode("utf-16-le") + b"\x00", "is not UTF-16-LE, .*, in line 3"),
        (b"caf\xe9,b\n", r"bytes that are not UTF-8 in its header, line 1: 'caf\\\\xe9,b'"),
        (b'\n"a,b\n1,2\n', "has a header, line 2, that is not a line of CSV"),
        (
            ",".join(f"c{number}" for number in range(1_001)).encode(),
            "has 1,001 columns, and 1,000 are read at most",
        ),
        (b"a,b,a\n", "repeats the column a in its header"),
        (b"1,2,3,4,5,6,7," * 2, "repeats the columns 1, 2, 3, 4, 5 and 2 more in its header"),
        (b"a,raw_row\n", "has the column raw_row in its header, which validation itself uses"),
    ],
)
def test_a_file_that_is_no_table_says_why_and_where(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        read_records(content)


def test_blank_lines_are_no_records_but_under_one_column_missing_values() -> None:
    assert rows(b"\na,b\n\n1,2\n\n") == [("1", "2")]
    assert rows(b'a\n1\n\n""\n') == [("1",), (None,), (None,)]


def test_a_value_of_several_lines_is_good_where_the_source_counted_as_many_rows() -> None:
    content = b'a,b\n1,"two\r\nlines"\n3,4\n'

    assert rows(content, counted=2) == [("1", "two\r\nlines"), ("3", "4")]
    assert rows(content, counted=3) == [("3", "4")]


def test_what_is_hard_to_read_takes_no_longer_than_its_length() -> None:
    hard = [b'"' + b'""' * 2_000_000, b'"a",' * 500_000 + b'"', b'"' + b"x,\n" * 500_000, b'x"\n' * 100_000]

    start = time.perf_counter()
    for body in hard:
        read_records(b"a,b\n" + body)

    assert time.perf_counter() - start < 20


MEMORY_PER_BYTE = """
import resource, sys
from include.lifecycle.ingestion.csv_records import read_records

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def content(size):
    return b"id,on,amount\\n" + b"customer-0001,2026-03-01,12.5\\n" * (size // 30)

read_records(content(2**20))
before = peak()
read_records(content(30 * 2**20))
print((peak() - before) / (30 * 2**20))
"""


def test_ordinary_rows_take_a_few_times_the_memory_of_their_file() -> None:
    """In a process of its own: Polars' memory is not Python's."""
    found = subprocess.run([sys.executable, "-c", MEMORY_PER_BYTE], capture_output=True, text=True, check=True)

    assert float(found.stdout) < 13


HOSTILE_LINES = {
    "bad bytes": b"\xff,1",
    "bad bytes and a stray quote": b'\xff"x,1',
    "a stray quote": b'x"y,1',
    "a pair over two lines": b'"x\ny",1',
    "a pair over two lines with bad bytes": b'"\xff\ny",1',
    "a quote never closed": b'"x,1',
    "nul": b"\0,1",
    "another width": b"1,2,3",
    "all in turn": b'\xff"x,1\n\0,1\n1\n"x\ny",2\nx"y,1\n\n1,2',
}


@pytest.mark.parametrize("line", HOSTILE_LINES.values(), ids=HOSTILE_LINES)
def test_twice_as_many_hostile_lines_take_about_twice_as_long(line: bytes) -> None:
    def seconds(count: int) -> float:
        content = b"a,b\n" + (line + b"\n") * (count // len(line.splitlines()))
        start = time.process_time()
        read_records(content)
        return time.process_time() - start

    seconds(1000)
    once = min(seconds(10_000) for _ in range(3))
    twice = min(seconds(20_000) for _ in range(3))

    assert twice < 3 * once + 0.05


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=hostile_files())
def test_each_line_is_a_row_by_itself_or_in_a_broken_record(content: bytes) -> None:
    try:
        records = read_records(content)
    except UnreadableFileError:
        return

    lines = data_lines(content)
    rows = records.rows.drop("raw_lines").rows()
    broken = lines_of_broken_records(records, [number for number, _ in lines])
    assert sorted([*broken, *(row[-1] for row in rows)]) == [number for number, _ in lines]
    texts = dict(lines)
    for *fields, number in rows:
        assert next(csv.reader([texts[number]], strict=True)) == [field or "" for field in fields]
    for row, _, text, fault in records.broken.rows():
        assert text.startswith(texts[row])
        assert fault


def lines_of_broken_records(records: Records, numbers: list[int]) -> list[int]:
    taken = []
    for row, count in records.broken.select("raw_row", "raw_lines").iter_rows():
        start = numbers.index(row)
        taken += numbers[start : start + count]
    return taken
