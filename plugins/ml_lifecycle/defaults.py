"""What all DAGs share: retries that tell an outage from bad data, time limits, who is notified of a failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowTaskTimeout

from include.lifecycle.failures import one_line
from ml_lifecycle.links import SHOWN_REPORT
from ml_lifecycle.retries import RETRY_OUTAGES
from ml_lifecycle.run_notes import CAUSE_KEY, NO_CAUSE, shortened

HEAVY_POOL = "heavy"

# A try that takes longer hangs, and would keep its slot of the pool for ever; it is ended, and tried again.
TIMEOUT = timedelta(hours=2)
HEAVY: dict[str, Any] = {"pool": HEAVY_POOL, "execution_timeout": timedelta(hours=6)}
"""Of a task that keeps the cores busy: as many at a time as the pool has slots, and for longer than others."""
TRAINING: dict[str, Any] = {"pool": HEAVY_POOL, "execution_timeout": timedelta(hours=24)}
"""Of a task that tunes and fits, which takes as long as the form's budget of trials says."""


def notify_of_failure(context: dict[str, Any]) -> None:
    """Notify that a task failed for good, and keep the cause for the run's note.

    Where the task's process is gone, the DAG processor calls this, without an exception. It has no XComs: it would
    wait for an answer until it is killed, and the DAGs of the file would be gone with it.
    """
    from include.lifecycle.reporting.notifications import Notification
    from ml_lifecycle.hooks import notify

    instance, exception = context["task_instance"], context.get("exception")
    cause = NO_CAUSE if exception is None else shortened(_cause(context, exception))
    if exception is not None:
        instance.xcom_push(CAUSE_KEY, cause)
    notify(Notification(f"{instance.dag_id}.{instance.task_id} failed", cause, _links(context)))


def notify_of_deadline(context: dict[str, Any]) -> None:
    """Notify that a run has not ended by its deadline; `context` has the plain values that a deadline gives."""
    from include.lifecycle.reporting.notifications import Notification
    from ml_lifecycle.hooks import notify
    from ml_lifecycle.runs import run_url

    run, due = context["dag_run"], context["deadline"]["deadline_time"]
    reason = f"The run should have ended by {due} and is {run['state']}. See which task it waits for."
    links = {"Run": run_url(run["dag_id"], run["dag_run_id"])}
    notify(Notification(f"{run['dag_id']} missed its deadline", reason, links))


def deadline(hours: float) -> DeadlineAlert:
    """People are notified where a run has not ended so many hours after it was queued."""
    return DeadlineAlert(
        DeadlineReference.DAGRUN_QUEUED_AT, timedelta(hours=hours), SyncCallback(notify_of_deadline)
    )


def _cause(context: dict[str, Any], exception: BaseException) -> str:
    if isinstance(exception, AirflowTaskTimeout):
        limit = context["task"].execution_timeout
        return f"It took longer than its limit of {limit} (hours:minutes:seconds) and was ended. See its log."
    return f"{one_line(exception)}."


def _links(context: dict[str, Any]) -> dict[str, str]:
    """The log, the page of the report where the task made one, and the run."""
    from ml_lifecycle.runs import run_url

    instance = context["task_instance"]
    page = context.get(SHOWN_REPORT)
    return {
        "Log": instance.log_url,
        **({"Page": urljoin(instance.log_url, page)} if page else {}),
        "Run": run_url(instance.dag_id, instance.run_id),
    }


DEFAULTS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": RETRY_OUTAGES,
    "execution_timeout": TIMEOUT,
    "on_failure_callback": notify_of_failure,
}
