"""Days that may be read, and the sessions to which rows belong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from include.datasets.market.calendar import FIRST_DAY, NEW_YORK

MOST_MISPLACED = 2
"""A session takes at most so many rows of a symbol that belong elsewhere; more would make it look rejected."""


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    def belonging_to(self, session: date) -> Period:
        """Days of the period whose rows belong to a session: it and those since the session before it, if any."""
        earlier = NEW_YORK.days(FIRST_DAY, session - timedelta(days=1))
        since = earlier[-1] + timedelta(days=1) if earlier else FIRST_DAY
        return Period(max(self.first, since), min(self.last, session))

    def sessions(self, first: date | None, last: date | None) -> list[date]:
        """The sessions from a first to a last day within the period; none where there is no such day."""
        if first is None or last is None:
            return []
        return NEW_YORK.days(max(self.first, first), min(self.last, last))


def until_last_session(first: date, last: date) -> Period:
    """The days from `first` to the last session until `last`; none where there is no session between them."""
    sessions = NEW_YORK.days(first, last)
    return Period(first, sessions[-1] if sessions else first - timedelta(days=1))
