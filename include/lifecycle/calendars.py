"""On which days a dataset has data, and so how far away in time something is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Protocol, runtime_checkable

STRAY_DAYS = 3
"""So many days at one end are strays at most, and only where the other days outnumber them."""

STRAY_GAP = timedelta(days=366)
"""A larger gap than this lies between strays and all other days."""

DAYS_THAT_TELL = 2 * STRAY_DAYS + 1
"""So many days from an end tell which of them are strays."""


def first_plausible(days: Sequence[date]) -> date:
    """The first of some days that is no stray, as a lone 1970-01-01 is that would stretch the whole calendar.

    Of days in ascending order that is where the data begin; of days in descending order, where they end.
    """
    for count in range(min(STRAY_DAYS, (len(days) - 1) // 2), 0, -1):
        if abs(days[count] - days[count - 1]) > STRAY_GAP:
            return days[count]
    return days[0]


@runtime_checkable
class Calendar(Protocol):
    """The days on which a dataset has data."""

    @property
    def unit(self) -> str:
        """What one of the calendar's days is called."""
        ...

    def days(self, first: date, last: date) -> list[date]:
        """The calendar's days from `first` to `last`, both included, oldest first."""
        ...

    def later(self, day: date, count: int) -> date:
        """The calendar's day that is `count` of its days after `day`; for 0, `day` itself."""
        ...


class EveryDay:
    """All days."""

    unit = "day"

    def days(self, first: date, last: date) -> list[date]:
        """All days from `first` to `last`."""
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    def later(self, day: date, count: int) -> date:
        """The day `count` days after `day`."""
        return day + timedelta(days=count)
