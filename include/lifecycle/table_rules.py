"""What a day's table must be beside the same table on the days before it. Pure: facts in, sentences out.

A day is compared with days before it only, so that days can be redone and backfilled in any order, and a later day
never makes an earlier one bad. Few rows vary and repeat by chance, so they are not compared.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from statistics import median

import polars as pl

from include.lifecycle.specs import TableSpec

RECENT_DAYS = 7
"""A day is compared with so many accepted days before it at most."""

_FEWEST_DAYS = 3
_FEW_ROWS = 100


@dataclass(frozen=True)
class TableFacts:
    """Rows of a table of an accepted day, and the digest of what they say; None where they are few."""

    rows: int
    content: str | None


def content_digest(good: pl.DataFrame, day: date) -> str | None:
    """Digest of a day's rows, which are in the order of their key, without columns that name the day alone.

    So yesterday's rows have yesterday's digest, even where somebody has written today's date on them.
    """
    if good.height < _FEW_ROWS:
        return None
    names_the_day = [
        name for name, dtype in good.schema.items() if dtype == pl.Date and good[name].eq_missing(day).all()
    ]
    text = io.BytesIO()
    good.drop(names_the_day).write_csv(text)
    return hashlib.sha256(text.getbuffer()).hexdigest()


def table_problems(table: TableSpec, found: TableFacts, recent: Mapping[date, TableFacts]) -> tuple[str, ...]:
    """What is wrong with a day's table beside the recent days', in sentences."""
    problems = [_unusual_rows(table, found, recent), _repeated(table, found, recent)]
    return tuple(problem for problem in problems if problem is not None)


def _unusual_rows(table: TableSpec, found: TableFacts, recent: Mapping[date, TableFacts]) -> str | None:
    if table.usual_rows is None or len(recent) < _FEWEST_DAYS:
        return None
    usual = median(facts.rows for facts in recent.values())
    low, high = table.usual_rows
    if usual < _FEW_ROWS or low * usual <= found.rows <= high * usual:
        return None
    return (
        f"{table.name} has {found.rows:,} rows, and {low:g} to {high:g} times the {usual:,.0f} rows that the last "
        f"{len(recent)} days have in the median are usual."
    )


def _repeated(table: TableSpec, found: TableFacts, recent: Mapping[date, TableFacts]) -> str | None:
    if table.may_repeat or found.content is None:
        return None
    same = [day for day, facts in sorted(recent.items()) if facts.content == found.content]
    return f"{table.name} has the same {found.rows:,} rows as on {same[-1]}." if same else None
