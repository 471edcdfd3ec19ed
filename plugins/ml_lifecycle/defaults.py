"""What all DAGs share: retries that tell an outage from bad data, and who is told of a failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ml_lifecycle.retries import RETRY_OUTAGES

HEAVY_POOL = "heavy"


def tell_of_failure(context: dict[str, Any]) -> None:
    """Notify that a task failed for good: in the log, and at the webhook where one is configured."""
    from include.lifecycle.notifications import notify
    from ml_lifecycle.hooks import notification_webhook

    instance = context["task_instance"]
    notify(
        f"{instance.dag_id}.{instance.task_id} failed in run {instance.run_id}: {context.get('exception')}",
        notification_webhook(),
    )


DEFAULTS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": RETRY_OUTAGES,
    "on_failure_callback": tell_of_failure,
}
