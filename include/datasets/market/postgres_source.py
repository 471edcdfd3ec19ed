"""Prices from a table of an operational database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from include.datasets.market.calendar import FIRST_DAY
from include.datasets.market.periods import MOST_MISPLACED, Period, until_last_session
from include.datasets.market.price_files import COLUMNS
from include.lifecycle.calendars import DAYS_THAT_TELL, first_plausible
from include.lifecycle.specs import Extracted
from include.sources.postgres import columns_of, reading, stream


@dataclass(frozen=True)
class PostgresSource:
    """The table `market.prices` as it is now, late corrections included.

    With its primary key (symbol, date) and an index on date, no query reads more rows than it answers. A column
    that the table has lost is missing in the file as well, so that validation meets it.
    """

    connection: Any
    symbols: tuple[str, ...]
    period: Period
    max_lag_days: int | None
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    def days(self) -> list[date]:
        """All sessions from the first to the last day of any symbol, strays left out; none before there is any.

        A session on which all of them lack a row is among them, so that validation meets it.
        """
        return self.period.sessions(self._body.first, self._body.last) if self._body else []

    def faults(self) -> list[str]:
        """Symbols with more strays than a day can bear, in a sentence each."""
        most = MOST_MISPLACED if self.days() else 0
        return [
            f"market.prices of {symbol} has {count:,} rows that are left out: their date cannot be right, e.g. "
            f"{day}. Correct them, or set `first_day` and `last_day`."
            for symbol, (count, day) in self._strays.items()
            if count > most
        ]

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Stream the rows that belong to `day` into `file`, by symbol and date."""
        if not self._columns:
            return None
        belonging = self.period.belonging_to(day)
        with_few_strays = [name for name in self.symbols if self._strays.get(name, (0, ""))[0] <= MOST_MISPLACED]
        values = {
            **self._bounds,
            "from": belonging.first,
            "to": belonging.last,
            "symbols": list(self.symbols),
            "with_few_strays": with_few_strays,
        }
        strays = f"or {_IS_STRAY} and symbol = any(%(with_few_strays)s)" if self.days()[-1:] == [day] else ""
        query = (
            f"select {', '.join(self._columns)} from market.prices where symbol = any(%(symbols)s)"
            f" and (date between %(from)s and %(to)s {strays}) order by symbol, date"
        )
        with reading(self.connection) as cursor:
            return stream(cursor, query, values, file)

    @cached_property
    def _body(self) -> Period | None:
        """The days from the first plausible one to the last session; None where there are no rows."""
        if not self._columns:
            return None
        earliest, latest = self._end_days("asc"), self._end_days("desc")
        return until_last_session(first_plausible(earliest), first_plausible(latest)) if earliest else None

    def _end_days(self, order: Literal["asc", "desc"]) -> list[date]:
        """The days at one end of the symbols' rows, from the outermost on: enough to tell which are strays."""
        rows = self._fetch(
            "select distinct ends.date from unnest(%(symbols)s) as symbols (name), lateral"
            " (select date from market.prices where symbol = name and date between %(from)s and %(to)s"
            f" order by date {order} limit {DAYS_THAT_TELL}) as ends order by date {order}",
            {
                "symbols": list(self.symbols),
                "from": max(self.period.first, FIRST_DAY),
                "to": min(self.period.last, self.today),
            },
        )
        return [day for (day,) in rows]

    @cached_property
    def _strays(self) -> dict[str, tuple[int, str]]:
        """By symbol, how many rows lie within the period but outside the body, and the day of one.

        The day is a text, as no date of Python says `infinity` or 0044-03-15 BC.
        """
        if not self._columns:
            return {}
        rows = self._fetch(
            "select symbol, count(*), max(date)::text from market.prices"
            f" where symbol = any(%(symbols)s) and {_IS_STRAY} group by symbol order by symbol",
            {"symbols": list(self.symbols), **self._bounds},
        )
        return {symbol: (count, day) for symbol, count, day in rows}

    @property
    def _bounds(self) -> dict[str, date | str]:
        """The body's ends and the period's; without a body, all rows are outside it."""
        body = self._body or Period(date.max, date.min)
        first, last = self.period.first, self.period.last
        return {
            "first": body.first,
            "last": body.last,
            "period_first": "-infinity" if first == date.min else first,
            "period_last": "infinity" if last == date.max else last,
        }

    @cached_property
    def _columns(self) -> list[str]:
        """Those of our columns that the table has; none where there is no table."""
        present = set(columns_of(self.connection, "market", "prices", ("date",)))
        if present and not {"symbol", "date"} <= present:
            raise ValueError(
                f"A day's rows cannot be found without the columns 'symbol' and 'date'; market.prices has "
                f"{sorted(present)}."
            )
        return [name for name in COLUMNS if name in present]

    def _fetch(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with reading(self.connection) as cursor:
            cursor.execute(query, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


_IS_STRAY = "((date < %(first)s or date > %(last)s) and date between %(period_first)s and %(period_last)s)"
