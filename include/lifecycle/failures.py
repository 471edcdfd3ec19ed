"""Which failures lie in the data or the settings, so that a retry would fail again, and which are outages."""

from __future__ import annotations

from polars.exceptions import PolarsError
from psycopg2 import DataError, ProgrammingError

LOCAL_FILE_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""An OSError like an outage's, but a file that is missing now is missing in a minute, too."""

DATA_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, PolarsError, DataError, ProgrammingError)
"""Raised for wrong data or settings, except where they are an OSError as well, as some errors of networks are."""


def lies_in_the_data(error: Exception) -> bool:
    """Whether an error says that data or settings are wrong, and not that a service is out of reach."""
    if isinstance(error, OSError):
        return isinstance(error, LOCAL_FILE_ERRORS)
    return isinstance(error, DATA_ERRORS)
