"""Which failures are worth another try."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from polars.exceptions import PolarsError
from psycopg2 import DataError, ProgrammingError

from include.lifecycle.lake import LakeError

# An OSError comes first: some errors of the network are a ValueError as well.
RETRY_OUTAGES = ExceptionRetryPolicy(
    rules=[
        RetryRule(OSError, RetryAction.DEFAULT, reason="A service is out of reach."),
        RetryRule(
            [ValueError, TypeError, LookupError, PolarsError, LakeError, DataError, ProgrammingError],
            RetryAction.FAIL,
            reason="The data or the settings are wrong, so trying again would fail again.",
        ),
    ]
)
