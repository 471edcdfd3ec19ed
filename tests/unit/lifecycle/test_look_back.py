"""Days that are not done are looked for near the newest published day, and before that only where it may help."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.lifecycle.look_back import LOOK_BACK, Look, undone_days

FIRST = date(2020, 1, 1)
NEWEST = FIRST + timedelta(days=1000)
SINCE = NEWEST - LOOK_BACK
DAYS = [FIRST + timedelta(days=number) for number in range(1003)]
NEW, OLD, OLDEST_LOOKED_AT = DAYS[-2:], DAYS[100], SINCE


def looks(undone: list[date], newest: date | None, lost: date | None = None) -> tuple[list[date], list[date]]:
    """What is found, and the days from which was looked."""
    asked = []

    def look(since: date) -> Look:
        asked.append(since)
        within = [day for day in DAYS if day >= since]
        published = [day for day in within if day not in undone and day != lost]
        return Look(within, [day for day in undone if day >= since], published)

    return undone_days(newest, FIRST, look), asked


def test_only_days_near_the_newest_published_one_are_looked_at() -> None:
    assert looks([OLD, *NEW], NEWEST) == (NEW, [SINCE])
    assert looks([], NEWEST) == ([], [SINCE])


@pytest.mark.parametrize(
    ("undone", "lost"),
    [
        pytest.param([OLD, OLDEST_LOOKED_AT, *NEW], None, id="the oldest one is undone"),
        pytest.param([OLD, *NEW], NEWEST, id="the newest published one is lost"),
    ],
)
def test_all_of_the_history_is_looked_at_where_there_may_be_more(undone: list[date], lost: date | None) -> None:
    assert looks(undone, NEWEST, lost) == (undone, [SINCE, FIRST])


@pytest.mark.parametrize("newest", [None, FIRST + timedelta(days=10)])
def test_one_look_at_all_of_a_history_is_enough(newest: date | None) -> None:
    assert looks([FIRST, OLD], newest) == ([FIRST, OLD], [FIRST])


def test_a_look_that_finds_nothing_ends_there() -> None:
    asked = []

    def look(since: date) -> Look:
        asked.append(since)
        return Look([], [], [NEWEST])

    assert (undone_days(NEWEST, FIRST, look), asked) == ([], [SINCE])
