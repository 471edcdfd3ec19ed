"""What is known of a symbol, and of the market, at the end of a day.

All days are worked on together. The features of a day are the same to the last bit whichever other days are: see
`windows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.datasets.market.calendar import SESSIONS_PER_YEAR
from include.datasets.market.windows import (
    Values,
    shifted,
    window_max,
    window_mean,
    window_mean_and_deviation,
    window_sum,
)

RETURNS = 63
"""Daily returns, a quarter of a year, that a symbol needs for its features."""

# 63 returns span at most 97 days (2001); 120 days hold them even if a symbol missed 15 sessions.
HISTORY_DAYS = 120

_OF_SYMBOL = (
    "return_1d",
    "return_5d",
    "return_21d",
    "volatility_5d",
    "volatility_21d",
    "volatility_63d",
    "rsi_14",
    "bollinger_20",
    "distance_sma_10",
    "distance_sma_50",
    "volume_z_21",
    "drawdown_63d",
)
NUMERIC = (*_OF_SYMBOL, "market_return_1d", "market_return_5d", "market_volatility_21d")
SCHEMA = {"symbol": pl.String, "close": pl.Float64, **dict.fromkeys(NUMERIC, pl.Float64)}

SPLITS = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50)
"""New shares for an old one. Reverse splits are the whole ones turned round."""
SPLIT_TOLERANCE = 0.03

_SHARES = np.array([*SPLITS, *(1 / ratio for ratio in SPLITS if ratio >= 2)])
_MARKET_RETURNS = 21
_BLOCK_ROWS = 2**17


@dataclass(frozen=True)
class _Prices:
    """Flat columns of rows sorted by symbol and day; `position` counts a row's returns since its segment began.

    A segment is a symbol's rows up to a suspected split, or from it on.
    """

    symbol: pl.Series
    day: NDArray[np.int32]
    close: Values
    volume: Values
    position: NDArray[np.int32]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether a row has all its returns, and the row before the first of them is young enough."""
        oldest = np.empty_like(self.day)
        oldest[RETURNS:] = self.day[: max(len(self.day) - RETURNS, 0)]
        return np.asarray((self.position >= RETURNS) & (self.day - oldest <= HISTORY_DAYS))


