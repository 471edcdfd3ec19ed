"""What all DAGs share: retries that tell an outage from bad data, and who is notified of a failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

from ml_lifecycle.links import SHOWN_REPORT
from ml_lifecycle.retries import RETRY_OUTAGES
from ml_lifecycle.run_notes import CAUSE_KEY, one_line

HEAVY_POOL = "heavy"


def notify_of_failure(context: dict[str, Any]) -> None:
    """Notify that a task failed for good, in the log and at the webhook, and keep the cause for the run's note."""
    from include.lifecycle.notifications import notify
    from ml_lifecycle.hooks import notification_webhook

    instance = context["task_instance"]
    cause = one_line(str(context.get("exception") or "no reason is known"))
    instance.xcom_push(CAUSE_KEY, cause)
    notify(
        f"{instance.dag_id}.{instance.task_id} failed in run {instance.run_id}: {cause} {_addresses(context)}",
        notification_webhook(),
    )


def _addresses(context: dict[str, Any]) -> str:
    """Where the log is, and the page of the report where the task made one."""
    log = context["task_instance"].log_url
    page = context.get(SHOWN_REPORT)
    return f"Log: {log}" + (f" Page: {urljoin(log, page)}" if page else "")


DEFAULTS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": RETRY_OUTAGES,
    "on_failure_callback": notify_of_failure,
}
