"""Reading a PostgreSQL database so that what is read does not depend on how the database is set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.lifecycle.specs import Extracted


@contextmanager
def reading(connection: Any) -> Iterator[Any]:
    """The cursor of a transaction with texts in UTF-8 and floating-point numbers with all of their digits."""
    # Before the transaction, as it ends one that is open.
    connection.set_client_encoding("UTF8")
    with connection, connection.cursor() as cursor:
        cursor.execute("set local extra_float_digits = 3")
        yield cursor


def columns_of(connection: Any, schema: str, table: str, dates: Collection[str]) -> list[str]:
    """The columns of a table; none where there is no table.

    Raises
    ------
    ValueError
        If one of `dates` is there and is no date: a day compared with a time finds the rows of midnight alone.
    """
    with reading(connection) as cursor:
        cursor.execute(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = %s and table_name = %s",
            [schema, table],
        )
        types: dict[str, str] = dict(cursor.fetchall())
    if others := {name: kind for name, kind in types.items() if name in dates and kind != "date"}:
        name, kind = min(others.items())
        raise ValueError(
            f"{schema}.{table} has a column {name!r} of the type {kind}, by which a day's rows cannot be found; "
            "give it the type date."
        )
    return list(types)


def stream(cursor: Any, query: str, values: Mapping[str, Any], file: Path) -> Extracted:
    """Write the rows of a query to `file` as CSV with a header."""
    rows = cursor.mogrify(query, values).decode()
    with file.open("wb") as target:
        cursor.copy_expert(f"copy (\n{rows}\n) to stdout with (format csv, header, encoding 'UTF8')", target)
    return Extracted(records=cursor.rowcount)
