"""Which failures are retried."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from include.lifecycle.failures import LOCAL_FILE_ERRORS, data_errors
from include.lifecycle.lake import LakeError

# The first rule that fits counts: a missing file is an OSError, and some errors of networks are a ValueError.
RETRY_OUTAGES = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            list(LOCAL_FILE_ERRORS),
            RetryAction.FAIL,
            reason="A local file is missing or cannot be read, so a retry would fail again.",
        ),
        RetryRule(OSError, RetryAction.DEFAULT, reason="A service is out of reach."),
        RetryRule(
            [*data_errors(), LakeError],
            RetryAction.FAIL,
            reason="The data or the settings are wrong, so a retry would fail again.",
        ),
    ]
)
