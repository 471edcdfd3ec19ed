"""What a day's portfolio is made of: prices, predictions, and the portfolio held until then."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from include.datasets.market.calendar import SESSIONS_PER_YEAR
from include.datasets.market.features import RETURNS as FEATURE_SESSIONS
from include.lifecycle.look_back import LOOK_BACK
from include.lifecycle.storage.lake import Lake, Pinned
from include.models.returns.label import HORIZON
from include.portfolio import carried
from include.portfolio.carried import Carried, Past
from include.portfolio.history import History
from include.portfolio.returns import shares_history
from include.portfolio.settings import PortfolioSettings

PRICES = "clean/market/prices"
RETURNS = "predictions/returns"
VOLATILITY = "predictions/volatility"
PORTFOLIO = "portfolio/market"
REPORT = "reports/portfolio/portfolio"

WEIGHTS = "weights.parquet"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Inputs:
    """What was read for a day.

    Attributes
    ----------
    past : the prices until the day, and the back-test on them.
    window : the trailing returns of all symbols that ever had a price, see `daily_returns`.
    expected_returns, expected_volatilities : annual, by symbol, of the `symbols` that can be held.
    excluded : symbols that cannot, and why.
    previous : by strategy, weights by symbol as they are now, after the prices moved; empty where there is no
        earlier portfolio.
    """

    past: Past
    window: pl.DataFrame
    expected_returns: Mapping[str, float]
    expected_volatilities: Mapping[str, float]
    symbols: Sequence[str]
    excluded: Mapping[str, str]
    previous: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Sources:
    """The partitions that a portfolio is made of, pinned.

    Attributes
    ----------
    prices : of the sessions after the earlier portfolio that is carried on, or of all where there is none.
    expected : by prefix, the predictions of the day.
    previous : the newest earlier portfolio; no day where there is none.
    carried : what of `previous` is carried on; None where all is computed from scratch.
    """

    prices: Pinned
    expected: Mapping[str, Pinned]
    previous: Pinned
    carried: Carried | None
    settings: PortfolioSettings

    @property
    def inputs(self) -> dict[str, str]:
        """Path and digest of every partition, and the hash of the settings, as the manifest names them."""
        pinned = [self.prices, *self.expected.values(), self.previous]
        found = {path: digest for one in pinned for path, digest in one.inputs.items()}
        return found | {"settings": hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()}


def previous_day(lake: Lake, day: date) -> date | None:
    """The day of the newest portfolio before `day`."""
    until = day - timedelta(days=1)
    recent = lake.days(PORTFOLIO, day - LOOK_BACK, until) or lake.days(PORTFOLIO, until=until)
    return recent[-1] if recent else None


def pin(lake: Lake, day: date, settings: PortfolioSettings) -> Sources:
    """What the portfolio of `day` is made of, as it is now.

    Raises
    ------
    PartitionNotFoundError
        If the day lacks prices, or predictions of one of the models.
    """
    before = previous_day(lake, day)
    previous = lake.pin(PORTFOLIO, [] if before is None else [before])
    record = carried.find(previous, day, settings, lake.oldest(PRICES, settings.prices_start(day)))
    since = record.last + timedelta(days=1) if record else settings.prices_start(day)
    return Sources(
        prices=lake.pin(PRICES, sorted({*lake.days(PRICES, since, day), day})),
        expected={prefix: lake.pin(prefix, [day]) for prefix in (RETURNS, VOLATILITY)},
        previous=previous,
        carried=record,
        settings=settings,
    )


def read(sources: Sources, day: date, scratch: Path) -> Inputs:
    """Read what the portfolio of `day` is made of, by way of the folder `scratch`."""
    settings = sources.settings
    earlier = carried.read(sources.previous, sources.carried, scratch) if sources.carried else None
    prices = sources.prices.scan(scratch).select("symbol", "date", "open", "close").collect()
    past = carried.carry_on(earlier, prices, settings)
    daily, splits = past.history.returns, past.history.splits
    expected = {prefix: _read_scores(pinned, day, scratch) for prefix, pinned in sources.expected.items()}
    window = daily.tail(settings.window_sessions)
    excluded = _excluded(day, prices, window, expected, settings.min_history)
    symbols = [name for name in daily.columns if name != "date" and name not in excluded]
    return Inputs(
        past=past,
        window=window,
        expected_returns={name: annual_return(expected[RETURNS][name]) for name in symbols},
        expected_volatilities={name: expected[VOLATILITY][name] for name in symbols},
        symbols=symbols,
        excluded=_with_splits(excluded, splits, window),
        previous=_previous(sources.previous, past.history, scratch),
    )


def annual_return(log_return: float) -> float:
    """Simple annual return of an expected log return over the model's horizon, without compounding.

    The half variance by which a mean of simple returns exceeds one of log returns is left out: with it, a model
    that predicts nothing would favour the most volatile symbols.
    """
    return math.expm1(log_return) * SESSIONS_PER_YEAR / HORIZON


def _read_scores(predictions: Pinned, day: date, scratch: Path) -> dict[str, float]:
    frame = pl.read_parquet(predictions.download(day, scratch, PREDICTIONS))
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


def _previous(portfolio: Pinned, history: History, scratch: Path) -> dict[str, dict[str, float]]:
    """By strategy, the weights of the newest earlier portfolio as the prices have made them since."""
    if not portfolio.days:
        return {}
    [before] = portfolio.days
    since = history.returns.filter(pl.col("date") > before)
    growth = since.select(pl.exclude("date").fill_null(0).add(1).product()).row(0, named=True)
    frame = pl.read_parquet(portfolio.download(before, scratch, WEIGHTS))
    values: dict[str, dict[str, float]] = {}
    for strategy, symbol, weight in frame.select("strategy", "symbol", "weight").iter_rows():
        values.setdefault(strategy, {})[symbol] = weight * growth.get(symbol, 1.0)
    totals = {strategy: math.fsum(held.values()) for strategy, held in values.items()}
    return {
        strategy: {symbol: value / totals[strategy] for symbol, value in held.items()}
        for strategy, held in values.items()
    }
