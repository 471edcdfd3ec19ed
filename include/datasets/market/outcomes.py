"""What prices did after a day, for the labels of models."""

from __future__ import annotations

from datetime import date

import polars as pl

from include.datasets.market.features import suspected_splits


def log_returns_after(day: date, prices: pl.LazyFrame) -> pl.DataFrame:
    """Daily log returns of each symbol after `day`: `symbol`, `dt` and `log_return` = ln(close / close before).

    Symbols without a price on `day`, and those with a suspected split after it, are left out.

    Parameters
    ----------
    prices : clean `symbol`, `open`, `close` of the sessions from `day` on, with their day in `dt`.
    """
    rows = prices.filter(pl.col("dt") >= day).sort("symbol", "dt").collect()
    known = rows.filter(pl.col("dt") == day)["symbol"]
    split = suspected_splits(rows)["symbol"]
    kept = rows.filter(pl.col("symbol").is_in(known.implode()) & ~pl.col("symbol").is_in(split.implode()))
    return kept.select(
        "symbol", "dt", log_return=(pl.col("close") / pl.col("close").shift(1).over("symbol")).log()
    ).drop_nulls()
