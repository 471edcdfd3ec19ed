"""What a day's table must be beside the days before it, and when its dates may lie."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from include.lifecycle.ingestion.date_rules import broken_date_rules, date_rules
from include.lifecycle.ingestion.quarantine import rule_book
from include.lifecycle.ingestion.raw_tables import ENGINE_COLUMNS, INDEX
from include.lifecycle.ingestion.table_rules import (
    COMPARED_DAYS,
    TableFacts,
    content_digest,
    is_level,
    repeated_rows,
    unusual_rows,
)
from include.lifecycle.specs import TableSpec

DAY = date(2026, 3, 10)
WEEK = [DAY - timedelta(days=back) for back in range(7, 0, -1)]


def table(**fields: Any) -> TableSpec:
    columns = {"id": pl.String, "day": pl.Date, "ends_on": pl.Date, "seen_at": pl.Datetime}
    return TableSpec(name="visits", columns=columns, key=("id",), rules=list, **fields)


def recent(*rows: int) -> dict[date, TableFacts]:
    return {day: TableFacts(count, f"digest {day}") for day, count in zip(WEEK, rows, strict=False)}


@pytest.mark.parametrize("rows", [499, 250, 0, 2001, 10_000])
def test_rows_outside_the_usual_range_reject_the_day_with_a_sentence(rows: int) -> None:
    problem = unusual_rows(table(), TableFacts(rows, None), recent(900, 1000, 1100, 990, 1010))

    assert problem == (
        f"visits has {rows:,} rows; the median of the last 5 days is 1,000, and 500 to 2,000 are allowed."
    )


def test_three_days_and_a_hundred_rows_are_enough_to_compare_with() -> None:
    assert unusual_rows(table(), TableFacts(499, None), recent(900, 1000, 1100))
    assert unusual_rows(table(), TableFacts(10, None), recent(100, 100, 100))


def test_a_day_is_compared_with_a_week() -> None:
    assert len(WEEK) == COMPARED_DAYS


@pytest.mark.parametrize("rows", [500, 1000, 2000])
def test_rows_within_the_usual_range_pass(rows: int) -> None:
    assert unusual_rows(table(), TableFacts(rows, None), recent(900, 1000, 1100)) is None


@pytest.mark.parametrize("rows", [2500, 300])
def test_a_number_of_rows_that_three_days_in_a_row_have_is_the_new_normal(rows: int) -> None:
    found, old = TableFacts(rows, None), (1000,) * 4

    assert unusual_rows(table(), found, recent(*old, rows, rows))
    assert unusual_rows(table(), found, recent(*old, rows, 1000, rows))
    assert unusual_rows(table(), found, recent(*old, rows, rows, rows)) is None
    assert unusual_rows(table(), TableFacts(1000, None), recent(*old, rows, rows, rows)) is None


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        ((1000,), (2500, 2500, 2500), True),
        ((1000, 2500), (2500, 2500), True),
        ((1000, 2500, 2500), (2500,), True),
        ((1000, 1000), (2500, 2500), False),
        ((1000, 2500), (1000, 2500, 2500), False),
        ((6000, 6000, 6000), (), False),
    ],
)
def test_a_level_may_lie_before_a_day_after_it_or_around_it(
    before: tuple[int, ...], after: tuple[int, ...], level: bool
) -> None:
    assert is_level(table(), TableFacts(2500, None), recent(*before), recent(*after)) is level
    assert is_level(table(usual_rows=None), TableFacts(2500, None), recent(*before), recent(*after)) is False


@pytest.mark.parametrize(
    ("spec", "before"),
    [
        (table(), ()),
        (table(), (1000, 1000)),
        (table(), (99, 99, 99)),
        (table(usual_rows=None), (1000, 1000, 1000)),
        (table(usual_rows=(0, 10)), (1000, 1000, 1000)),
    ],
    ids=["first day", "two days", "few rows", "off", "wide"],
)
def test_rows_are_not_compared_with_too_little_or_where_the_table_says_so(
    spec: TableSpec, before: tuple[int, ...]
) -> None:
    assert unusual_rows(spec, TableFacts(1, None), recent(*before)) is None


def test_the_rows_of_a_recent_day_are_not_todays() -> None:
    found = TableFacts(1000, f"digest {WEEK[1]}")

    assert repeated_rows(table(), found, recent(1000, 1000)) == f"visits has the same 1,000 rows as on {WEEK[1]}."
    assert repeated_rows(table(may_repeat=True), found, recent(1000, 1000)) is None
    assert repeated_rows(table(), TableFacts(1000, "other"), recent(1000, 1000)) is None
    assert repeated_rows(table(), TableFacts(9, None), {DAY: TableFacts(9, None)}) is None


def frame(day: date, rows: int = 200, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"id": [f"v{number:03d}" for number in range(rows)]}).with_columns(
        day=pl.lit(day), **{name: pl.lit(value) for name, value in columns.items()}
    )


def test_a_digest_is_of_what_rows_say_and_not_of_the_day_written_on_them() -> None:
    yesterday = DAY - timedelta(days=1)
    digest = content_digest(frame(yesterday), yesterday)

    assert digest is not None
    assert content_digest(frame(DAY), DAY) == digest
    assert content_digest(frame(yesterday), DAY) != digest
    assert content_digest(frame(DAY, ends_on=DAY + timedelta(days=3)), DAY) != digest
    assert content_digest(frame(DAY, rows=201), DAY) != digest
    assert content_digest(frame(DAY, rows=99), DAY) is None
    assert content_digest(frame(DAY, rows=100), DAY) is not None


def test_a_column_that_names_the_day_in_some_rows_only_says_something() -> None:
    now, early, earlier = (frame(DAY - timedelta(days=back), rows=150) for back in (0, 1, 2))

    digests = [content_digest(pl.concat([now, other]), DAY) for other in (early, earlier)]

    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("column", "value", "broken"),
    [
        ("day", DAY, None),
        ("day", DAY + timedelta(days=1), "visits.day.not_in_the_future"),
        ("day", date(1, 1, 1), "visits.day.not_too_early"),
        ("day", date(1999, 12, 31), "visits.day.not_too_early"),
        ("day", date(2000, 1, 1), None),
        ("day", date(9999, 12, 31), "visits.day.not_in_the_future"),
        ("ends_on", DAY + timedelta(days=30), None),
        ("ends_on", DAY + timedelta(days=31), "visits.ends_on.not_in_the_future"),
        ("seen_at", datetime(2026, 3, 11, 9), None),
        ("seen_at", datetime(2026, 3, 12), "visits.seen_at.not_in_the_future"),
        ("seen_at", None, None),
    ],
)
def test_every_date_column_lies_between_the_first_date_and_the_day(
    column: str, value: date | None, broken: str | None
) -> None:
    spec = table(first_date=date(2000, 1, 1), days_ahead={"ends_on": 30})
    row: dict[str, Any] = {"id": "v1", "day": DAY, "ends_on": DAY, "seen_at": None, "dt": DAY} | {column: value}
    rows = pl.DataFrame([row], schema={**spec.columns, "dt": pl.Date})

    found = broken_date_rules(spec, rows)

    assert list(found) == ([broken] if broken else [])
    assert set(found) <= set(date_rules(spec)) <= set(rule_book(spec, {}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"usual_rows": (1.5, 2)}, "the first should be from 0 to 1"),
        ({"usual_rows": (0.5, 0.9)}, "second at least 1"),
        ({"days_ahead": {"id": 3}}, r"`days_ahead` names \['id'\], and the date columns are"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(**fields)


@pytest.mark.parametrize("name", [*ENGINE_COLUMNS, INDEX, "broken_rules"])
def test_a_table_with_a_column_of_validations_own_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"'visits': `columns` has \['{name}'\].*; rename them"):
        TableSpec(name="visits", columns={"id": pl.String, name: pl.String}, key=("id",), rules=list)
