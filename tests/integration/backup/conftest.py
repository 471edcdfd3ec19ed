"""A stack to back up: a lake, model files and two databases on real servers, and a bucket for the backups."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from include.lifecycle.operations.backup import Origin
from include.lifecycle.operations.backup_store import Store
from include.lifecycle.operations.dumps import (
    PROGRAMS_FOLDER,
    PostgresServer,
)
from include.lifecycle.storage.lake import Lake, RunInfo
from include.stack.postgres import binary
from tests.integration.backup.stacks import DAYS, FEATURES, RAW, execute, publish


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAMS_FOLDER, str(binary("pg_dump").parent))


@pytest.fixture
def server(postgres_server: Any) -> PostgresServer:
    address = urlparse(postgres_server.get_uri())
    [socket] = parse_qs(address.query)["host"]
    return PostgresServer({"host": socket, "user": "postgres"})


@pytest.fixture
def databases(server: PostgresServer) -> Iterator[tuple[str, str]]:
    """Two databases with a table of one row."""
    made = (f"one_{uuid.uuid4().hex[:8]}", f"two_{uuid.uuid4().hex[:8]}")
    for name in made:
        execute(server, "postgres", f"CREATE DATABASE {name}")
        execute(server, name, "CREATE SCHEMA ml; CREATE TABLE ml.ledger (entry text); COMMIT")
        execute(server, name, "INSERT INTO ml.ledger VALUES ('first')")
    yield made
    for name in made:
        execute(server, "postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def origin(lake: Lake, server: PostgresServer, run: RunInfo, tmp_path: Path) -> Origin:
    """A lake with a day of each of some prefixes, a pointer to the newest, and a model file."""
    for prefix in (FEATURES, RAW):
        for day in DAYS:
            publish(lake, prefix, day, run, tmp_path)
    lake.write_object("predictions/churn/latest.json", b'{"day": "2026-03-09"}')
    artifacts = Lake(lake.client, f"{lake.bucket}-models")
    lake.client.create_bucket(Bucket=artifacts.bucket)
    model = tmp_path / "model.skops"
    model.write_bytes(os.urandom(9_000_000))
    artifacts.upload(model, "1/model.skops")
    return Origin(lake, artifacts, server, fernet_key="key", code_version="test")


@pytest.fixture
def store(lake: Lake) -> Store:
    return Store(Lake(lake.client, f"{lake.bucket}-backup"))
