"""The sessions of a stock exchange."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date
from functools import cache

SESSIONS_PER_YEAR = 252
"""Of the New York Stock Exchange, as is customary; rates per session become annual with it."""

FIRST_DAY = date(1980, 1, 1)
"""Sessions before it are not known."""


@dataclass(frozen=True)
class ExchangeCalendar:
    """The days on which an exchange trades, half days included, from 1980 to a year ahead.

    `exchange` is its market identifier code (ISO 10383), e.g. XNYS for the New York Stock Exchange.
    """

    exchange: str

    @property
    def unit(self) -> str:
        """What one of its days is called."""
        return "session"

    def days(self, first: date, last: date) -> list[date]:
        """The sessions from `first` to `last`, both included, oldest first.

        Raises
        ------
        ValueError
            If sessions are not known so early or so late.
        """
        sessions = _sessions(self.exchange)
        if last < first:
            return []
        self._refuse_unknown(first)
        self._refuse_unknown(last)
        return list(sessions[bisect_left(sessions, first) : bisect_right(sessions, last)])

    def later(self, day: date, count: int) -> date:
        """The session that is `count` sessions after `day`, or before it if negative; for 0, `day` itself.

        Raises
        ------
        ValueError
            If sessions are not known so early or so late.
        """
        if count == 0:
            return day
        self._refuse_unknown(day)
        sessions = _sessions(self.exchange)
        number = bisect_right(sessions, day) + count - 1 if count > 0 else bisect_left(sessions, day) + count
        if not 0 <= number < len(sessions):
            raise ValueError(
                f"The session of {self.exchange} that is {count} sessions from {day} is not known: "
                f"{self._described()} Ask for fewer."
            )
        return sessions[number]

    def _refuse_unknown(self, day: date) -> None:
        if not FIRST_DAY <= day <= _sessions(self.exchange)[-1]:
            raise ValueError(
                f"Whether {day} is a session of {self.exchange} is not known: {self._described()} "
                "Ask for a day between them."
            )

    def _described(self) -> str:
        return f"the calendar goes from {FIRST_DAY} to {_sessions(self.exchange)[-1]}."


NEW_YORK = ExchangeCalendar("XNYS")


@cache
def _sessions(exchange: str) -> tuple[date, ...]:
    import exchange_calendars  # takes a second, as it loads pandas

    return tuple(exchange_calendars.get_calendar(exchange, start=FIRST_DAY.isoformat()).sessions.date)
