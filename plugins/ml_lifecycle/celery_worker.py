"""What a Celery worker imports before it forks its processes (`imports` in Celery's configuration).

The heavy libraries, so that tasks start at once; and a sign of life for the container's health check, which is
cheaper than asking every worker by way of the broker.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from celery.signals import heartbeat_sent

from ml_lifecycle import warm_workers

HEARTBEAT = Path(tempfile.gettempdir()) / "worker-heartbeat"

warm_workers.import_libraries()


@heartbeat_sent.connect
def show_life(**_: Any) -> None:
    """Touch the file whenever the worker has sent a heartbeat to the broker."""
    HEARTBEAT.touch()
