"""Features of a table's rows and their past: a made feature is a polars expression over the rows of a key.

The expression sees the rows from `history_days` before the day up to the day itself, oldest first, with their day
in `dt`. Any aggregation will do: `lag`, `trailing_mean`, or one of your own, such as `pl.col("price").std()`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from include.toolkit.keys import lasting

Days = Sequence[date]
Tables = Mapping[str, pl.LazyFrame]
Features = Iterator[tuple[date, pl.DataFrame]]
_DAYS_OF_A_WEEK = 7
_TODAY = pl.col("dt").max()


def lag(column: str, days: int) -> pl.Expr:
    """The column's value so many days before; null where there is no row of that day."""
    return pl.col(column).filter(pl.col("dt") == _TODAY - timedelta(days=days)).first()


def same_weekday(column: str, days_ahead: int) -> pl.Expr:
    """The column's newest value of the weekday so many days ahead, which is today's value for 7 days."""
    return lag(column, days=-days_ahead % _DAYS_OF_A_WEEK)


def trailing_mean(column: str, days: int) -> pl.Expr:
    """The column's mean over the last so many days, today's included; days without a row count for nothing."""
    return pl.col(column).filter(pl.col("dt") > _TODAY - timedelta(days=days)).mean()


def weekday() -> pl.Expr:
    """The day of the week, from 1 for Monday to 7."""
    return _TODAY.dt.weekday()


def features_by_key(
    days: Days,
    rows: pl.LazyFrame,
    key: Sequence[str],
    history_days: int,
    columns: Sequence[str],
    made: Mapping[str, pl.Expr],
) -> Features:
    """Each day with the features of its rows, sorted by key.

    Parameters
    ----------
    rows : clean rows of a table with their day in `dt`.
    key : columns that tell the rows of a day apart; earlier rows with the same key, dates left aside, are a row's
        past.
    history_days : how many days before the day `made` sees.
    columns : the features: columns of the day's row, or names in `made`.
    made : features that are made of the past; see this module.
    """
    by = lasting(key, rows.collect_schema())
    for day in days:
        today = rows.filter(pl.col("dt") == day)
        if made:
            known = rows.filter(pl.col("dt").is_between(day - timedelta(days=history_days), day))
            # In one order, as floats that are added up in another one differ in their last digits.
            known = known.sort(*by, "dt")
            past = known.group_by(by, maintain_order=True).agg(**made) if by else known.select(**made)
            today = today.drop(made, strict=False).join(past, on=by or None, how="left" if by else "cross")
        yield day, today.select(list(dict.fromkeys((*key, *columns)))).sort(key).collect()
