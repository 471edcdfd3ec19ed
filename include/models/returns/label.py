"""What the returns model predicts: the log return of the next 5 sessions."""

from __future__ import annotations

from datetime import date

import polars as pl

from include.datasets.market.outcomes import log_returns_after

HORIZON = 5


def return_ahead(day: date, features: pl.DataFrame, prices: pl.LazyFrame) -> pl.DataFrame:
    """Label of each symbol of `day`: ln(close 5 sessions later / close of `day`).

    Symbols without a price at the end of the window (halted, delisted), or with a suspected split in it, are left
    out.

    Parameters
    ----------
    features : a row per symbol with `symbol`.
    prices : clean `symbol`, `open`, `close` of the sessions from `day` to the window's end, day in `dt`.

    Returns
    -------
    `symbol` and `label` (Float64).
    """
    returns = log_returns_after(day, prices)
    complete = returns.filter((pl.col("dt") == returns["dt"].max()).any().over("symbol"))
    measured = complete.group_by("symbol").agg(label=pl.col("log_return").sum())
    return features.select("symbol").join(measured, on="symbol").sort("symbol")
