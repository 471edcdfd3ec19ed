"""Migrations of the warehouse's tables: SQL statements in a list that only grows, each applied once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from include.lifecycle.storage.warehouse import SCHEMA, ensure_schema, locked

if TYPE_CHECKING:
    from psycopg2 import extensions

_CREATE = """
create table if not exists ml.migrations (
    table_name text not null,
    number integer not null,
    applied_at timestamptz not null default clock_timestamp(),
    primary key (table_name, number)
)
"""


def migrate(connection: extensions.connection, table: str, migrations: Sequence[str]) -> None:
    """Bring a table of the schema `ml` up to date: apply the migrations it lacks, all in one transaction.

    `ml.migrations` has those that were applied, by their place in the list. A table that is ahead of the list, of
    a newer version of the code, is left as it is.

    Parameters
    ----------
    migrations : SQL statements, the oldest first. One that was ever applied anywhere is never changed or removed.
    """
    with connection, connection.cursor() as cursor:
        if _applied(cursor, table) >= len(migrations):
            return
    ensure_schema(connection)
    with locked(connection, f"{SCHEMA}.migrations") as cursor:
        cursor.execute(_CREATE)
        for number in range(_applied(cursor, table), len(migrations)):
            cursor.execute(migrations[number])
            cursor.execute("insert into ml.migrations (table_name, number) values (%s, %s)", (table, number + 1))


def _applied(cursor: extensions.cursor, table: str) -> int:
    """How many migrations a table has."""
    cursor.execute("select to_regclass('ml.migrations') is not null")
    if cursor.fetchone() == (False,):
        return 0
    cursor.execute("select coalesce(max(number), 0) from ml.migrations where table_name = %s", (table,))
    [(number,)] = cursor.fetchall()
    return int(number)
