"""A stack with something to back up, and what to do and ask with it."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from include.lifecycle.operations.backup import Origin
from include.lifecycle.operations.backup_records import BackupSettings
from include.lifecycle.operations.dumps import (
    PostgresServer,
)
from include.lifecycle.storage.lake import Lake, RunInfo

NOW = datetime(2026, 3, 10, 3, 5, 7, tzinfo=UTC)
DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(9)]
FEATURES, RAW = "features/customers", "raw/customers/customers"


def publish(lake: Lake, prefix: str, day: date, run: RunInfo, folder: Path, note: str = "") -> None:
    frame = pl.DataFrame({"x": [prefix, str(day), note]})
    lake.publish_frame(prefix, day, frame, run=run, scratch=folder)


def execute(server: PostgresServer, database: str, statement: str) -> list[Any]:
    with closing(server.connect(database)) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def wanted(*databases: str, **changes: Any) -> BackupSettings:
    return BackupSettings(databases=databases, artifacts="", **changes)


def contents(bucket: Lake) -> dict[str, bytes | None]:
    return {key: bucket.read_object(key) for key in bucket.keys("")}


def silent(*_: Any) -> None:
    pass


def elsewhere(origin: Origin) -> Origin:
    """An empty stack beside it."""
    suffix = uuid.uuid4().hex[:6]
    client = origin.lake.client
    lake, artifacts = Lake(client, f"new-lake-{suffix}"), Lake(client, f"new-models-{suffix}")
    return Origin(lake, artifacts, origin.server, origin.fernet_key, "test")
