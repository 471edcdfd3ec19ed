"""Prices of made-up symbols, and the features that are made of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.features import (
    make_features,
)

SESSIONS = NEW_YORK.days(date(2016, 1, 1), date(2017, 12, 31))


def rows(symbol: str, closes: Sequence[float], first: int = 0, **columns: Sequence[float]) -> pl.DataFrame:
    """A symbol's prices on successive sessions from number `first` on; it opens at its last close."""
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(closes),
            "dt": SESSIONS[first : first + len(closes)],
            "open": [closes[0], *closes[:-1]],
            "close": closes,
            "volume": [1000.0] * len(closes),
            **columns,
        },
        schema_overrides={"open": pl.Float64, "close": pl.Float64, "volume": pl.Float64},
    )


def walk(symbol: str, sessions: int, first: int = 0, seed: int = 7) -> pl.DataFrame:
    """A random walk of prices and volumes."""
    rng = np.random.default_rng([seed, *symbol.encode()])
    closes = (50 * np.exp(rng.normal(0, 0.02, sessions).cumsum())).tolist()
    return rows(symbol, closes, first, volume=np.exp(rng.normal(14, 0.5, sessions)).tolist())


def made(days: Iterable[date], *tables: pl.DataFrame) -> dict[date, pl.DataFrame]:
    return dict(make_features(list(days), {"prices": pl.concat(tables).lazy()}))


def of(symbol: str, features: pl.DataFrame) -> Mapping[str, Any]:
    return features.row(by_predicate=pl.col("symbol") == symbol, named=True)


def as_bytes(features: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    features.rechunk().write_ipc(buffer)
    return buffer.getvalue()


def split(symbol: str, at: int, ratio: float, sessions: int = 200, news: float = 1.0) -> pl.DataFrame:
    """A walk that opens on session number `at` at its last close over `ratio`, moved by `news`."""
    opened = pl.col("dt") == SESSIONS[at]
    after = pl.col("dt") >= SESSIONS[at]
    return walk(symbol, sessions).with_columns(
        open=pl.when(after).then(pl.col("open") / ratio).otherwise("open")
        * pl.when(opened).then(news).otherwise(1),
        close=pl.when(after).then(pl.col("close") / ratio).otherwise("close"),
    )
