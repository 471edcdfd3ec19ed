"""A backup comes back as it was: real PostgreSQL with its own programs, and a real S3 server."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.operations import backup, restore
from include.lifecycle.operations.backup import Origin
from include.lifecycle.operations.backup_records import Backup, BackupError
from include.lifecycle.operations.backup_store import Store
from include.lifecycle.operations.dumps import (
    PostgresServer,
    dump,
    load,
    swap_in,
    tables,
)
from include.lifecycle.storage.lake import MANIFEST, Lake, LocalFile, RunInfo, partition
from tests.damage import delete, flip
from tests.integration.backup.stacks import (
    DAYS,
    FEATURES,
    NOW,
    contents,
    elsewhere,
    execute,
    publish,
    silent,
    wanted,
)


def bring_back(store: Store, made: Backup, origin: Origin) -> None:
    restore.restore_lake(store, made, origin.lake, silent)
    restore.restore_artifacts(store, made, origin.artifacts, silent)


def test_what_is_lost_comes_back_with_the_same_bytes(
    origin: Origin, store: Store, server: PostgresServer, databases: tuple[str, str]
) -> None:
    # given
    before = [contents(origin.lake), contents(origin.artifacts)]
    made = backup.back_up(origin, store, wanted(*databases, data_days={}), NOW)
    for name in databases:
        execute(server, "postgres", f"DROP DATABASE {name}")

    # when
    new = elsewhere(origin)
    restore.check_empty(server, databases)
    restore.restore_databases(store, made, server, silent)
    bring_back(store, made, new)

    # then
    assert [contents(new.lake), contents(new.artifacts)] == before
    assert [execute(server, name, "SELECT entry FROM ml.ledger") for name in databases] == [[("first",)]] * 2


def test_databases_are_replaced_by_what_they_were(
    origin: Origin, store: Store, server: PostgresServer, databases: tuple[str, str]
) -> None:
    made = backup.back_up(origin, store, wanted(*databases), NOW)
    execute(server, databases[0], "INSERT INTO ml.ledger VALUES ('later'); CREATE TABLE ml.newer (x int)")

    restore.restore_databases(store, made, server, silent)

    assert execute(server, databases[0], "SELECT entry FROM ml.ledger") == [("first",)]
    assert tables(server, databases[0]) == 1
    assert not execute(server, "postgres", "SELECT 1 FROM pg_database WHERE datname ~ '_(restoring|replaced)$'")


def test_databases_are_replaced_all_together_or_not_at_all(
    server: PostgresServer, databases: tuple[str, str], tmp_path: Path
) -> None:
    loaded, missing = databases
    load(server, loaded, dump(server, [loaded], tmp_path)[loaded])
    execute(server, loaded, "INSERT INTO ml.ledger VALUES ('later')")

    with pytest.raises(psycopg2.Error, match="does not exist"):
        swap_in(server, [loaded, missing])

    for name, entries in ((loaded, [("first",), ("later",)]), (missing, [("first",)])):
        assert execute(server, name, "SELECT entry FROM ml.ledger") == entries


def test_a_restore_that_fails_leaves_the_databases_as_they_are(
    origin: Origin, store: Store, server: PostgresServer, databases: tuple[str, str]
) -> None:
    # given: the second dump is damaged
    made = backup.back_up(origin, store, wanted(*databases), NOW)
    execute(server, databases[0], "INSERT INTO ml.ledger VALUES ('later')")
    flip(store.bucket, made.databases[databases[1]].object_key)

    # when
    with pytest.raises(BackupError, match="is damaged"):
        restore.restore_databases(store, made, server, silent)

    # then
    assert execute(server, databases[0], "SELECT entry FROM ml.ledger") == [("first",), ("later",)]


def test_a_stack_with_data_is_refused(server: PostgresServer, databases: tuple[str, str]) -> None:
    execute(server, databases[0], "DROP TABLE ml.ledger")

    restore.check_empty(server, ["no_such_database", databases[0]])
    with pytest.raises(BackupError, match=rf"there are tables in {databases[1]} \(1\). Restore into an empty"):
        restore.check_empty(server, databases)


def test_a_backup_that_lacks_a_copy_is_refused_before_anything_is_changed(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)
    restore.check(store, made, made.contents())
    delete(store.bucket, made.partitions[3].manifest.object_key)

    with pytest.raises(BackupError, match="is incomplete: 1 of its copies are missing or truncated"):
        restore.check(store, made, made.contents())


def test_only_what_is_missing_or_damaged_is_put_back(
    origin: Origin, store: Store, run: RunInfo, tmp_path: Path
) -> None:
    # given
    lake = origin.lake
    made = backup.back_up(origin, store, wanted(), NOW)
    damaged, renewed, lost = (partition(FEATURES, day) for day in DAYS[:3])
    publish(lake, FEATURES, DAYS[1], run, tmp_path, note="corrected since")
    now = contents(lake)
    flip(lake, next(key for key in lake.keys(damaged) if not key.endswith(MANIFEST)))
    for key in lake.keys(lost):
        delete(lake, key)

    # when
    restore.restore_lake(store, made, lake, silent)

    # then
    assert contents(lake) == now
    assert any(key.startswith(renewed) for key in now)


def test_manifests_come_back_in_the_order_in_which_they_were_written(
    origin: Origin, store: Store, run: RunInfo, tmp_path: Path
) -> None:
    clean = "clean/customers/customers"
    publish(origin.lake, clean, DAYS[0], run, tmp_path)  # written after the features, so these are outdated
    made = backup.back_up(origin, store, wanted(), NOW)
    new = elsewhere(origin)

    restore.restore_lake(store, made, new.lake, silent)

    assert new.lake.written(FEATURES)[DAYS[0]] <= new.lake.written(clean)[DAYS[0]]


def test_a_backup_made_with_another_fernet_key_is_refused(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)

    restore.check_key(made, "key")
    restore.check_key(made, "newer,key")
    with pytest.raises(BackupError, match=r"another Fernet key .* put back the secrets file"):
        restore.check_key(made, "another")
    assert "key" not in made.fernet


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_any_bytes_come_back(s3_client: Any, tmp_path_factory: pytest.TempPathFactory, files: list[bytes]) -> None:
    # given
    run = RunInfo("test_run", NOW, "test")
    suffix = uuid.uuid4().hex[:8]
    lake, artifacts, bucket = (Lake(s3_client, f"{kind}-{suffix}") for kind in ("lake", "models", "backup"))
    folder = tmp_path_factory.mktemp("files")
    for one in (lake, artifacts):
        s3_client.create_bucket(Bucket=one.bucket)
    for number, content in enumerate(files):
        (folder / "part.bin").write_bytes(content)
        lake.publish("reports/x", DAYS[number], [LocalFile(folder / "part.bin")], run=run)
        artifacts.write_object(f"{number}/a b+c%/ä.bin", content)
    origin = Origin(lake, artifacts, PostgresServer({}), "", "test")

    # when
    made = backup.back_up(origin, Store(bucket), wanted(), NOW)
    new = elsewhere(origin)
    bring_back(Store(bucket), made, new)

    # then
    assert contents(new.lake) == contents(lake)
    assert contents(new.artifacts) == contents(artifacts)
