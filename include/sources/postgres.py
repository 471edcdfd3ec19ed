"""Reading a PostgreSQL database so that what is read does not depend on how the database is set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def stream(cursor: Any, query: str, values: Mapping[str, Any], file: Path) -> Extracted:
    """Write the rows of a query to `file` as CSV with a header."""
    rows = cursor.mogrify(query, values).decode()
    with file.open("wb") as target:
        cursor.copy_expert(f"copy (\n{rows}\n) to stdout with (format csv, header, encoding 'UTF8')", target)
    return Extracted(records=cursor.rowcount)
