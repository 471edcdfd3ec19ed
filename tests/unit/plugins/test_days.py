"""A run knows its days, whoever started it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_lifecycle.days import requested_range, run_day

NEW_YORK = "America/New_York"
FIRST_DAY = date(2020, 1, 1)


class Days(NamedTuple):
    """What bounds the days of a run."""

    timezone: str
    first_day: date = FIRST_DAY


UTC_DAYS = Days("UTC")


def _context(
    *,
    day: str | None = None,
    last_day: str | None = None,
    interval_start: datetime | None = None,
    started: datetime = datetime(2026, 3, 11, 3, 0, tzinfo=UTC),
    run_type: str = "manual",
) -> dict[str, Any]:
    run = SimpleNamespace(run_type=run_type, start_date=started, run_after=started, conf=None)
    form = {"day": day, "last_day": last_day}
    dag = SimpleNamespace(dag_id="orders_etl", params=form)
    context: dict[str, Any] = {"params": form, "dag_run": run, "dag": dag}
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
    assert run_day(context, Days(timezone)) == expected


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
    assert requested_range(context, UTC_DAYS) == expected


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="2026-01-04 lies before the first day 2026-01-05"):
        requested_range(_context(day="2026-01-05", last_day="2026-01-04"), UTC_DAYS)


def test_a_last_day_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="fill in `day`"):
        requested_range(_context(last_day="2026-01-04"), UTC_DAYS)


@given(
    day=st.dates(),
    last_day=st.none() | st.dates(),
    started=st.datetimes(datetime(2020, 1, 3), datetime(2030, 1, 1), timezones=st.just(UTC)),
    timezone=st.sampled_from(["UTC", NEW_YORK, "Pacific/Kiritimati", "Asia/Kolkata"]),
)
def test_days_of_a_form_lie_between_the_first_data_and_yesterday_or_are_refused_with_a_sentence(
    day: date, last_day: date | None, started: datetime, timezone: str
) -> None:
    context = _context(day=str(day), last_day=str(last_day) if last_day else None, started=started)
    timeline = Days(timezone)
    yesterday = started.astimezone(ZoneInfo(timezone)).date() - timedelta(days=1)
    named = (day, last_day or day)

    if min(named) >= FIRST_DAY and max(named) <= yesterday and named[0] <= named[1]:
        assert requested_range(context, timeline) == named
        assert run_day(context, timeline) == day
    else:
        with pytest.raises(ValueError, match=r"choose a day from 2020-01-01 to \d{4}|exchange them"):
            requested_range(context, timeline)


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2019-12-31", "2026-03-11"])
@pytest.mark.parametrize("run_type", ["manual", "backfill"])
def test_no_run_is_about_a_day_without_data(day: str, run_type: str) -> None:
    interval = datetime.fromisoformat(day).replace(hour=6, tzinfo=UTC)

    for context in (_context(day=day, run_type=run_type), _context(interval_start=interval, run_type="backfill")):
        with pytest.raises(ValueError, match="choose a day from 2020-01-01 to 2026-03-10"):
            run_day(context, UTC_DAYS)
        with pytest.raises(ValueError, match="choose a day from 2020-01-01 to 2026-03-10"):
            requested_range(context, UTC_DAYS)


@pytest.mark.parametrize("text", ["2026-13-45", "31.01.2026", "yesterday"])
def test_what_is_no_day_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is '.*', which is no day; write it as 2026-01-31"):
        run_day(_context(day=text), UTC_DAYS)
