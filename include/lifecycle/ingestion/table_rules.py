"""What a day's table must be beside the same table on the days before it. Pure: facts in, sentences out.

A day is compared with days before it that were accepted, or rejected for their number of rows alone. So a lasting
change of that number rejects `LEVEL_DAYS` days and no more; done again, or in one run with the days after them,
they are accepted, because those have as many rows. Later days never make an earlier one bad. Few rows vary and
repeat by chance, so they are not compared.
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

COMPARED_DAYS = 7
"""A day is compared with so many days on either side of it at most."""

LEVEL_DAYS = 3
"""A number of rows that so many days in a row have is usual; fewer days say nothing."""

_FEW_ROWS = 100


@dataclass(frozen=True)
class TableFacts:
    """Rows of a table of a day, and the digest of what they say; None where they are few."""

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


Facts = Mapping[date, TableFacts]
"""Of the same table on other days, by day, oldest first."""


def unusual_rows(table: TableSpec, found: TableFacts, before: Facts) -> str | None:
    """A sentence where a day has neither as many rows as the days before it usually have, nor as the last ones."""
    if table.usual_rows is None or len(before) < LEVEL_DAYS:
        return None
    usual = median(facts.rows for facts in before.values())
    low, high = (factor * usual for factor in table.usual_rows)
    if usual < _FEW_ROWS or low <= found.rows <= high or is_level(table, found, before, {}):
        return None
    return (
        f"{table.name} has {found.rows:,} rows; the median of the last {len(before)} days is {usual:,.0f}, and "
        f"{low:,.0f} to {high:,.0f} are allowed."
    )


def is_level(table: TableSpec, found: TableFacts, before: Facts, after: Facts) -> bool:
    """Whether a day has as many rows, more or less, as `LEVEL_DAYS` days in a row next to it or around it."""
    if table.usual_rows is None:
        return False
    low, high = table.usual_rows
    neighbours = [*list(before.values())[-LEVEL_DAYS:], *list(after.values())[:LEVEL_DAYS]]
    is_like = [low * other.rows <= found.rows <= high * other.rows for other in neighbours]
    return any(all(is_like[start : start + LEVEL_DAYS]) for start in range(len(is_like) - LEVEL_DAYS + 1))


def repeated_rows(table: TableSpec, found: TableFacts, before: Facts) -> str | None:
    """A sentence where a day has the rows of one before it."""
    if table.may_repeat or found.content is None:
        return None
    same = [day for day, facts in before.items() if facts.content == found.content]
    return f"{table.name} has the same {found.rows:,} rows as on {same[-1]}." if same else None
