"""What a day's portfolio is made of: prices, predictions, and the portfolio held until then."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from include.datasets.market.calendar import SESSIONS_PER_YEAR
from include.datasets.market.features import RETURNS as FEATURE_SESSIONS
from include.datasets.market.features import suspected_splits
from include.lifecycle.storage.lake import Lake
from include.models.returns.label import HORIZON
from include.portfolio.returns import daily_returns, shares_history
from include.portfolio.settings import PortfolioSettings

PRICES = "clean/market/prices"
RETURNS = "predictions/returns"
VOLATILITY = "predictions/volatility"
PORTFOLIO = "portfolio/market"

WEIGHTS = "weights.parquet"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Inputs:
    """What was read for a day.

    `returns`: those of all symbols that ever had a price, see `daily_returns`. `splits`: those suspected among
    them, symbol, date, ratio. `expected_returns` and `expected_volatilities`: annual, by symbol, of the `symbols`
    that can be held. `excluded`: symbols that cannot, and why. `previous`: by strategy, weights by symbol as they
    are now, after the prices moved; empty where there is no earlier portfolio.
    """

    returns: pl.DataFrame
    splits: pl.DataFrame
    expected_returns: Mapping[str, float]
    expected_volatilities: Mapping[str, float]
    symbols: Sequence[str]
    excluded: Mapping[str, str]
    previous: Mapping[str, Mapping[str, float]]


def sessions(days: Iterable[date], day: date, settings: PortfolioSettings) -> list[date]:
    """Those of the sessions, oldest first, whose prices a portfolio of `day` looks at."""
    wanted = settings.window_sessions + settings.backtest_sessions + 1
    return sorted(session for session in days if session <= day)[-wanted:]


def previous_day(lake: Lake, day: date) -> date | None:
    """The day of the newest portfolio before `day`."""
    return max((made for made in lake.days(PORTFOLIO) if made < day), default=None)


def digests(lake: Lake, day: date, settings: PortfolioSettings) -> dict[str, str]:
    """Path and digest of every partition that the portfolio of `day` is made of, and the hash of the settings."""
    before = previous_day(lake, day)
    prices = sessions(lake.days(PRICES), day, settings)
    asked = {PRICES: prices, RETURNS: [day], VOLATILITY: [day], PORTFOLIO: [before] if before else []}
    found = {path: digest for prefix, days in asked.items() for path, digest in lake.digests(prefix, days).items()}
    return found | {"settings": hashlib.sha256(settings.model_dump_json().encode()).hexdigest()}


def read(lake: Lake, day: date, settings: PortfolioSettings, scratch: Path) -> Inputs:
    """Read what the portfolio of `day` is made of, by way of the folder `scratch`.

    Raises
    ------
    PartitionNotFoundError
        If the day lacks prices, or predictions of one of the models.
    """
    prices = _read_prices(lake, sessions(lake.days(PRICES), day, settings), scratch)
    splits = suspected_splits(prices.rename({"date": "dt"}))
    daily = daily_returns(prices, splits)
    expected = {prefix: _read_scores(lake, prefix, day, scratch) for prefix in (RETURNS, VOLATILITY)}
    excluded = _excluded(day, prices, daily.tail(settings.window_sessions), expected, settings.min_history)
    symbols = [name for name in daily.columns if name != "date" and name not in excluded]
    return Inputs(
        returns=daily,
        splits=splits,
        expected_returns={name: annual_return(expected[RETURNS][name]) for name in symbols},
        expected_volatilities={name: expected[VOLATILITY][name] for name in symbols},
        symbols=symbols,
        excluded=_with_splits(excluded, splits, daily),
        previous=_previous(lake, day, daily, scratch),
    )


def annual_return(log_return: float) -> float:
    """Simple annual return of an expected log return over the model's horizon, without compounding.

    The half variance by which a mean of simple returns exceeds one of log returns is left out: with it, a model
    that predicts nothing would favour the most volatile symbols.
    """
    return math.expm1(log_return) * SESSIONS_PER_YEAR / HORIZON


def _read_prices(lake: Lake, days: Sequence[date], scratch: Path) -> pl.DataFrame:
    return lake.scan(PRICES, days, scratch).select("symbol", "date", "open", "close").collect()


def _read_scores(lake: Lake, prefix: str, day: date, scratch: Path) -> dict[str, float]:
    frame = pl.read_parquet(lake.download(prefix, day, scratch, PREDICTIONS))
    usable = frame.filter(pl.col("score").is_finite())
    return dict(usable.select("symbol", "score").iter_rows())


def _excluded(
    day: date,
    prices: pl.DataFrame,
    window: pl.DataFrame,
    expected: Mapping[str, Mapping[str, float]],
    min_history: int,
) -> dict[str, str]:
    """Symbols that cannot be held, and why; `window` holds the returns that the covariance is made from."""
    traded = set(prices.filter(date=day)["symbol"])
    known = sorted({*window.columns, *expected[RETURNS], *expected[VOLATILITY]} - {"date"})
    obstacles = {symbol: _obstacle(symbol, day, traded, window, expected, min_history) for symbol in known}
    rest = [symbol for symbol in known if not obstacles[symbol]]
    fits = shares_history(window.select(rest).to_numpy(), min_history) if rest else ()
    for symbol, does_fit in zip(rest, fits, strict=True):
        if not does_fit:
            obstacles[symbol] = f"with it, fewer than {min_history} sessions would have a return of every symbol"
    return {symbol: reason for symbol, reason in obstacles.items() if reason}


def _obstacle(
    symbol: str,
    day: date,
    traded: set[str],
    window: pl.DataFrame,
    expected: Mapping[str, Mapping[str, float]],
    min_history: int,
) -> str:
    """Why a symbol cannot be held, or nothing."""
    if symbol not in traded:
        return f"no price on {day}"
    if symbol not in expected[RETURNS]:
        return "no prediction of its return"
    if symbol not in expected[VOLATILITY]:
        return "no prediction of its volatility"
    if expected[VOLATILITY][symbol] <= 0:
        return f"its expected volatility {expected[VOLATILITY][symbol]:g} is not positive"
    history = window[symbol].count()
    if history < min_history:
        return f"{history} past returns, fewer than the {min_history} that are needed"
    return ""


def _with_splits(excluded: Mapping[str, str], splits: pl.DataFrame, returns: pl.DataFrame) -> dict[str, str]:
    """The reasons, with the suspected split that a missing prediction most likely comes from."""
    recent = splits.filter(pl.col("date") >= returns["date"].tail(FEATURE_SESSIONS).min())
    last = dict(recent.sort("date").select("symbol", "date").iter_rows())
    return {
        symbol: f"{reason} (suspected split on {last[symbol]})"
        if symbol in last and reason.startswith("no prediction")
        else reason
        for symbol, reason in excluded.items()
    }


def _previous(lake: Lake, day: date, returns: pl.DataFrame, scratch: Path) -> dict[str, dict[str, float]]:
    """By strategy, the weights of the newest earlier portfolio as the prices have made them since."""
    before = previous_day(lake, day)
    if before is None:
        return {}
    since = returns.filter(pl.col("date") > before)
    growth = since.select(pl.exclude("date").fill_null(0).add(1).product()).row(0, named=True)
    frame = pl.read_parquet(lake.download(PORTFOLIO, before, scratch, WEIGHTS))
    values: dict[str, dict[str, float]] = {}
    for strategy, symbol, weight in frame.select("strategy", "symbol", "weight").iter_rows():
        values.setdefault(strategy, {})[symbol] = weight * growth.get(symbol, 1.0)
    totals = {strategy: math.fsum(held.values()) for strategy, held in values.items()}
    return {
        strategy: {symbol: value / totals[strategy] for symbol, value in held.items()}
        for strategy, held in values.items()
    }
