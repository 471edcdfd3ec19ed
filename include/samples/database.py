"""Writes the sample company into the operational PostgreSQL database, day by day, each day once."""

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from io import BytesIO
from itertools import islice
from pathlib import Path

import polars as pl
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from include.samples.company import Company, DayRows
from include.samples.settings import CompanySettings

logger = logging.getLogger(__name__)

_SCHEMA = Path(__file__).with_name("schema.sql")
_USAGE_ROWS_PER_TRANSACTION = 250_000
_COPY_BUFFER_BYTES = 1 << 20

_CLOSE_VERSIONS = """
    UPDATE telecom.customers AS version SET valid_to = closed.valid_to FROM closed
    WHERE version.customer_id = closed.customer_id
      AND version.valid_from = closed.valid_from
      AND version.valid_to IS NULL
"""
_COMPLETE_INVOICES = """
    UPDATE telecom.invoices AS invoice SET paid_on = payments.paid_on, is_late = payments.is_late
    FROM payments
    WHERE invoice.invoice_id = payments.invoice_id
"""


def ensure_history(connection: Connection, settings: CompanySettings, until: date) -> list[date]:
    """Write the days that are missing up to `until`, and return them.

    The first call opens the company `settings.history_days` days back; later calls go on from the latest day.

    Raises
    ------
    ValueError
        `settings` describe another past than the one already written.
    """
    first_day = _first_day(connection) or until - timedelta(days=settings.history_days - 1)
    start = latest_day(connection) or first_day - timedelta(days=1)
    days = [start + timedelta(days=offset) for offset in range(1, (until - start).days + 1)]
    written = write_days(connection, Company(settings, first_day), days)
    if written:
        with connection, connection.cursor() as cursor:
            cursor.execute("ANALYZE telecom.customers, telecom.usage_daily, telecom.invoices, telecom.churns")
    return written


def write_days(connection: Connection, company: Company, days: Sequence[date]) -> list[date]:
    """Write those of `days` that the database lacks, and return them; a day already there stays as it is.

    Creates the tables if they are absent. Commits every few days: an interrupted call can be repeated.

    Raises
    ------
    ValueError
        The company differs from the one already written, or `days` would leave a gap.
    """
    with connection, connection.cursor() as cursor:
        _lock(cursor)
        cursor.execute(_SCHEMA.read_text())
        _register(cursor, company)
        missing = sorted(set(days) - _written_days(cursor))
        _refuse_gaps(cursor, company, missing)
    if not missing:
        return []
    stream = company.days(missing[0], missing[-1])
    days_at_once = max(1, _USAGE_ROWS_PER_TRANSACTION // company.settings.customers)
    while chunk := list(islice(stream, days_at_once)):
        _write_chunk(connection, chunk)
        done = (chunk[-1].day - missing[0]).days + 1
        logger.info("Sample company: %d of %d days written, up to %s.", done, len(missing), chunk[-1].day)
    return missing


def latest_day(connection: Connection) -> date | None:
    """The latest day written, or None if there is none."""
    with connection, connection.cursor() as cursor:
        return max(_written_days(cursor), default=None) if _exists(cursor) else None


def _first_day(connection: Connection) -> date | None:
    with connection, connection.cursor() as cursor:
        company = _stored_company(cursor) if _exists(cursor) else None
        return company.first_day if company else None


def _write_chunk(connection: Connection, chunk: Sequence[DayRows]) -> None:
    with connection, connection.cursor() as cursor:
        _lock(cursor)
        written = _written_days(cursor)
        fresh = [rows for rows in chunk if rows.day not in written]
        if not fresh:
            return
        for table in ("customers", "usage_daily", "invoices", "churns"):
            _copy(cursor, f"telecom.{table}", pl.concat([getattr(rows, table) for rows in fresh]))
        cursor.execute(
            "CREATE TEMPORARY TABLE closed (customer_id text, valid_from date, valid_to date) ON COMMIT DROP;"
            "CREATE TEMPORARY TABLE payments (invoice_id text, paid_on date, is_late bool) ON COMMIT DROP"
        )
        _copy(cursor, "closed", pl.concat([rows.closed for rows in fresh]))
        _copy(cursor, "payments", pl.concat([rows.payments for rows in fresh]))
        cursor.execute("ANALYZE closed; ANALYZE payments")
        cursor.execute(_CLOSE_VERSIONS)
        cursor.execute(_COMPLETE_INVOICES)
        _copy(cursor, "sample_world.written_days", pl.DataFrame({"day": [rows.day for rows in fresh]}))


def _copy(cursor: Cursor, table: str, rows: pl.DataFrame) -> None:
    buffer = BytesIO()
    rows.write_csv(buffer, include_header=False)
    buffer.seek(0)
    columns = ", ".join(rows.columns)
    cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)", buffer, _COPY_BUFFER_BYTES)


def _register(cursor: Cursor, company: Company) -> None:
    """Note which company the tables hold; refuse a company whose past is not the one written."""
    stored = _stored_company(cursor)
    if stored is not None:
        _refuse_another_past(stored, company, max(_written_days(cursor), default=None))
    cursor.execute("DELETE FROM sample_world.company")
    cursor.execute(
        "INSERT INTO sample_world.company (first_day, settings) VALUES (%s, %s)",
        (company.first_day, company.settings.model_dump_json()),
    )


def _refuse_another_past(stored: Company, wanted: Company, latest: date | None) -> None:
    if latest is None:
        return
    if stored.first_day != wanted.first_day:
        raise ValueError(
            f"The company in the database opened on {stored.first_day}, not on {wanted.first_day}. "
            "Drop the schemas telecom and sample_world to begin another."
        )
    for name in ("seed", "customers", "new_customers_per_day", "label_delay_days"):
        before, now = getattr(stored.settings, name), getattr(wanted.settings, name)
        if before != now:
            raise ValueError(
                f"The company in the database was generated with {name}={before}, not {now}. "
                f"Set {name} back, or drop the schemas telecom and sample_world to begin another company."
            )
    drifts = (stored.settings.drift, wanted.settings.drift)
    begun = [drift for drift in drifts if drift is not None and drift.first_day(wanted.first_day) <= latest]
    if begun and drifts[0] != drifts[1]:
        raise ValueError(
            f"A drift cannot be changed once it has begun: the company is written up to {latest} with "
            f"drift={drifts[0]}, not {drifts[1]}. Let the drift start after {latest}."
        )


def _refuse_gaps(cursor: Cursor, company: Company, missing: Sequence[date]) -> None:
    latest = max(_written_days(cursor), default=company.first_day - timedelta(days=1))
    for expected, day in enumerate(missing, latest.toordinal() + 1):
        if day.toordinal() != expected:
            raise ValueError(
                f"{day} cannot be written: the next day of the company is {date.fromordinal(expected)}."
            )


def _stored_company(cursor: Cursor) -> Company | None:
    cursor.execute("SELECT first_day, settings FROM sample_world.company")
    row = cursor.fetchone()
    return Company(CompanySettings.model_validate(row[1]), row[0]) if row else None


def _written_days(cursor: Cursor) -> set[date]:
    cursor.execute("SELECT day FROM sample_world.written_days")
    return {day for (day,) in cursor.fetchall()}


def _exists(cursor: Cursor) -> bool:
    cursor.execute("SELECT to_regclass('sample_world.written_days') IS NOT NULL")
    row = cursor.fetchone()
    return bool(row and row[0])


def _lock(cursor: Cursor) -> None:
    """Let one writer in at a time, until the end of its transaction."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sample_world'))")
