"""What a day's portfolio is made of: prices, predictions, and the portfolio held until then."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from include.lifecycle.lake import Lake, partition
from include.portfolio.settings import SESSIONS_PER_YEAR, PortfolioSettings

PRICES = "clean/market/prices"
RETURNS = "predictions/returns"
VOLATILITY = "predictions/volatility"
PORTFOLIO = "portfolio/market"

WEIGHTS = "weights.parquet"
PREDICTIONS = "predictions.parquet"

RETURN_HORIZON_SESSIONS = 5

_CONNECTIONS = 8


@dataclass(frozen=True)
class Inputs:
    """What was read for a day.

    `closes`: the column `date` and one per symbol, sorted; a session on which a symbol was not traded has its last
    close, null before the first. `expected_returns` and `expected_volatilities`: annual, by symbol. `excluded`:
    symbols that cannot be held, and why. `previous`: by strategy, weights by symbol as they are now, after the
    prices moved; empty where there is no earlier portfolio.
    """

    closes: pl.DataFrame
    expected_returns: Mapping[str, float]
    expected_volatilities: Mapping[str, float]
    symbols: Sequence[str]
    excluded: Mapping[str, str]
    previous: Mapping[str, Mapping[str, float]]

    @property
    def returns(self) -> pl.DataFrame:
        """Daily simple returns of the symbols that can be held: `date` and one column each."""
        changes = self.closes.select("date", pl.col(self.symbols).pct_change())
        return changes[1:]


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
    asked = [*((PRICES, session) for session in prices), (RETURNS, day), (VOLATILITY, day)]
    asked += [] if before is None else [(PORTFOLIO, before)]
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        manifests = pool.map(lambda part: lake.manifest(*part), asked)
        found = {partition(*part): manifest.digest for part, manifest in zip(asked, manifests, strict=True)}
    return found | {"settings": hashlib.sha256(settings.model_dump_json().encode()).hexdigest()}


def read(lake: Lake, day: date, settings: PortfolioSettings, scratch: Path) -> Inputs:
    """Read what the portfolio of `day` is made of, by way of the folder `scratch`.

    Raises
    ------
    PartitionNotFoundError
        If the day lacks prices, or predictions of one of the models.
    """
    prices = _read_prices(lake, sessions(lake.days(PRICES), day, settings), scratch)
    closes = prices.pivot("symbol", index="date", values="close", sort_columns=True).sort("date")
    closes = closes.with_columns(pl.exclude("date").forward_fill())
    returns, volatilities = (_read_scores(lake, prefix, day, scratch) for prefix in (RETURNS, VOLATILITY))
    traded = set(prices.filter(date=day)["symbol"])
    excluded = {}
    for symbol in sorted({*closes.columns, *returns, *volatilities} - {"date"}):
        if reason := _obstacle(symbol, day, closes, traded, returns, volatilities, settings):
            excluded[symbol] = reason
    symbols = [name for name in closes.columns if name != "date" and name not in excluded]
    return Inputs(
        closes=closes,
        expected_returns={name: annual_return(returns[name]) for name in symbols},
        expected_volatilities={name: volatilities[name] for name in symbols},
        symbols=symbols,
        excluded=excluded,
        previous=_previous(lake, day, closes, scratch),
    )


def annual_return(log_return: float) -> float:
    """Simple annual return of an expected log return over five sessions, without compounding.

    The half variance by which a mean of simple returns exceeds one of log returns is left out: with it, a model
    that predicts nothing would favour the most volatile symbols.
    """
    return math.expm1(log_return) * SESSIONS_PER_YEAR / RETURN_HORIZON_SESSIONS


def _read_prices(lake: Lake, days: Sequence[date], scratch: Path) -> pl.DataFrame:
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        files = list(pool.map(lambda day: lake.download(PRICES, day, scratch), days))
    paths = [path for parts in files for path in parts]
    return pl.scan_parquet(paths).select("symbol", "date", "close").collect()


def _read_scores(lake: Lake, prefix: str, day: date, scratch: Path) -> dict[str, float]:
    frame = pl.read_parquet(lake.download(prefix, day, scratch, PREDICTIONS))
    usable = frame.filter(pl.col("score").is_finite())
    return dict(usable.select("symbol", "score").iter_rows())


def _obstacle(
    symbol: str,
    day: date,
    closes: pl.DataFrame,
    traded: set[str],
    returns: Mapping[str, float],
    volatilities: Mapping[str, float],
    settings: PortfolioSettings,
) -> str:
    """Why a symbol cannot be held, or nothing."""
    if symbol not in traded:
        return f"no price on {day}"
    if symbol not in returns:
        return "no prediction of its return"
    if symbol not in volatilities:
        return "no prediction of its volatility"
    if volatilities[symbol] <= 0:
        return f"its expected volatility {volatilities[symbol]:g} is not positive"
    history = closes[symbol].tail(settings.window_sessions + 1).drop_nulls().len() - 1
    if history < settings.min_history:
        return f"{history} past returns, fewer than the {settings.min_history} that are needed"
    return ""


def _previous(lake: Lake, day: date, closes: pl.DataFrame, scratch: Path) -> dict[str, dict[str, float]]:
    """By strategy, the weights of the newest earlier portfolio as the prices have made them since."""
    before = previous_day(lake, day)
    if before is None:
        return {}
    since = closes.filter(pl.col("date") >= before)
    growth = since.select(pl.exclude("date").last() / pl.exclude("date").first()).row(0, named=True)
    frame = pl.read_parquet(lake.download(PORTFOLIO, before, scratch, WEIGHTS))
    values: dict[str, dict[str, float]] = {}
    for strategy, symbol, weight in frame.select("strategy", "symbol", "weight").iter_rows():
        values.setdefault(strategy, {})[symbol] = weight * (growth.get(symbol) or 1.0)
    totals = {strategy: math.fsum(held.values()) for strategy, held in values.items()}
    return {
        strategy: {symbol: value / totals[strategy] for symbol, value in held.items()}
        for strategy, held in values.items()
    }
