"""Migrations of the warehouse's tables, on a real database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from include.lifecycle.storage.migrations import migrate

CREATE = "create table ml.notes (id integer); insert into ml.notes values (1)"
ADD_TEXT = "alter table ml.notes add column text text default 'none'"


def rows(connection: Any, query: str) -> list[Any]:
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def test_each_migration_is_applied_once_and_in_order(postgres: Any) -> None:
    migrate(postgres, "notes", [CREATE])
    migrate(postgres, "notes", [CREATE])
    assert rows(postgres, "select * from ml.notes") == [(1,)]

    migrate(postgres, "notes", [CREATE, ADD_TEXT])

    assert rows(postgres, "select * from ml.notes") == [(1, "none")]
    applied = rows(postgres, "select table_name, number from ml.migrations order by number")
    assert applied == [("notes", 1), ("notes", 2)]


def test_tables_have_migrations_of_their_own(postgres: Any) -> None:
    migrate(postgres, "notes", [CREATE, ADD_TEXT])

    migrate(postgres, "others", ["create table ml.others (id integer)"])

    assert rows(postgres, "select * from ml.others") == []


def test_a_migration_that_fails_leaves_the_table_as_it_was(postgres: Any) -> None:
    migrate(postgres, "notes", [CREATE])

    with pytest.raises(psycopg2.errors.UndefinedTable):
        migrate(postgres, "notes", [CREATE, ADD_TEXT, "alter table ml.absent add column text text"])

    assert rows(postgres, "select * from ml.notes") == [(1,)]
    migrate(postgres, "notes", [CREATE, ADD_TEXT])
    assert rows(postgres, "select * from ml.notes") == [(1, "none")]


def test_a_table_of_newer_code_is_left_as_it_is(postgres: Any) -> None:
    migrate(postgres, "notes", [CREATE, ADD_TEXT])

    migrate(postgres, "notes", [CREATE])

    assert rows(postgres, "select * from ml.notes") == [(1, "none")]


def test_of_those_who_come_at_once_one_migrates(postgres_dsn: str) -> None:
    def come(_: int) -> None:
        with closing(psycopg2.connect(postgres_dsn)) as connection:
            migrate(connection, "notes", [CREATE, ADD_TEXT])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(8)))

    with closing(psycopg2.connect(postgres_dsn)) as connection:
        assert rows(connection, "select * from ml.notes") == [(1, "none")]