def make_features(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[tuple[date, pl.DataFrame]]:
    """Each day with its features: one row per symbol, by symbol, without missing values.

    A symbol has features on a day on which it was traded, if its 63 daily returns up to that day lie within
    `HISTORY_DAYS` calendar days and no suspected split (see `suspected_splits`) is among them. Returns are from
    one of its own rows to the next, so that a short halt is one return.

    Parameters
    ----------
    tables : clean `prices` with the partition's day in `dt`, in any order.

    Returns
    -------
    `symbol`, `close` (as it is, for decisions), and with C the close, V the volume, r = ln(C_t / C_t-1):

    - `return_1d`, `return_5d`, `return_21d`: ln(C_t / C_t-n).
    - `volatility_5d`, `volatility_21d`, `volatility_63d`: realized volatility of a year, sqrt(252 mean(r^2)) over
      n returns; Corsi (2009), A Simple Approximate Long-Memory Model of Realized Volatility.
    - `rsi_14`: relative strength index as Cutler has it, 100 gains / (gains + losses), summed over 14 changes of
      C; 50 where there was no change. Wilder's averages all the past, which no finite history gives.
    - `bollinger_20`: (C - mean) / (2 sd) over 20 closes, sd the population's; 1 is the upper band, -1 the lower
      (Bollinger 2001, Bollinger on Bollinger Bands); 0 where all are equal.
    - `distance_sma_10`, `distance_sma_50`: C / mean(C) - 1 over n closes.
    - `volume_z_21`: (ln V - mean) / sd over 21 values of ln V, sd the population's; 0 where all are equal.
    - `drawdown_63d`: C / max(C) - 1 over 63 closes; 0 or below.
    - `market_return_1d`, `market_return_5d`: mean of the day's column over all its symbols.
    - `market_volatility_21d`: sqrt(252 mean(m^2)) over 21 returns m of the day's symbols held in equal weights;
      m of k returns ago is the mean, over the day's symbols, of their own returns of then.
    """
    prices = _flat(tables["prices"])
    numbers = pl.Series(days, dtype=pl.Date).to_physical().to_numpy()
    rows = np.flatnonzero(prices.complete & np.isin(prices.day, numbers))
    by_day = np.argsort(prices.day[rows], kind="stable")
    day_of_row = prices.day[rows][by_day]
    columns = _of_symbols(prices, rows, by_day)
    features = pl.DataFrame(
        {
            "symbol": prices.symbol.gather(rows[by_day]).cast(pl.String),
            **columns,
            **_of_market(columns, prices, rows, day_of_row),
        }
    )
    firsts = np.searchsorted(day_of_row, numbers, "left").tolist()
    ends = np.searchsorted(day_of_row, numbers, "right").tolist()
    for day, first, end in zip(days, firsts, ends, strict=True):
        yield day, features[first:end]


def suspected_splits(prices: pl.DataFrame) -> pl.DataFrame:
    """Rows that look like the first after a split for which earlier prices were not adjusted.

    The open is within 3 % of the last close divided by a usual number of new shares for an old one: 3/2, 2 to 8,
    10, 15, 20, 25, 30 or 50, or the other way round for the whole ones. A real fall overnight by 31-35 % or by
    49-51 % looks the same as a 3:2 or 2:1 split; the price alone cannot tell, and a symbol that goes without
    features for a quarter does less harm than a return of -50 % that nobody suffered. Splits of 5:4 and 4:3 and
    reverse ones of 2:3 are left out, because after news a gap of a fifth or a third is common: in 1993-2013 Apple,
    Amazon and Tesla opened eight times within 3 % of 4/5 or 5/4 of their last close, and never split so. Apple's
    fall of 47 % on 2000-09-29 is just outside 2:1. A split is missed if news moves the price by more than 3 % on
    top of it.

    Parameters
    ----------
    prices : clean `symbol`, `open` and `close`, with their day in `dt`, in any order.

    Returns
    -------
    symbol, date, ratio: new shares for an old one, below 1 for a reverse split. By symbol and date.
    """
    rows = _sorted(prices)
    shares = pl.Series(_split_ratios(rows))
    symbol = pl.col("symbol").cast(pl.String)
    return rows.select(symbol, date="dt", ratio=shares).filter(pl.col("ratio").is_not_nan())


def _sorted(prices: pl.DataFrame) -> pl.DataFrame:
    """The rows by symbol and day; numbers are sorted several times faster than texts."""
    prices = prices.cast({"symbol": pl.Enum(prices["symbol"].unique().sort())})
    number = pl.col("symbol").to_physical().cast(pl.Int64)
    order = prices.select(number * 2**32 + pl.col("dt").to_physical()).to_series().to_numpy()
    return prices[np.argsort(order, kind="stable")]


def _is_first(prices: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether a row is its symbol's first; rows are sorted by symbol and day, here and below."""
    return prices.select(pl.col("symbol").ne_missing(pl.col("symbol").shift())).to_series().to_numpy()


def _split_ratios(prices: pl.DataFrame) -> Values:
    """Suspected new shares for an old one in each row; NaN where there is no suspicion."""
    opens, closes = prices["open"].to_numpy(), prices["close"].to_numpy()
    implied = shifted(closes, 1) / opens
    far = np.flatnonzero(((implied > 1.4) | (implied < 0.6)) & ~_is_first(prices))
    # The open is off by the tolerance: open / (last close / shares).
    errors = np.abs(_SHARES / implied[far, None] - 1)
    nearest = errors.argmin(axis=1)
    shares = np.full(prices.height, np.nan)
    shares[far] = np.where(errors.min(axis=1, initial=np.inf) <= SPLIT_TOLERANCE, _SHARES[nearest], np.nan)
    return shares


def _flat(table: pl.LazyFrame) -> _Prices:
    prices = _sorted(table.select("symbol", "dt", "open", "close", "volume").collect())
    begins = _is_first(prices) | ~np.isnan(_split_ratios(prices))
    numbers = np.arange(prices.height, dtype=np.int32)
    return _Prices(
        symbol=prices["symbol"],
        day=prices["dt"].to_physical().to_numpy(),
        close=prices["close"].to_numpy(),
        volume=prices["volume"].to_numpy(),
        position=numbers - np.maximum.accumulate(np.where(begins, numbers, 0)),
    )


def _of_symbols(prices: _Prices, rows: NDArray[np.intp], by_day: NDArray[np.intp]) -> dict[str, Values]:
    """Features of complete `rows` that need a symbol's own past alone, in the order `by_day`.

    They are worked out block by block, each with the rows that its first windows look back on, so that the cores
    share them and what each works on stays in its cache.
    """
    columns = {name: np.empty(len(rows)) for name in ("close", *_OF_SYMBOL)}
    places = np.empty_like(by_day)
    places[by_day] = np.arange(len(by_day))

    def fill(begin: int) -> None:
        first, end = np.searchsorted(rows, [begin, begin + _BLOCK_ROWS])
        start = max(0, begin - RETURNS)
        block = slice(start, begin + _BLOCK_ROWS)
        for name, values in _block_features(prices.close[block], prices.volume[block]):
            columns[name][places[first:end]] = values[rows[first:end] - start]

    with ThreadPoolExecutor() as threads:
        list(threads.map(fill, range(0, len(prices.close), _BLOCK_ROWS)))
    return columns


def _block_features(close: Values, volume: Values) -> Iterator[tuple[str, Values]]:
    """Features of all rows of a block; in incomplete rows they mean nothing."""
    yield "close", close
    log_close = np.log(close)
    for returns in (1, 5, 21):
        yield f"return_{returns}d", log_close - shifted(log_close, returns)
    squares = (log_close - shifted(log_close, 1)) ** 2
    for returns in (5, 21, 63):
        yield f"volatility_{returns}d", np.sqrt(SESSIONS_PER_YEAR * window_mean(squares, returns))
    yield "rsi_14", _relative_strength(close - shifted(close, 1))
    yield "bollinger_20", _deviations(close, 20) / 2
    for rows in (10, 50):
        yield f"distance_sma_{rows}", close / window_mean(close, rows) - 1
    yield "volume_z_21", _deviations(np.log(volume), 21)
    yield "drawdown_63d", close / window_max(close, 63) - 1


def _relative_strength(changes: Values) -> Values:
    gains = window_sum(np.maximum(changes, 0), 14)
    losses = window_sum(np.maximum(-changes, 0), 14)
    moves = gains + losses
    return 100 * np.divide(gains, moves, out=np.full_like(moves, 0.5), where=moves > 0)


def _deviations(values: Values, rows: int) -> Values:
    """How many standard deviations of the last `rows` values each value is above their mean."""
    mean, deviation = window_mean_and_deviation(values, rows)
    return np.divide(values - mean, deviation, out=np.zeros_like(values), where=deviation > 0)


def _of_market(
    columns: Mapping[str, Values], prices: _Prices, rows: NDArray[np.intp], day_of_row: NDArray[np.int32]
) -> dict[str, Values]:
    """Features of the day's market, repeated for its symbols; `columns` and `day_of_row` are sorted by day."""
    first_day = day_of_row.min(initial=np.iinfo(np.int32).max)
    day = (day_of_row - first_day).astype(np.intp)
    symbols = np.maximum(np.bincount(day), 1)
    squares = np.zeros(len(symbols))
    for returns in _summed_returns(prices.close, rows, (prices.day[rows] - first_day).astype(np.intp)).T:
        squares += (returns / symbols) ** 2
    volatility = np.sqrt(SESSIONS_PER_YEAR * squares / _MARKET_RETURNS)
    # bincount adds in the order of the rows, which within a day is that of the symbols, whatever other days are.
    means = {f"market_return_{n}d": np.bincount(day, columns[f"return_{n}d"]) / symbols for n in (1, 5)}
    return {name: values[day] for name, values in {**means, "market_volatility_21d": volatility}.items()}


def _summed_returns(close: Values, rows: NDArray[np.intp], day: NDArray[np.intp]) -> Values:
    """Per number of a day the last 21 returns of its symbols, oldest first, added up in the symbols' order."""
    sums = np.zeros((len(np.bincount(day)), _MARKET_RETURNS))
    if not rows.size:
        return sums
    log_close = np.log(close)
    windows = np.lib.stride_tricks.sliding_window_view(log_close - shifted(log_close, 1), _MARKET_RETURNS)
    # Days rise from row to row but where another symbol begins, so within a run no day is there twice.
    begins = np.flatnonzero(np.diff(day, prepend=day[0]) <= 0).tolist()
    for first, end in pairwise([*begins, len(rows)]):
        sums[day[first:end]] += windows[rows[first:end] - _MARKET_RETURNS + 1]
    return sums
