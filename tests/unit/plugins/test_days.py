"""A run knows its days, whoever started it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ml_lifecycle.days import requested_range, run_day

NEW_YORK = "America/New_York"


def _context(
    *,
    day: str | None = None,
    last_day: str | None = None,
    interval_start: datetime | None = None,
    started: datetime = datetime(2026, 3, 11, 3, 0, tzinfo=UTC),
    run_type: str = "manual",
) -> dict[str, Any]:
    run = SimpleNamespace(run_type=run_type, start_date=started, run_after=started)
    context: dict[str, Any] = {"params": {"day": day, "last_day": last_day}, "dag_run": run}
    if interval_start is not None:
        context["data_interval_start"] = interval_start
    return context


INTERVAL = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("context", "timezone", "expected"),
    [
        (_context(day="2026-01-05", interval_start=INTERVAL), "UTC", date(2026, 1, 5)),
        (_context(interval_start=INTERVAL), "UTC", date(2026, 3, 9)),
        (_context(), "UTC", date(2026, 3, 10)),
        # 03:00 UTC on the 11th is still the 10th in New York, so yesterday there is the 9th.
        (_context(), NEW_YORK, date(2026, 3, 9)),
    ],
    ids=["the form first", "else the data interval", "else yesterday", "yesterday where the dataset lives"],
)
def test_the_day_of_a_run(context: dict[str, Any], timezone: str, expected: date) -> None:
    assert run_day(context, timezone) == expected


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (_context(), None),
        (_context(interval_start=INTERVAL, run_type="scheduled"), None),
        (_context(interval_start=INTERVAL, run_type="backfill"), (date(2026, 3, 9), date(2026, 3, 9))),
        (_context(day="2026-01-05"), (date(2026, 1, 5), date(2026, 1, 5))),
        (_context(day="2026-01-05", last_day="2026-01-09"), (date(2026, 1, 5), date(2026, 1, 9))),
    ],
    ids=["by hand without days", "scheduled", "backfill", "one day", "a range"],
)
def test_the_days_that_somebody_asked_for(context: dict[str, Any], expected: tuple[date, date] | None) -> None:
    assert requested_range(context, "UTC") == expected


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="2026-01-04 lies before the first day 2026-01-05"):
        requested_range(_context(day="2026-01-05", last_day="2026-01-04"), "UTC")


def test_a_last_day_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="fill in `day`"):
        requested_range(_context(last_day="2026-01-04"), "UTC")
