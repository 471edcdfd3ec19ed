"""The warehouse keeps its promises on a real PostgreSQL server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import psycopg2
import pytest

from include.lifecycle.storage import warehouse

DAY, NEXT_DAY = date(2026, 3, 1), date(2026, 3, 2)
HOSTILE = 'a"; drop table ml.x; --%s'


def _select(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _replace(connection: Any, table: str, day: date, rows: pl.LazyFrame, *, key: list[str]) -> None:
    with warehouse.replacing(connection, table, day, rows, key=key):
        pass


def _frame(**columns: Any) -> pl.LazyFrame:
    return pl.LazyFrame(columns)


def test_every_kind_of_value_arrives_as_it_was(postgres: Any) -> None:
    moment = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)
    rows = pl.LazyFrame(
        {
            "id": ["plain", "", "=1+1", 'quote"d, "text"', "line\nbreak", "\\.", "\\N", "é"],
            "x": [0.1, -1.5, None, 1e-300, 1 / 3, 2.0, 3.0, 4.0],
            "n": [1, None, 2**62, -1, 0, 5, 6, 7],
            "b": [True, False, None, True, True, True, True, True],
            "t": ["", None, "x", "x", "x", "x", "x", "x"],
            "at": [moment, *[None] * 7],
        }
    )

    _replace(postgres, "things", DAY, rows, key=["id"])

    found = _select(postgres, 'select * from ml.things order by id collate "C"')
    assert found == [(DAY, *row) for row in rows.sort("id").collect().rows()]


def test_texts_arrive_as_they_were_in_a_database_of_another_encoding(latin1_database: Any) -> None:
    _replace(latin1_database, "things", DAY, _frame(id=["M\u00fcller"]), key=["id"])

    assert _select(latin1_database, "select id from ml.things") == [("M\u00fcller",)]


def test_a_day_is_replaced_and_the_others_stay(postgres: Any) -> None:
    _replace(postgres, "things", DAY, _frame(id=["a", "b"], x=[1, 2]), key=["id"])
    _replace(postgres, "things", NEXT_DAY, _frame(id=["a"], x=[3]), key=["id"])

    _replace(postgres, "things", DAY, _frame(id=["c"], x=[4]), key=["id"])

    found = _select(postgres, "select dt, id, x from ml.things order by dt")
    assert found == [(DAY, "c", 4), (NEXT_DAY, "a", 3)]


def test_rows_that_do_not_fit_leave_the_day_as_it_was(postgres: Any) -> None:
    _replace(postgres, "things", DAY, _frame(id=["a"], x=[1]), key=["id"])

    with pytest.raises(psycopg2.errors.UniqueViolation):
        _replace(postgres, "things", DAY, _frame(id=["b", "b"], x=[1, 2]), key=["id"])

    assert _select(postgres, "select id, x from ml.things") == [("a", 1)]


def test_a_column_that_is_new_is_added(postgres: Any) -> None:
    _replace(postgres, "things", DAY, _frame(id=["a"]), key=["id"])
    _replace(postgres, "things", NEXT_DAY, _frame(id=["a"], risk=["high"]), key=["id"])

    assert _select(postgres, "select risk from ml.things order by dt") == [(None,), ("high",)]


def test_names_are_names_and_never_statements(postgres: Any) -> None:
    _replace(postgres, HOSTILE, DAY, _frame(**{HOSTILE: ["a"]}), key=[HOSTILE])
    warehouse.upsert(postgres, HOSTILE + "2", pl.DataFrame({HOSTILE: ["a"], "column": [1]}), key=[HOSTILE])

    tables = _select(postgres, "select tablename from pg_tables where schemaname = 'ml' order by 1")
    assert tables == [(HOSTILE,), (HOSTILE + "2",), ("loads",)]


def test_rows_are_added_or_take_the_place_of_those_with_their_key(postgres: Any) -> None:
    key = ["model", "column"]
    first = pl.DataFrame({"model": ["m", "m"], "column": ["a", "b"], "distance": [0.1, 0.2]})
    warehouse.upsert(postgres, "drift", first, key=key)

    second = pl.DataFrame({"model": ["m", "m"], "column": ["b", "c"], "distance": [0.9, None]})
    assert warehouse.upsert(postgres, "drift", second, key=key) == 2

    found = _select(postgres, 'select "column", distance from ml.drift order by 1')
    assert found == [("a", 0.1), ("b", 0.9), ("c", None)]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[1]], r"'x' has the data type List\(Int64\)"),
        ([datetime(2026, 3, 1)], "'x' holds times without a time zone"),
    ],
)
def test_a_column_the_warehouse_cannot_hold_is_named(postgres: Any, values: list[Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        warehouse.upsert(postgres, "things", pl.DataFrame({"id": ["a"], "x": values}), key=["id"])


def test_sessions_that_make_the_same_table_at_once_all_succeed(postgres_dsn: str) -> None:
    def load(number: int) -> None:
        connection = psycopg2.connect(postgres_dsn)
        try:
            day = date(2026, 3, 1 + number)
            _replace(connection, "things", day, _frame(id=["a"]), key=["id"])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(load, range(8)))

    assert _select(psycopg2.connect(postgres_dsn), "select count(*) from ml.things") == [(8,)]


def test_an_error_before_the_commit_leaves_the_day_as_it_was(postgres: Any) -> None:
    _replace(postgres, "things", DAY, _frame(id=["a"], x=[1]), key=["id"])

    with (
        pytest.raises(RuntimeError, match="the lake is away"),
        warehouse.replacing(postgres, "things", DAY, _frame(id=["b"], x=[2]), key=["id"]),
    ):
        raise RuntimeError("the lake is away")

    assert _select(postgres, "select * from ml.things") == [(DAY, "a", 1)]
