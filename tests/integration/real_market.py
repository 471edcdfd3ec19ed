"""The five real stocks in a lake of their own, clean and with features."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from include.datasets.market import MARKET
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.data_files import REAL_PRICES

FOLDER = REAL_PRICES
SYMBOLS = ("AAPL", "AMZN", "GOOGL", "MSFT", "TSLA")
FIRST, LAST = date(2010, 6, 28), date(2017, 11, 10)
RUN = RunInfo("market", datetime(2017, 11, 11, tzinfo=UTC), "test")
CLEAN = MARKET.clean("prices")


def prices() -> pl.DataFrame:
    """Rows of the common years with volume, as clean `prices`."""
    files = [
        pl.read_csv(FOLDER / f"{symbol.lower()}.us.txt", try_parse_dates=True).with_columns(symbol=pl.lit(symbol))
        for symbol in SYMBOLS
    ]
    rows = pl.concat(files).rename(str.lower).filter(pl.col("date").is_between(FIRST, LAST), pl.col("volume") > 0)
    schema = pl.Schema(MARKET.table("prices").columns)
    return rows.select(schema.names()).cast(schema)


def publish(lake: Lake, rows: pl.DataFrame, scratch: Path) -> Sequence[date]:
    """Publish clean prices and their features; returns the days."""
    by_day = {
        day: frame for (day,), frame in rows.sort("date", "symbol").partition_by("date", as_dict=True).items()
    }
    for day, frame in by_day.items():
        lake.publish_frame(CLEAN, day, frame, run=RUN, scratch=scratch)
    build_features(MARKET, lake, list(by_day), RUN)
    return list(by_day)
