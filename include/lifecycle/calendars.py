"""On which days a dataset has data, and so how far away in time something is."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Protocol, runtime_checkable


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
