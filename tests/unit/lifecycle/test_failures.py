"""Which failures lie in data, and how one is told."""

from __future__ import annotations

import csv
import errno
import gzip
import lzma
import shutil
import struct
import zipfile
import zlib

import pytest

from include.lifecycle.failures import lies_in_a_days_data, lies_in_the_data, one_line

OF_A_DAY = (
    FileNotFoundError("customers.csv"),
    shutil.SpecialFileError("a named pipe"),
    gzip.BadGzipFile("not a gzipped file"),
    zipfile.BadZipFile("not a zip file"),
    zlib.error("invalid stored block lengths"),
    lzma.LZMAError("corrupt input"),
    EOFError("compressed file ended before the end-of-stream marker"),
    csv.Error("line contains NUL"),
    struct.error("unpack requires 4 bytes"),
    OverflowError("date value out of range"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OSError(errno.ELOOP, "too many levels of symbolic links"),
    OSError(errno.ENAMETOOLONG, "file name too long"),
    OSError(errno.ENXIO, "no such device or address"),
)
OF_EVERY_DAY = (KeyError("churned_on"), TypeError("text"), ZeroDivisionError("division by zero"))
OF_NO_DATA = (
    OSError("no number"),
    OSError(errno.EIO, "input/output error"),
    ConnectionError(),
    TimeoutError(),
    RecursionError(),
    MemoryError(),
    AttributeError("no such attribute"),
)


def name(error: Exception) -> str:
    return f"{type(error).__name__} {error}"


@pytest.mark.parametrize("error", OF_A_DAY, ids=name)
def test_a_broken_file_lies_in_the_data_of_its_day(error: Exception) -> None:
    assert lies_in_a_days_data(error)
    assert lies_in_the_data(error)


@pytest.mark.parametrize("error", OF_EVERY_DAY, ids=name)
def test_a_fault_of_code_or_settings_lies_in_the_data_of_no_single_day(error: Exception) -> None:
    assert not lies_in_a_days_data(error)
    assert lies_in_the_data(error)


@pytest.mark.parametrize("error", OF_NO_DATA, ids=name)
def test_an_outage_lies_in_no_data(error: Exception) -> None:
    assert not lies_in_a_days_data(error)
    assert not lies_in_the_data(error)


def test_an_error_is_told_in_one_line_that_everything_can_store() -> None:
    told = one_line(ValueError("line 1\n has \0, \udcff and \u202e."))

    assert told == r"line 1 has \x00, \udcff and \u202e"
    assert told.encode()
    assert one_line(ValueError()) == "ValueError"
