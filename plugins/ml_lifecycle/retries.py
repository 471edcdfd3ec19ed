"""Which failures are worth another try."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from polars.exceptions import PolarsError
from psycopg2 import DataError, ProgrammingError

from include.lifecycle.lake import LakeError

_PYTHON = (ValueError, TypeError, LookupError, ArithmeticError)

# Rules are tried in order: a missing file is an OSError as well, and some errors of the network are a ValueError.
RETRY_OUTAGES = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            [FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError],
            RetryAction.FAIL,
            reason="A local file is missing or cannot be read, so trying again would fail again.",
        ),
        RetryRule(OSError, RetryAction.DEFAULT, reason="A service is out of reach."),
        RetryRule(
            [
                ValueError,
                TypeError,
                LookupError,
                ArithmeticError,
                PolarsError,
                LakeError,
                DataError,
                ProgrammingError,
            ],
            RetryAction.FAIL,
            reason="The data or the settings are wrong, so trying again would fail again.",
        ),
    ]
)
