"""Which failures lie in a day's data, which in data or settings at all, and which are outages.

A retry of what lies in the data would fail again; what lies in one day's data stops no other day.
"""

from __future__ import annotations

LOCAL_FILE_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""An OSError like an outage's, but a file that is missing now is missing in a minute, too."""


def data_errors() -> tuple[type[Exception], ...]:
    """Raised for wrong data or settings; some errors of networks are among them, but are an OSError as well."""
    # Specs are light to import; these are not.
    from polars.exceptions import PolarsError
    from psycopg2 import DataError, ProgrammingError

    return (ValueError, TypeError, LookupError, ArithmeticError, PolarsError, DataError, ProgrammingError)


def lies_in_the_data(error: Exception) -> bool:
    """Whether an error says that data or settings are wrong, and not that a service is out of reach."""
    if isinstance(error, OSError):
        return isinstance(error, LOCAL_FILE_ERRORS)
    return isinstance(error, data_errors())


def lies_in_a_days_data(error: Exception) -> bool:
    """Whether an error of a source says that what it has of a day is wrong.

    Missing grants and tables, faults of the code and outages concern every day, so they fail the task instead.
    """
    from polars.exceptions import PolarsError
    from psycopg2 import DataError

    if isinstance(error, OSError):
        return isinstance(error, LOCAL_FILE_ERRORS)
    return isinstance(error, (ValueError, PolarsError, DataError))


def one_line(error: Exception) -> str:
    """What an error says, or else its name, to stand within a sentence."""
    return " ".join(str(error).split()).removesuffix(".") or type(error).__name__
