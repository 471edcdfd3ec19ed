"""Which failures lie in a day's data, which in data or settings at all, and which are outages.

A retry of what lies in the data would fail again; what lies in one day's data stops no other day.
"""

from __future__ import annotations

import csv
import errno
import gzip
import lzma
import shutil
import struct
import zipfile
import zlib

from include.lifecycle.shown import visible

LOCAL_FILE_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""An OSError like an outage's, but a file that is missing now is missing in a minute, too."""
_BROKEN_FILE_ERRORS = (
    *LOCAL_FILE_ERRORS,
    shutil.SpecialFileError,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    csv.Error,
    struct.error,
)
# An OSError without a class of its own: a loop of links, a name that is too long, a socket in place of a file.
_LOCAL_FILE_ERROR_NUMBERS = {errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}


def _data_errors() -> tuple[type[Exception], ...]:
    """Raised for wrong data or settings; some errors of networks are among them, but are an OSError as well."""
    # Specs are light to import; these are not.
    from polars.exceptions import PolarsError
    from psycopg2 import DataError, ProgrammingError

    return (ValueError, TypeError, LookupError, ArithmeticError, PolarsError, DataError, ProgrammingError)


def lies_in_the_data(error: BaseException) -> bool:
    """Whether an error says that data or settings are wrong, and not that a service is out of reach."""
    return _lies_in_a_file(error) or (not isinstance(error, OSError) and isinstance(error, _data_errors()))


def lies_in_a_days_data(error: Exception) -> bool:
    """Whether an error of a source says that what it has of a day is wrong.

    Missing grants and tables, faults of the code and outages concern every day, so they fail the task instead.
    """
    from polars.exceptions import PolarsError
    from psycopg2 import DataError

    in_data = (ValueError, OverflowError, PolarsError, DataError)
    return _lies_in_a_file(error) or (not isinstance(error, OSError) and isinstance(error, in_data))


def _lies_in_a_file(error: BaseException) -> bool:
    """Whether a file is missing, damaged, or none that can be read."""
    if isinstance(error, _BROKEN_FILE_ERRORS):
        return True
    return isinstance(error, OSError) and error.errno in _LOCAL_FILE_ERROR_NUMBERS


def one_line(error: BaseException) -> str:
    """What an error says, or else its name, to stand within a sentence."""
    return visible(" ".join(str(error).split()).removesuffix(".")) or type(error).__name__
