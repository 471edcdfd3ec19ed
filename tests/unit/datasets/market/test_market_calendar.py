"""The sessions of the New York Stock Exchange."""

from __future__ import annotations

from datetime import date

import pytest

from include.datasets.market.calendar import NEW_YORK, ExchangeCalendar
from include.lifecycle.calendars import Calendar

INDEPENDENCE_DAY, HALF_DAY = date(2017, 7, 4), date(2017, 7, 3)
FRIDAY, MONDAY = date(2017, 6, 30), date(2017, 7, 3)


def test_it_is_a_calendar_for_the_engine() -> None:
    assert isinstance(NEW_YORK, Calendar)
    assert ExchangeCalendar("XNYS") == NEW_YORK


def test_a_half_day_is_a_session_and_a_holiday_and_a_weekend_are_not() -> None:
    days = NEW_YORK.days(date(2017, 7, 1), date(2017, 7, 9))

    assert days == [HALF_DAY, date(2017, 7, 5), date(2017, 7, 6), date(2017, 7, 7)]
    assert INDEPENDENCE_DAY not in days


def test_both_ends_are_included_and_nothing_lies_between_turned_ends() -> None:
    assert NEW_YORK.days(FRIDAY, MONDAY) == [FRIDAY, MONDAY]
    assert NEW_YORK.days(MONDAY, FRIDAY) == []


@pytest.mark.parametrize(
    ("day", "count", "expected"),
    [
        (FRIDAY, 0, FRIDAY),
        (INDEPENDENCE_DAY, 0, INDEPENDENCE_DAY),
        (FRIDAY, 1, MONDAY),
        (FRIDAY, 2, date(2017, 7, 5)),
        (INDEPENDENCE_DAY, 1, date(2017, 7, 5)),
        (MONDAY, -1, FRIDAY),
        (INDEPENDENCE_DAY, -1, MONDAY),
        (date(2017, 11, 10), -63, date(2017, 8, 14)),
    ],
)
def test_later_counts_sessions(day: date, count: int, expected: date) -> None:
    assert NEW_YORK.later(day, count) == expected


@pytest.mark.parametrize("day", [date(1979, 12, 31), date(2100, 1, 4)])
def test_a_day_outside_its_range_is_refused_with_the_range(day: date) -> None:
    with pytest.raises(ValueError, match=rf"{day} is a session of XNYS is not known.* from 1980-01-01 to "):
        NEW_YORK.days(min(day, FRIDAY), max(day, FRIDAY))


def test_counting_beyond_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="100000 sessions from 2017-06-30 is not known"):
        NEW_YORK.later(FRIDAY, 100_000)
    with pytest.raises(ValueError, match="-1 sessions from 1980-01-02 is not known"):
        NEW_YORK.later(date(1980, 1, 2), -1)
