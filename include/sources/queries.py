"""Queries of a PostgreSQL database, with the day as a parameter."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from include.lifecycle.shown import short
from include.lifecycle.specs import Extracted
from include.sources.postgres import reading, stream

log = logging.getLogger(__name__)

PARAMETER = "%(day)s"
_MOST_NAMED = 5
_LITERAL = r"""'(?:[^']|'')*'|"(?:[^"]|"")*\""""
_COMMENT = r"--[^\n\r]*|/\*(?:(?!/\*).)*?\*/"


def check_query(query: str) -> None:
    """Refuse a query that cannot be asked for a day.

    Raises
    ------
    ValueError
        If it has no `%(day)s`, or other per cent signs that are not doubled, or is more than one query.
    """
    check_is_one_query(query)
    try:
        query % {"day": "day"}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"The query {query!r} has a per cent sign that is no {PARAMETER} ({error}); write %% for one that "
            "stands for itself."
        ) from error
    if PARAMETER not in query:
        raise ValueError(f"The query {query!r} does not say where the day goes; write {PARAMETER} there.")


def check_is_one_query(query: str) -> None:
    """Refuse what could end the read-only transaction or the parentheses in which a query is run.

    Raises
    ------
    ValueError
        If it has a semicolon but at its end, parentheses that do not match, or quotes that a reader may mistake.
    """
    if ";" in _without_end(query):
        raise ValueError(f"The query {query!r} has a semicolon before its end; give one query, without any.")
    # One pass, so that a quote in a comment opens no text and a comment in a text is none.
    code = re.sub(f"({_LITERAL})|{_COMMENT}", lambda found: "''" if found[1] else " ", query, flags=re.DOTALL)
    if re.search(r"(?i)\be''|\$|/\*|\*/", code) or re.search(r"['\"]", code.replace("''", "")):
        raise ValueError(
            f"The query {query!r} has quotes that do not close, an E'...' or $$...$$ text, or nested comments; "
            "write texts as '...'."
        )
    depth = 0
    for mark in re.findall(r"[()]", code):
        depth += 1 if mark == "(" else -1
        if depth < 0:
            break
    if depth:
        raise ValueError(f"The query {query!r} has parentheses that do not match; correct them.")


def _without_end(query: str) -> str:
    return query.rstrip().removesuffix(";").rstrip()


def _day_of(text: str) -> date | None:
    """A date as PostgreSQL writes it; None for one that no calendar of Python has."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class QuerySource:
    """A query per table, which gives a day's rows as known at the end of that day, and one for the days."""

    connection: Any
    queries: Mapping[str, str]
    days_query: str
    max_lag_days: int | None

    def days(self) -> list[date]:
        """The days that the query for them gives, without those that have not come yet where it leaves them out.

        Dates that are outside the years 1 to 9999, such as `infinity`, are named in the log and ignored.

        Raises
        ------
        ValueError
            If it gives anything but days.
        """
        with reading(self.connection) as cursor:
            self._only_read(cursor)
            # As texts, since psycopg2 fails on a date that Python does not have.
            cursor.execute(
                "select pg_typeof(the_day)::text, the_day::text"
                f" from (\n{_without_end(self.days_query)}\n) as days (the_day)"
            )
            found = cursor.fetchall()
        strange = [text for kind, text in found if kind != "date" or text is None]
        if strange:
            raise ValueError(
                f"The query for the days, {self.days_query!r}, gives {strange[0]!r}, which is no date; cast it "
                "(::date) and leave missing ones out."
            )
        days = {text: _day_of(text) for _, text in found}
        if impossible := sorted(text for text, day in days.items() if day is None):
            named = ", ".join(map(short, impossible[:_MOST_NAMED]))
            log.warning("The query for the days gives impossible dates, so ignored: %s.", named)
        return sorted(day for day in days.values() if day is not None)

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Stream the rows of `day` into `file`."""
        if table not in self.queries:
            return None
        with reading(self.connection) as cursor:
            self._only_read(cursor)
            return stream(cursor, _without_end(self.queries[table]), {"day": day}, file)

    @staticmethod
    def _only_read(cursor: Any) -> None:
        """A query comes from settings, so it shall change nothing."""
        cursor.execute("set transaction read only")
        # Else a backslash before a quote would not end a text where `check_is_one_query` sees its end.
        cursor.execute("set local standard_conforming_strings = on")
