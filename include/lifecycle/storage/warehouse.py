"""The warehouse: the tables that people query, in the schema `ml` of a PostgreSQL database.

Tables are made from the columns of what is loaded. Every write is one transaction: a reader sees all of it or
nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import polars as pl
from psycopg2 import sql

from include.lifecycle.storage.batches import batches

if TYPE_CHECKING:
    from psycopg2 import extensions

SCHEMA = "ml"
LOADS = "loads"
"""The table that says which published partition each day of a table was loaded from."""

_LOADS_COLUMNS: dict[str, pl.DataType] = {
    "table_name": pl.String(),
    "dt": pl.Date(),
    "digest": pl.String(),
    "written": pl.Datetime("us", "UTC"),
    "manifest": pl.String(),
}

_SQL_TYPES: tuple[tuple[type[pl.DataType], str], ...] = (
    (pl.String, "text"),
    (pl.Categorical, "text"),
    (pl.Enum, "text"),
    (pl.Boolean, "boolean"),
    (pl.Float32, "real"),
    (pl.Float64, "double precision"),
    (pl.Int8, "smallint"),
    (pl.Int16, "smallint"),
    (pl.Int32, "integer"),
    (pl.Int64, "bigint"),
    (pl.UInt8, "smallint"),
    (pl.UInt16, "integer"),
    (pl.UInt32, "bigint"),
    (pl.Date, "date"),
    (pl.Datetime, "timestamptz"),
)


@contextmanager
def locked(connection: extensions.connection, name: str) -> Iterator[extensions.cursor]:
    """A transaction that holds the lock `name`: of all that ask for it, one at a time gets in."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        yield cursor


def ensure_schema(connection: extensions.connection) -> None:
    """Create the schema where it is missing."""
    with locked(connection, SCHEMA) as cursor:
        _create_schema(cursor)


def ensure_table(
    connection: extensions.connection, table: str, columns: Mapping[str, pl.DataType], *, key: Sequence[str]
) -> None:
    """Create `ml.<table>` with the primary key `key` where it is missing, and columns where it lacks them.

    Raises
    ------
    TypeError
        If a column's data type has no counterpart in PostgreSQL, or holds times without a time zone.
    """
    # One at a time, because "create if not exists" of two sessions at once fails in one of them.
    with locked(connection, SCHEMA) as cursor:
        _create_schema(cursor)
        present = _columns(cursor, table)
        missing = [name for name in columns if name not in present]
        definitions = [
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_sql_type(name, columns[name])))
            for name in missing
        ]
        if not present:
            definitions.append(sql.SQL("primary key ({})").format(_names(key)))
            statement = sql.SQL("create table {} ({})").format(_table(table), sql.SQL(", ").join(definitions))
            cursor.execute(statement)
        elif missing:
            # Only then: altering a table waits for all who use it, and makes the next ones wait.
            additions = sql.SQL(", ").join(sql.SQL("add column ") + definition for definition in definitions)
            cursor.execute(sql.SQL("alter table {} ").format(_table(table)) + additions)


@contextmanager
def replacing(
    connection: extensions.connection, table: str, day: date, rows: pl.LazyFrame, *, key: Sequence[str]
) -> Iterator[extensions.cursor]:
    """A transaction in which `rows` are the content of a day of `ml.<table>`; others see it after the block.

    The table gets the day as its first column, `dt`, and is unique by `dt` and `key`. Rows are streamed. What the
    table cannot take is an error before the block begins; an error in the block leaves the day as it was.
    """
    dated = rows.select(pl.lit(day).alias("dt"), pl.all())
    ensure_table(connection, table, dated.collect_schema(), key=("dt", *key))
    ensure_table(connection, LOADS, _LOADS_COLUMNS, key=("table_name", "dt"))
    with connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("delete from {} where dt = {}").format(_table(table), sql.Literal(day)))
        _copy(cursor, _table(table), dated)
        yield cursor


@dataclass(frozen=True)
class Load:
    """The published partition that a day of a table was loaded from.

    Attributes
    ----------
    digest : of its manifest. written : when that was written, by the S3 server's clock.
    """

    digest: str
    written: datetime


def note_load(cursor: extensions.cursor, table: str, day: date, load: Load, manifest: str) -> None:
    """Note in `ml.loads`, in the cursor's transaction, what a day of a table is loaded from.

    Parameters
    ----------
    manifest : the whole manifest, as JSON.
    """
    cursor.execute(
        sql.SQL(
            "insert into {} (table_name, dt, digest, written, manifest) values (%s, %s, %s, %s, %s) on conflict "
            "(table_name, dt) do update set digest = excluded.digest, written = excluded.written, "
            "manifest = excluded.manifest"
        ).format(_table(LOADS)),
        [table, day, load.digest, load.written, manifest],
    )


def loads(connection: extensions.connection, table: str, since: date) -> dict[date, Load]:
    """What the days of a table from `since` on were loaded from."""
    rows = _select_loads(connection, "dt, digest, written", "table_name = %s and dt >= %s", table, since)
    return {day: Load(digest, written) for day, digest, written in rows}


def days_loaded_from(
    connection: extensions.connection, table: str, name: str, values: Sequence[str]
) -> dict[date, str]:
    """The days of a table whose manifest has one of `values` as the input `name`, each with that value."""
    column = "manifest::jsonb -> 'inputs' ->> %s"
    condition = f"table_name = %s and {column} = any(%s)"
    return dict(_select_loads(connection, f"dt, {column}", condition, name, table, name, list(values)))


