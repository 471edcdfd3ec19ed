"""Dumps of databases are of one moment, and say what went wrong; with PostgreSQL's own programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg2
import pytest

from include.lifecycle.operations.dumps import (
    PROGRAMS_FOLDER,
    DumpError,
    PostgresServer,
    dump,
)
from include.stack.postgres import binary
from tests.conftest import free_port
from tests.integration.backup.stacks import execute


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
