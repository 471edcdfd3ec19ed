"""A backup comes back as it was: real PostgreSQL with its own programs, and a real S3 server."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import polars as pl
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.operations import backup, restore
from include.lifecycle.operations.backup import Origin, expired
from include.lifecycle.operations.backup_records import OBJECTS, Backup, BackupError, BackupSettings, name_of
from include.lifecycle.operations.backup_store import BACKUPS, Store
from include.lifecycle.operations.dumps import (
    PROGRAMS_FOLDER,
    DumpError,
    PostgresServer,
    dump,
    load,
    swap_in,
    tables,
)
from include.lifecycle.storage.lake import MANIFEST, Lake, LocalFile, RunInfo, partition
from include.stack.postgres import binary
from tests.conftest import free_port
from tests.damage import delete, flip

NOW = datetime(2026, 3, 10, 3, 5, 7, tzinfo=UTC)
DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(9)]
FEATURES, RAW = "features/customers", "raw/customers/customers"


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


def bring_back(store: Store, made: Backup, origin: Origin) -> None:
    restore.restore_lake(store, made, origin.lake, silent)
    restore.restore_artifacts(store, made, origin.artifacts, silent)


def elsewhere(origin: Origin) -> Origin:
    """An empty stack beside it."""
    suffix = uuid.uuid4().hex[:6]
    client = origin.lake.client
    lake, artifacts = Lake(client, f"new-lake-{suffix}"), Lake(client, f"new-models-{suffix}")
    return Origin(lake, artifacts, origin.server, origin.fernet_key, "test")


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


def test_the_databases_of_a_backup_are_of_one_moment(
    server: PostgresServer, databases: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: something is written to both while the first one is dumped
    run = PostgresServer.run

    def slow(self: PostgresServer, program: str, *arguments: str) -> None:
        for name in databases:
            execute(server, name, "INSERT INTO ml.ledger VALUES ('meanwhile')")
        run(self, program, *arguments)

    monkeypatch.setattr(PostgresServer, "run", slow)

    # when
    files = dump(server, databases, tmp_path)

    # then
    for file in files.values():
        text = subprocess.run([binary("pg_restore"), "--file=-", file], capture_output=True, text=True, check=True)
        assert "first" in text.stdout
        assert "meanwhile" not in text.stdout


def test_a_second_backup_copies_only_what_is_new(
    origin: Origin, store: Store, run: RunInfo, tmp_path: Path
) -> None:
    # given
    first = backup.back_up(origin, store, wanted(), NOW)
    copied = contents(store.bucket)
    publish(origin.lake, FEATURES, DAYS[-1] + timedelta(days=1), run, tmp_path)
    written: list[str] = []
    origin.lake.client.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: written.append(params["url_path"]), unique_id="written"
    )

    # when
    second = backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    # then: a file, its manifest, and of what the backup consists
    origin.lake.client.meta.events.unregister("before-call.s3.PutObject", unique_id="written")
    assert len(written) == 3
    assert len(contents(store.bucket)) == len(copied) + 3
    assert set(first.partitions) < set(second.partitions)


def test_half_a_backup_is_none(origin: Origin, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    whole = backup.back_up(origin, store, wanted(), NOW)
    monkeypatch.setattr(Lake, "write_object", _die_at_the_manifest(Lake.write_object))

    # when
    with pytest.raises(OSError, match="killed"):
        backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    # then
    assert store.newest() == whole
    assert store.moments() == [NOW]


def _die_at_the_manifest(write: Any) -> Any:
    def write_object(lake: Lake, key: str, body: bytes) -> None:
        if key.startswith(BACKUPS):
            raise OSError("killed")
        write(lake, key, body)

    return write_object


def test_a_backup_that_lacks_a_copy_is_refused_before_anything_is_changed(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)
    restore.check(store, made, made.contents())
    delete(store.bucket, made.partitions[3].manifest.object_key)

    with pytest.raises(BackupError, match="is incomplete: 1 of its copies are missing or truncated"):
        restore.check(store, made, made.contents())


def test_a_copy_that_is_lost_is_made_again(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)
    delete(store.bucket, made.partitions[3].manifest.object_key)
    delete(store.bucket, made.artifacts[0].object_key)

    again = backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    restore.check(store, again, again.contents())


def test_raw_files_are_kept_only_when_told_and_all_manifests_always(origin: Origin, store: Store) -> None:
    # when
    made = backup.back_up(origin, store, wanted(), NOW)
    told = backup.back_up(origin, store, wanted(data_days={"raw": 4}), NOW + timedelta(hours=1))

    # then
    assert len(made.partitions) == 2 * len(DAYS)
    kept = {one.manifest.key for one in made.partitions if one.has_files}
    assert kept == {f"{partition(FEATURES, day)}/{MANIFEST}" for day in DAYS}
    also = {one.manifest.key for one in told.partitions if one.has_files} - kept
    assert also == {f"{partition(RAW, day)}/{MANIFEST}" for day in DAYS[-3:]}

    # and then
    new = elsewhere(origin)
    restore.restore_lake(store, made, new.lake, silent)
    assert new.lake.days(RAW) == DAYS
    assert new.lake.intact(RAW, DAYS[0]) is None


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


def test_what_is_damaged_is_taken_from_the_backup_before_or_left_out_and_the_backup_says_so(
    origin: Origin, store: Store, run: RunInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    lake = origin.lake
    before = backup.back_up(origin, store, wanted(), NOW)
    new_day = DAYS[-1] + timedelta(days=1)
    publish(lake, FEATURES, new_day, run, tmp_path)
    flip(lake, next(key for key in lake.keys(partition(FEATURES, new_day)) if not key.endswith(MANIFEST)))
    lake.write_object(f"{partition(FEATURES, DAYS[0])}/{MANIFEST}", b"{")

    # when
    made = backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    # then
    assert set(made.partitions) == set(before.partitions)
    [sentence] = made.left_out
    assert sentence.endswith("is missing or damaged.")
    assert str(new_day) in sentence
    [taken] = made.taken_over
    assert taken.endswith(f"{partition(FEATURES, DAYS[0])}/{MANIFEST} cannot be read as a manifest.")
    assert f"Left out of the backup: {sentence}" in caplog.messages
    assert f"Taken from the backup before: {taken}" in caplog.messages


def test_manifests_come_back_in_the_order_in_which_they_were_written(
    origin: Origin, store: Store, run: RunInfo, tmp_path: Path
) -> None:
    clean = "clean/customers/customers"
    publish(origin.lake, clean, DAYS[0], run, tmp_path)  # written after the features, so these are outdated
    made = backup.back_up(origin, store, wanted(), NOW)
    new = elsewhere(origin)

    restore.restore_lake(store, made, new.lake, silent)

    assert new.lake.written(FEATURES)[DAYS[0]] <= new.lake.written(clean)[DAYS[0]]


@pytest.mark.parametrize(
    ("ages", "deleted"),
    [
        ([], []),
        ([0], []),
        ([400], []),  # the last one stays, however old
        ([400, 40], [400]),
        ([40, 30, 29, 0], [40]),
        ([30], []),
        ([31, 31, 1], [31, 31]),
    ],
)
def test_backups_are_deleted_by_age_but_never_the_last_one(ages: list[int], deleted: list[int]) -> None:
    moments = [NOW - timedelta(days=age) for age in ages]

    assert expired(moments, NOW, keep_days=30) == [NOW - timedelta(days=age) for age in deleted]


def test_copies_that_no_backup_names_are_deleted_and_all_others_stay(origin: Origin, store: Store) -> None:
    # given
    now = datetime.now(UTC) + timedelta(days=60)
    old = backup.back_up(origin, store, wanted(), now - timedelta(days=31))
    origin.lake.write_object("predictions/churn/latest.json", b'{"day": "2026-03-10"}')
    made = backup.back_up(origin, store, wanted(), now)

    # when
    gone = backup.prune(store, now, keep_days=30)

    # then
    assert gone == [old.moment]
    assert store.moments() == [made.moment]
    assert set(store.sizes()) == {content.sha256 for content in made.contents()}


def test_what_is_no_backup_does_not_hide_those_that_are(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)
    for name in ("read me.txt", "2026-13-45.json"):
        store.bucket.write_object(f"backups/{name}", b"?")

    assert store.moments() == [made.moment]


def test_where_a_backup_cannot_be_read_no_copy_is_deleted(origin: Origin, store: Store) -> None:
    now = datetime.now(UTC) + timedelta(days=60)
    backup.back_up(origin, store, wanted(), now)
    store.bucket.write_object(f"{BACKUPS}{name_of(now + timedelta(days=1))}.json", b"{")
    store.bucket.write_object(f"{OBJECTS}{'0' * 64}", b"of the one that cannot be read")

    backup.prune(store, now, keep_days=30)

    assert "0" * 64 in store.sizes()


def test_a_backup_made_with_another_fernet_key_is_refused(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)

    restore.check_key(made, "key")
    restore.check_key(made, "newer,key")
    with pytest.raises(BackupError, match=r"another Fernet key .* put back the secrets file"):
        restore.check_key(made, "another")
    assert "key" not in made.fernet


def test_a_server_out_of_reach_is_an_outage_and_its_password_is_not_told(databases: tuple[str, str]) -> None:
    nowhere = PostgresServer({"host": "127.0.0.1", "port": free_port(), "user": "ml"}, "secret-of-the-server")

    with pytest.raises(psycopg2.OperationalError, match="refused"):
        dump(nowhere, databases, Path("/nowhere"))
    with pytest.raises(ConnectionError, match=r"pg_dump failed: .*connection to server") as outage:
        nowhere.run("pg_dump", f"--dbname={nowhere.address(databases[0])}")
    assert "secret-of-the-server" not in str(outage.value)


def test_a_server_that_goes_away_during_a_dump_is_an_outage(
    server: PostgresServer, databases: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PostgresServer.run

    def restarted(self: PostgresServer, program: str, *arguments: str) -> None:
        everybody = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        execute(server, "postgres", f"SELECT pg_terminate_backend(pid) {everybody}")
        run(self, program, *arguments)

    monkeypatch.setattr(PostgresServer, "run", restarted)

    with pytest.raises(OSError, match=r"pg_dump failed: .*snapshot"):
        dump(server, databases, tmp_path)


@pytest.mark.parametrize("what", ["database", "program"])
def test_what_no_retry_helps_is_said_at_once(
    what: str, server: PostgresServer, databases: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "program":
        monkeypatch.setenv(PROGRAMS_FOLDER, str(tmp_path))
        sentence = "pg_dump is not here: install PostgreSQL's client programs"
    else:
        databases = (databases[0], "no_such_database")
        sentence = "There is no database 'no_such_database' to back up"

    with pytest.raises(DumpError, match=sentence):
        dump(server, databases, tmp_path)


def test_the_password_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@ PGPASSWORD=$PGPASSWORD" > "$(dirname "$0")/seen"\n')
    program.chmod(0o755)
    monkeypatch.setenv(PROGRAMS_FOLDER, str(tmp_path))
    server = PostgresServer({"host": "db", "port": 5432, "user": "ml", "sslmode": "require"}, "o'p w")

    server.run("pg_dump", f"--dbname={server.address('mlflow')}")

    arguments, _, password = (tmp_path / "seen").read_text().strip().rpartition(" PGPASSWORD=")
    assert password == "o'p w"
    assert "o'p w" not in arguments
    assert "sslmode=require" in arguments
    assert "o'p w" not in repr(server)


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
