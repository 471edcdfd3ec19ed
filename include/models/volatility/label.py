"""What the volatility model predicts: the realized volatility of the next 21 sessions."""

from __future__ import annotations

from datetime import date

import polars as pl

from include.datasets.market.calendar import SESSIONS_PER_YEAR
from include.datasets.market.outcomes import log_returns_after

HORIZON = 21
FEWEST_RETURNS = 17


def realized_volatility_ahead(day: date, features: pl.DataFrame, prices: pl.LazyFrame) -> pl.DataFrame:
    """Label of each symbol of `day`: its realized volatility over the 21 sessions after it, annualised.

    The root of 252 times the mean squared daily log return, as in the feature `volatility_21d`. Symbols with
    fewer than 17 returns in the window (halted, delisted), or with a suspected split in it, are left out.

    Parameters
    ----------
    features : a row per symbol with `symbol`.
    prices : clean `symbol`, `open`, `close` of the sessions from `day` to the window's end, day in `dt`.

    Returns
    -------
    `symbol` and `label` (Float64).
    """
    returns = log_returns_after(day, prices).filter(pl.len().over("symbol") >= FEWEST_RETURNS)
    measured = returns.group_by("symbol").agg(
        label=(SESSIONS_PER_YEAR * (pl.col("log_return") ** 2).mean()).sqrt()
    )
    return features.select("symbol").join(measured, on="symbol").sort("symbol")
