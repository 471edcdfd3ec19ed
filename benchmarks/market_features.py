"""Features of the market for all days at once, beside plain pandas with groupby and rolling on the same rows."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.processes import peak_megabytes
from benchmarks.ratios import Ratio
from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.features import NUMERIC, make_features

SYMBOLS = int(os.environ.get("MARKET_SYMBOLS", "1000"))
SESSIONS = int(os.environ.get("MARKET_SESSIONS", "2520"))
LAST_SESSION = date(2025, 12, 31)
RUNS = 5
MIN_RATIO = 5.0
MAX_DIFFERENCE = 1e-9
MAX_GIGABYTES = 2.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Result:
    """Seconds of both sides, how far their values are apart, and the memory that ours took."""

    rows: int
    pandas: float
    ours: float
    max_difference: float
    peak_gigabytes: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.pandas / self.ours


def prices(symbols: int, sessions: int) -> pl.DataFrame:
    """Random walks without gaps, by day and symbol, as the lake gives them.

    Daily returns have 1.5 %. After the deep falls that 2 % bring, the running sums of pandas are themselves off by
    more than the difference that is allowed here.
    """
    days = NEW_YORK.days(date(1990, 1, 1), LAST_SESSION)[-sessions:]
    rng = np.random.default_rng(7)
    returns = rng.normal(0.0003, 0.015, (sessions, symbols))
    close = (100 * np.exp(returns.cumsum(axis=0))).ravel()
    names = pl.Series([f"S{number:04d}" for number in range(symbols)])
    return pl.DataFrame(
        {
            "symbol": pl.concat([names] * sessions),
            "open": close * np.exp(rng.normal(0, 0.005, close.size)),
            "close": close,
            "volume": np.round(np.exp(rng.normal(14, 0.5, close.size))),
            "dt": pl.Series(np.repeat(np.array(days, dtype="datetime64[D]"), symbols)).cast(pl.Date),
        }
    )


def with_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    """The same features, written down as one would with groupby and rolling, for rows without gaps or splits."""
    frame = frame.sort_values(["symbol", "dt"], ignore_index=True)

    def by_symbol(values: Any) -> Any:
        return values.groupby(frame["symbol"], sort=False)

    def rolling(values: Any, rows: int) -> Any:
        return by_symbol(values).rolling(rows)

    def flat(windows: Any) -> Any:
        return windows.reset_index(level=0, drop=True)

    close, log_close = frame["close"], np.log(frame["close"])
    made = frame[["symbol", "dt", "close"]].copy()
    for rows in (1, 5, 21):
        made[f"return_{rows}d"] = by_symbol(log_close).diff(rows)
    squares = made["return_1d"] ** 2
    for rows in (5, 21, 63):
        made[f"volatility_{rows}d"] = np.sqrt(252 * flat(rolling(squares, rows).mean()))
    changes = by_symbol(close).diff()
    gains = flat(rolling(changes.clip(lower=0), 14).sum())
    losses = flat(rolling((-changes).clip(lower=0), 14).sum())
    made["rsi_14"] = 100 * gains / (gains + losses)
    bands = rolling(close, 20)
    made["bollinger_20"] = (close - flat(bands.mean())) / (2 * flat(bands.std(ddof=0)))
    for rows in (10, 50):
        made[f"distance_sma_{rows}"] = close / flat(rolling(close, rows).mean()) - 1
    log_volume = np.log(frame["volume"])
    volumes = rolling(log_volume, 21)
    made["volume_z_21"] = (log_volume - flat(volumes.mean())) / flat(volumes.std(ddof=0))
    made["drawdown_63d"] = close / flat(rolling(close, 63).max()) - 1
    by_day = made.groupby("dt")
    market = by_day["return_1d"].mean()
    made["market_return_1d"] = made["dt"].map(market)
    made["market_return_5d"] = by_day["return_5d"].transform("mean")
    made["market_volatility_21d"] = made["dt"].map(np.sqrt(252 * (market**2).rolling(21).mean()))
    return made.dropna().sort_values(["dt", "symbol"], ignore_index=True)


def with_ours(frame: pl.DataFrame) -> pl.DataFrame:
    """All days' features in one frame."""
    days = frame["dt"].unique().sort().to_list()
    return pl.concat(features for _, features in make_features(days, {"prices": frame.lazy()}))


def run(symbols: int = SYMBOLS, sessions: int = SESSIONS) -> Result:
    """Measure both sides by turns."""
    frame = prices(symbols, sessions)
    with_ours(frame)
    peak = peak_megabytes() / 1000
    pandas = frame.to_pandas()
    theirs, ours = [], []
    for _ in range(RUNS):
        seconds, expected = timed(lambda: with_pandas(pandas))
        theirs.append(seconds)
        seconds, made = timed(lambda: with_ours(frame))
        ours.append(seconds)
    # The best run is the one that other programs have slowed down least.
    return Result(frame.height, min(theirs), min(ours), max_difference(made, expected), peak)


def max_difference(made: pl.DataFrame, expected: pd.DataFrame) -> float:
    """The largest absolute difference of any feature.

    Raises
    ------
    ValueError
        If the two do not have the same rows.
    """
    if made["symbol"].to_list() != expected["symbol"].to_list():
        raise ValueError(
            f"Ours has {made.height:,} rows and pandas {len(expected):,}, or they are of other symbols."
        )
    return max(float(np.abs(made[name].to_numpy() - expected[name].to_numpy()).max()) for name in NUMERIC)


def timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """Seconds that `work` takes, and its answer."""
    gc.collect()
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def main(share: float = 1.0) -> list[Ratio]:
    symbols = round(share * SYMBOLS)
    result = run(symbols)
    table = Table(
        "measure",
        "value",
        "limit",
        title=f"Features of {symbols:,} symbols on {SESSIONS:,} days",
        caption="Memory is that of the whole process, the prices included, before pandas is run.",
    )
    table.add_row("rows", f"{result.rows:,}", "")
    table.add_row("pandas groupby and rolling, s", f"{result.pandas:.2f}", "")
    table.add_row("ours, s", f"{result.ours:.2f}", "")
    table.add_row("times faster", f"{result.ratio:.1f}", f"at least {MIN_RATIO:.0f}")
    table.add_row("largest difference of a value", f"{result.max_difference:.0e}", f"{MAX_DIFFERENCE:.0e}")
    table.add_row("peak memory, GB", f"{result.peak_gigabytes:.2f}", f"{MAX_GIGABYTES:.0f}")
    Console().print(table)
    return [
        Ratio("times faster than pandas", result.ratio, MIN_RATIO, at_least=True),
        Ratio("largest difference from pandas", result.max_difference, MAX_DIFFERENCE),
        Ratio("peak memory, GB", result.peak_gigabytes, MAX_GIGABYTES),
    ]