def loaded_inputs(
    connection: extensions.connection, table: str, name: str, days: Sequence[date]
) -> dict[date, str]:
    """The input `name` of the manifest that each of some days of a table was loaded from, where that is noted."""
    columns, condition = "dt, manifest::jsonb -> 'inputs' ->> %s", "table_name = %s and dt = any(%s)"
    rows = _select_loads(connection, columns, condition, name, table, list(days))
    return {day: value for day, value in rows if value is not None}


def loaded_manifest(connection: extensions.connection, table: str, day: date) -> str | None:
    """The manifest, as JSON, that a day of a table was loaded from; None where nothing was noted."""
    rows = _select_loads(connection, "manifest", "table_name = %s and dt = %s", table, day)
    return rows[0][0] if rows else None


def days_of_other_size(connection: extensions.connection, table: str, days: Sequence[date]) -> list[date]:
    """Those of some days of which `ml.<table>` has more or fewer rows than the manifest they were loaded from."""
    if not days:
        return []
    condition = "table_name = %s and dt = any(%s)"
    noted = dict(
        _select_loads(connection, "dt, (manifest::jsonb ->> 'rows')::bigint", condition, table, list(days))
    )
    counts = _row_counts(connection, table, list(noted))
    return sorted(day for day, rows in noted.items() if counts.get(day, 0) != rows)


def day_counts(
    connection: extensions.connection, table: str, column: str, since: date
) -> dict[date, dict[Any, int]]:
    """How many rows each day of `ml.<table>` from `since` on has of each value of a column."""
    with connection, connection.cursor() as cursor:
        if not _columns(cursor, table):
            return {}
        query = "select dt, {0}, count(*) from {1} where dt >= {2} group by dt, {0}"
        parts = sql.Identifier(column), _table(table), sql.Literal(since)
        cursor.execute(sql.SQL(query).format(*parts))
        counts: dict[date, dict[Any, int]] = {}
        for day, value, rows in cursor.fetchall():
            counts.setdefault(day, {})[value] = rows
        return counts


def _row_counts(connection: extensions.connection, table: str, days: list[date]) -> dict[date, int]:
    with connection, connection.cursor() as cursor:
        if not _columns(cursor, table):
            return {}
        query = sql.SQL("select dt, count(*) from {} where dt = any(%s) group by dt").format(_table(table))
        cursor.execute(query, [days])
        return dict(cursor.fetchall())


def _select_loads(connection: extensions.connection, columns: str, condition: str, *values: Any) -> list[Any]:
    ensure_table(connection, LOADS, _LOADS_COLUMNS, key=("table_name", "dt"))
    with connection, connection.cursor() as cursor:
        cursor.execute(f"select {columns} from {SCHEMA}.{LOADS} where {condition}", values)
        return cursor.fetchall()


def upsert(connection: extensions.connection, table: str, rows: pl.DataFrame, *, key: Sequence[str]) -> int:
    """Add `rows` to `ml.<table>`, each in place of the row with the same `key`. Returns their number.

    Raises
    ------
    psycopg2.errors.CardinalityViolation
        If two of the rows have the same key.
    """
    ensure_table(connection, table, rows.schema, key=key)
    others = [name for name in rows.columns if name not in key]
    changes = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in others)
    action = sql.SQL("update set {}").format(changes) if others else sql.SQL("nothing")
    incoming = sql.Identifier("incoming")
    with connection, connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("create temporary table {} (like {}) on commit drop").format(incoming, _table(table))
        )
        _copy(cursor, incoming, rows.lazy())
        cursor.execute(
            sql.SQL(
                "insert into {table} ({columns}) select {columns} from {incoming} on conflict ({key}) do {action}"
            ).format(
                table=_table(table),
                columns=_names(rows.columns),
                incoming=incoming,
                key=_names(key),
                action=action,
            )
        )
        return rows.height


def _create_schema(cursor: extensions.cursor) -> None:
    cursor.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))


def _columns(cursor: extensions.cursor, table: str) -> set[str]:
    cursor.execute(
        "select column_name from information_schema.columns where table_schema = %s and table_name = %s",
        [SCHEMA, table],
    )
    return {name for (name,) in cursor.fetchall()}


def _copy(cursor: extensions.cursor, target: sql.Composable, rows: pl.LazyFrame) -> int:
    columns = _names(rows.collect_schema().names())
    # The batches are UTF-8, whatever the connection speaks otherwise.
    statement = sql.SQL("copy {} ({}) from stdin (format csv, encoding 'UTF8')").format(target, columns)
    copied = 0
    for batch in batches(rows):
        text = BytesIO()
        batch.collect().write_csv(text, include_header=False, datetime_format="%+")
        text.seek(0)
        cursor.copy_expert(statement, text)
        copied += cursor.rowcount
    return copied


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, name)


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _sql_type(column: str, dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        raise TypeError(f"Column {column!r} holds times without a time zone: give it one, best UTC.")
    for polars_type, sql_type in _SQL_TYPES:
        if isinstance(dtype, polars_type):
            return sql_type
    known = ", ".join(polars_type.__name__ for polars_type, _ in _SQL_TYPES)
    raise TypeError(f"Column {column!r} has the data type {dtype}, but the warehouse takes {known}: cast it.")
