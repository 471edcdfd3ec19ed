"""Dumps of PostgreSQL's databases by its own programs, `pg_dump` and `pg_restore`.

They are in the folder that ML_POSTGRES_PROGRAMS names, or on the path, and must not be older than the server.
Passwords are in the environment of these programs only.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import extensions, sql

from include.lifecycle.storage.lake import LakeError

PROGRAMS_FOLDER = "ML_POSTGRES_PROGRAMS"
_LOADED, _REPLACED = "_restoring", "_replaced"


class DumpError(LakeError):
    """A database cannot be dumped or loaded, and trying again would not help."""


@dataclass(frozen=True)
class PostgresServer:
    """A server: libpq's keywords of a connection to it, such as `host`, `port`, `user` and `sslmode`."""

    keywords: Mapping[str, Any]
    password: str | None = field(default=None, repr=False)

    def address(self, database: str) -> str:
        """The address of a database, without the password."""
        given = {name: value for name, value in self.keywords.items() if value not in (None, "")}
        return str(extensions.make_dsn(dbname=database, **given))

    def connect(self, database: str) -> extensions.connection:
        """An open connection outside of any transaction."""
        secret: dict[str, Any] = {"password": self.password} if self.password else {}
        connection: extensions.connection = psycopg2.connect(self.address(database), connect_timeout=10, **secret)
        connection.autocommit = True
        return connection

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs.

        Raises
        ------
        ConnectionError
            If the server is out of reach.
        DumpError
            If the program is missing, or fails for another reason.
        """
        command = [str(Path(os.environ.get(PROGRAMS_FOLDER, "")) / program), *arguments]
        secret = {"PGPASSWORD": self.password} if self.password else {}
        environment = os.environ | secret | {"LC_ALL": "C"}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise DumpError(
                f"{command[0]} is not here: install PostgreSQL's client programs, or set {PROGRAMS_FOLDER}."
            ) from error
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
            # A snapshot is gone when the session that holds it was cut off.
            is_outage = "connection" in reason or "snapshot" in reason
            kind = ConnectionError if is_outage else DumpError
            raise kind(f"{program} failed: {reason}")


def dump(server: PostgresServer, databases: Sequence[str], folder: Path) -> dict[str, Path]:
    """Dump databases to files in `folder`, all as they are at one moment.

    Raises
    ------
    ConnectionError, psycopg2.OperationalError
        If the server is out of reach.
    DumpError
        If a database does not exist, or `pg_dump` is missing or older than the server.
    """
    files = {}
    with ExitStack() as opened:
        sessions = {name: opened.enter_context(_open_session(server, name)) for name in databases}
        snapshots = {name: _snapshot(session) for name, session in sessions.items()}
        for name in databases:
            files[name] = folder / f"{name}.dump"
            options = ["--format=custom", f"--snapshot={snapshots[name]}", f"--file={files[name]}"]
            server.run("pg_dump", *options, f"--dbname={server.address(name)}")
    return files


def load(server: PostgresServer, database: str, file: Path) -> None:
    """Load a dump beside a database; `swap_in` then makes it the database."""
    name = database + _LOADED
    with closing(server.connect("postgres")) as session, session.cursor() as cursor:
        cursor.execute(_drop(name))
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
    server.run("pg_restore", *options, f"--dbname={server.address(name)}", str(file))


def swap_in(server: PostgresServer, databases: Sequence[str]) -> None:
    """Make the databases that were loaded the real ones, all of them or none; those they replace are deleted."""
    with closing(server.connect("postgres")) as session, session.cursor() as cursor:
        for name in databases:
            cursor.execute(_drop(name + _REPLACED))
        cursor.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", (list(databases),))
        replaced = [name for (name,) in cursor.fetchall()]
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)", (replaced,)
        )
        cursor.execute("BEGIN")
        for name in replaced:
            cursor.execute(_rename(name, name + _REPLACED))
        for name in databases:
            cursor.execute(_rename(name + _LOADED, name))
        cursor.execute("COMMIT")
        for name in replaced:
            cursor.execute(_drop(name + _REPLACED))


def tables(server: PostgresServer, database: str) -> int:
    """How many tables a database has; 0 where there is no such database."""
    with closing(server.connect("postgres")) as session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if cursor.fetchone() is None:
            return 0
    with closing(server.connect(database)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        )
        found: int = cursor.fetchone()[0]  # type: ignore[index]  # a count has a row
        return found


@contextmanager
def _open_session(server: PostgresServer, database: str) -> Iterator[extensions.connection]:
    """A session whose transaction may stay open while the databases are dumped, one after the other."""
    try:
        connection = server.connect(database)
    except psycopg2.OperationalError as error:
        if f'database "{database}" does not exist' in str(error):
            raise DumpError(f"There is no database {database!r} to back up: {error}") from error
        raise
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 0")
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection


def _snapshot(session: extensions.connection) -> str:
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_export_snapshot()")
        found: str = cursor.fetchone()[0]  # type: ignore[index]  # a function has a row
        return found


def _rename(database: str, name: str) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(database), sql.Identifier(name))


def _drop(database: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
