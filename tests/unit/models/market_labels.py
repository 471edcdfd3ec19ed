"""Prices from which labels can be reckoned by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from include.datasets.market import MARKET

DAY = date(2024, 3, 1)


def sessions(count: int) -> list[date]:
    """DAY and the sessions after it."""
    return MARKET.calendar.days(DAY, MARKET.calendar.later(DAY, count))


def prices(closes: Mapping[str, Sequence[float | None]]) -> pl.LazyFrame:
    """Closes by symbol from DAY on; None where there was no trade. Each day opens as the last one closed."""
    rows = []
    for symbol, values in closes.items():
        last = None
        for day, close in zip(sessions(len(values)), values, strict=False):
            if close is not None:
                rows.append({"symbol": symbol, "open": last or close, "close": close, "dt": day})
                last = close
    return pl.LazyFrame(rows, schema={"symbol": pl.String, "open": pl.Float64, "close": pl.Float64, "dt": pl.Date})


def features(*symbols: str) -> pl.DataFrame:
    """A row for each symbol."""
    return pl.DataFrame({"symbol": symbols})
