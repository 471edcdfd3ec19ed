"""Spoils one day of the company's usage, to see what the pipeline does about it, and takes it back."""

from datetime import date
from typing import Literal

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

PoisonKind = Literal["half_broken", "empty", "missing_column"]

_POISONS: dict[PoisonKind, str] = {
    "half_broken": "UPDATE telecom.usage_daily SET data_mb = -1 - data_mb"
    " WHERE day = %(day)s AND right(customer_id, 1) IN ('0', '2', '4', '6', '8')",
    "empty": "DELETE FROM telecom.usage_daily WHERE day = %(day)s",
    "missing_column": "ALTER TABLE telecom.usage_daily RENAME COLUMN call_minutes TO minutes",
}


def poison(connection: Connection, day: date, kind: PoisonKind) -> None:
    """Spoil the usage rows of `day`: half of them negative, all gone, or a column gone (that for every day).

    Raises
    ------
    ValueError
        A poison is still at work; `restore` ends it.
    """
    with connection, connection.cursor() as cursor:
        if _kept_rows_exist(cursor):
            raise ValueError(f"{day} cannot be poisoned: a poison is still at work. Call restore first.")
        cursor.execute(
            "CREATE TABLE sample_world.kept_usage AS SELECT * FROM telecom.usage_daily WHERE day = %s", (day,)
        )
        cursor.execute(_POISONS[kind], {"day": day})


def restore(connection: Connection) -> None:
    """Undo the poison at work, if there is one."""
    with connection, connection.cursor() as cursor:
        if not _kept_rows_exist(cursor):
            return
        if _column_is_missing(cursor):
            cursor.execute("ALTER TABLE telecom.usage_daily RENAME COLUMN minutes TO call_minutes")
        cursor.execute(
            "DELETE FROM telecom.usage_daily WHERE day IN (SELECT day FROM sample_world.kept_usage);"
            "INSERT INTO telecom.usage_daily SELECT * FROM sample_world.kept_usage;"
            "DROP TABLE sample_world.kept_usage"
        )


def _kept_rows_exist(cursor: Cursor) -> bool:
    cursor.execute("SELECT to_regclass('sample_world.kept_usage') IS NOT NULL")
    return bool(cursor.fetchone() == (True,))


def _column_is_missing(cursor: Cursor) -> bool:
    cursor.execute(
        "SELECT count(*) = 0 FROM information_schema.columns"
        " WHERE table_schema = 'telecom' AND table_name = 'usage_daily' AND column_name = 'call_minutes'"
    )
    return bool(cursor.fetchone() == (True,))
