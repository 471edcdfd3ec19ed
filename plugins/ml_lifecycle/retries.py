"""Which failures are retried."""

from __future__ import annotations

from airflow.sdk import Context, RetryDecision, RetryPolicy

from include.lifecycle.failures import lies_in_the_data
from include.lifecycle.storage.lake import LakeError


class RetryOutages(RetryPolicy):
    """Fail at once where a retry would fail again, and leave all else to the task's number of retries."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Whether the failure lies in data, settings or files, of which an outage is none."""
        if isinstance(exception, LakeError) or lies_in_the_data(exception):
            return RetryDecision.fail("The data, a file or the settings are wrong, so a retry would fail again.")
        return RetryDecision.default()


RETRY_OUTAGES = RetryOutages()
