"""The commands that bring a backup back, on the storage of two local stacks: PostgreSQL and S3."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest
from rich.console import Console

from include.lifecycle.operations import backup
from include.lifecycle.operations.backup import Origin
from include.lifecycle.operations.backup_records import BackupSettings
from include.lifecycle.operations.backup_store import Store
from include.lifecycle.operations.dumps import PROGRAMS_FOLDER, PostgresServer
from include.lifecycle.storage.lake import Lake, RunInfo
from include.stack import __main__ as stack
from include.stack import control, supervision
from include.stack.errors import StackError
from include.stack.postgres import binary
from include.stack.restore import Request
from include.stack.s3 import s3_client
from include.stack.services import DATABASE_ROLE
from include.stack.settings import Ports, StackSettings
from tests.conftest import free_port

DAY = date(2026, 3, 1)
QUIET = Console(quiet=True)


def execute(settings: StackSettings, database: str, statement: str) -> list[Any]:
    with closing(psycopg2.connect(settings.postgres_dsn(database))) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def new_stack(folder: Path, secrets: Mapping[str, str]) -> StackSettings:
    folder.mkdir()
    (folder / "secrets.json").write_text(json.dumps(dict(secrets)))
    return StackSettings(state_dir=folder, ports=Ports(*(free_port() for _ in range(4))))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackSettings]:
    """The storage of a stack with some data and two backups of it, from before and after a change."""
    settings = new_stack(tmp_path_factory.mktemp("stacks") / "old", {})
    with control.running(settings, supervision.STORAGE), pytest.MonkeyPatch.context() as environment:
        environment.setenv(PROGRAMS_FOLDER, str(binary("pg_dump").parent))
        lake, artifacts = (Lake(s3_client(settings), name) for name in settings.buckets.names())
        artifacts.write_object("1/model.skops", b"a model")
        run = RunInfo("test_run", datetime(2026, 3, 2, tzinfo=UTC), "test")
        frame = pl.DataFrame({"x": [1]})
        lake.publish_frame("features/x", DAY, frame, run=run, scratch=settings.state_dir)
        keywords = {"host": settings.postgres_address[0], "port": settings.ports.postgres, "user": DATABASE_ROLE}
        server = PostgresServer(keywords, settings.secrets.postgres_password)
        origin = Origin(lake, artifacts, server, settings.secrets.airflow_fernet_key, "test")
        wanted = BackupSettings(databases=settings.backed_up_databases, artifacts=artifacts.bucket)
        store = Store(Lake(s3_client(settings), settings.backup_bucket))
        execute(settings, "warehouse", "CREATE TABLE told (what text); INSERT INTO told VALUES ('early')")
        backup.back_up(origin, store, wanted, datetime(2026, 3, 2, tzinfo=UTC))
        execute(settings, "warehouse", "UPDATE told SET what = 'late'")
        backup.back_up(origin, store, wanted, datetime(2026, 3, 3, tzinfo=UTC))
        yield settings


@pytest.fixture
def new(old: StackSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    """An empty stack with the secrets of the old one, on whose S3 server the backups are."""
    secrets = old.secrets
    keys = {"backup_access_key": secrets.s3_access_key, "backup_secret_key": secrets.s3_secret_key}
    monkeypatch.setenv("ML_BACKUP_ENDPOINT", old.s3_endpoint)
    for name in ("FROM", "ONLY", "REPLACE", PROGRAMS_FOLDER):
        monkeypatch.setenv(name, "")
    return new_stack(tmp_path / "new", {**vars(secrets), **keys})


def test_the_newest_backup_comes_back_and_then_an_older_one_where_that_is_said(
    old: StackSettings, new: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # when
    stack.restore_backup(new, QUIET)

    # then
    with control.running(new, supervision.STORAGE):
        assert execute(new, "warehouse", "SELECT what FROM told") == [("late",)]
        for bucket in new.buckets.names():
            here, there = (Lake(s3_client(settings), bucket) for settings in (new, old))
            assert {key: here.read_object(key) for key in here.keys("")} == {
                key: there.read_object(key) for key in there.keys("")
            }

    # and when: the stack has data now
    with pytest.raises(StackError, match=r"This stack has data: there are tables in warehouse \(1\)\."):
        stack.restore_backup(new, QUIET)
    monkeypatch.setenv("REPLACE", "1")
    monkeypatch.setenv("ONLY", "databases")
    monkeypatch.setenv("FROM", "2026-03-02T000000Z")
    stack.restore_backup(new, QUIET)

    # then
    with control.running(new, supervision.STORAGE):
        assert execute(new, "warehouse", "SELECT what FROM told") == [("early",)]


def test_what_does_not_fit_is_refused_with_a_sentence(
    old: StackSettings, new: StackSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FROM", "yesterday")
    with pytest.raises(StackError, match="'yesterday' is no backup's name, which is like 2026-11-21T030500Z"):
        stack.restore_backup(new, QUIET)
    monkeypatch.setenv("FROM", "2026-03-01T000000Z")
    with pytest.raises(StackError, match="there are: 2026-03-02T000000Z, 2026-03-03T000000Z"):
        stack.restore_backup(new, QUIET)
    monkeypatch.setenv("FROM", "list")
    listing = Console(file=StringIO())
    stack.restore_backup(new, listing)
    shown = set(listing.file.getvalue().split())  # type: ignore[attr-defined]
    assert shown > {"2026-03-02T000000Z", "2026-03-03T000000Z"}
    monkeypatch.setenv("FROM", "")
    secrets = vars(new.secrets) | {"airflow_fernet_key": "another"}
    with pytest.raises(StackError, match="put back the secrets file of the stack that was backed up"):
        stack.restore_backup(new_stack(tmp_path / "other", secrets), QUIET)
    with pytest.raises(StackError, match="The stack is running: end it with `make stop` first"):
        stack.restore_backup(old, QUIET)


@pytest.mark.parametrize("environment", [{"ONLY": "lake"}, {"REPLACE": "yes"}])
def test_a_misspelt_wish_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(StackError, match=f"{next(iter(environment))} is '.*write {next(iter(environment))}="):
        Request.from_environment(environment)


def test_a_wish_names_backup_and_part() -> None:
    wish = Request.from_environment({"FROM": "2026-03-02T000000Z", "ONLY": "files", "REPLACE": "1"})

    assert wish == Request("2026-03-02T000000Z", "files", replace=True)
    assert (wish.with_databases, wish.with_files) == (False, True)
