"""How the four strategies would have done: walk-forward, side by side, after costs.

At each rebalancing the weights come from the returns up to the close of that session and are bought at that close;
they then drift with the prices until the next one. What is read off the result are plain figures of the published
rows, see `figures`, and a verdict against equal weight, see `compare`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.datasets.market.calendar import SESSIONS_PER_YEAR
from include.lifecycle.modelling.bootstrap import circular_blocks
from include.portfolio.returns import shares_history
from include.portfolio.settings import PortfolioSettings
from include.portfolio.strategies import EQUAL_WEIGHT, STRATEGIES
from include.portfolio.weights import Vector, allocate_all, historical_moments, traded_value

Answer = Literal["better", "worse", "no evidence"]

CONFIDENCE = 0.95
BLOCK_SESSIONS = 21

_SCHEMA = {
    "date": pl.Date,
    "strategy": pl.String,
    "net_return": pl.Float64,
    "traded_value": pl.Float64,
    "cost": pl.Float64,
}
_WEIGHTS_SCHEMA = {"date": pl.Date, "strategy": pl.String, "symbol": pl.String, "weight": pl.Float64}


@dataclass(frozen=True)
class Backtest:
    """What a back-test left.

    `returns`: date, strategy, net_return (after costs, share of the value at the last close), traded_value (bought
    and sold at the last close, share of the value) and cost (share of the value).
    `weights`: date (of the close at which they were bought), strategy, symbol, weight.
    """

    returns: pl.DataFrame
    weights: pl.DataFrame


@dataclass(frozen=True)
class Figures:
    """A strategy's figures. Rates are annual shares of 1; turnover and costs leave out the first purchase."""

    annual_return: float
    volatility: float
    sharpe: float
    max_drawdown: float
    turnover_per_year: float
    costs_per_year: float


@dataclass(frozen=True)
class Comparison:
    """Annual Sharpe ratio of a strategy minus that of equal weight, its confidence interval, and what it says."""

    difference: float
    low: float
    high: float
    answer: Answer


@dataclass(frozen=True)
class _Period:
    """From a rebalancing to the next: the close at which is traded, and the sessions (rows) held after it."""

    traded: int
    held: slice


def walk_forward(returns: pl.DataFrame, settings: PortfolioSettings) -> Backtest:
    """The back-test of daily simple returns: the column `date`, and one per symbol, null where it was not traded.

    At each rebalancing the symbols are those that could be held then, by the same rule as today's, see
    `shares_history`; while they are too few for the weight cap, nothing is traded. A symbol that is not traded
    keeps its last value, and is sold at it at the next rebalancing if it is still not traded then: at a close
    nobody can tell a halt from a delisting. Where the history is too short for one rebalancing, both frames are
    empty.
    """
    dates = returns["date"].to_list()
    symbols = [name for name in returns.columns if name != "date"]
    daily = returns.select(symbols).to_numpy()
    held: Mapping[str, Vector] | None = None
    rows, chosen = [], []
    for period in _periods(daily, settings):
        targets = _weights(daily[: period.traded + 1], settings, held)
        grown = {}
        for name, weights in targets.items():
            traded = traded_value(weights, held[name] if held else None)
            net, grown[name] = _hold(weights, np.nan_to_num(daily[period.held]), traded * settings.cost_rate)
            rows.append(_rows(dates[period.held], name, net, traded, settings))
            chosen += [(dates[period.traded], name, *pair) for pair in zip(symbols, weights, strict=True)]
        held = grown
    returned = pl.concat([pl.DataFrame(schema=_SCHEMA), *rows])
    order = pl.col("strategy").cast(pl.Enum(STRATEGIES))
    return Backtest(returned.sort("date", order), pl.DataFrame(chosen, schema=_WEIGHTS_SCHEMA, orient="row"))


def figures(returns: pl.DataFrame, risk_free_rate: float = 0.0) -> dict[str, Figures]:
    """Each strategy's figures, from nothing but the published rows (`backtest.parquet`).

    The annual return is compounded; volatility is the daily standard deviation times the root of 252; the Sharpe
    ratio is the mean daily return above the risk-free rate over the standard deviation, times that root (Sharpe
    1994, "The Sharpe ratio"); the maximum drawdown is the largest loss from an earlier peak, as a negative share.
    """
    return {
        name: _figures(returns.filter(strategy=name).sort("date"), risk_free_rate)
        for name in returns["strategy"].unique(maintain_order=True)
    }


def growth(returns: pl.DataFrame) -> pl.DataFrame:
    """What 1 grew to, net of costs: date, strategy, value."""
    value = (1 + pl.col("net_return")).cum_prod().over("strategy", order_by="date")
    return returns.select("date", "strategy", value=value)


def compare(returns: pl.DataFrame, settings: PortfolioSettings) -> dict[str, Comparison]:
    """Each optimum's Sharpe ratio against that of equal weight on the same sessions: better, worse or no evidence.

    Paired circular block bootstrap (Politis and Romano 1992; for Sharpe ratios Ledoit and Wolf 2008, "Robust
    performance hypothesis testing with the Sharpe ratio"): blocks of 21 sessions, the same for all strategies. The
    intervals hold all their differences together with 95 % confidence (Bonferroni), so three tries do not make one
    winner. Under a year of sessions nothing is concluded.
    """
    wide = returns.pivot("strategy", index="date", values="net_return").sort("date")
    optima = [name for name in STRATEGIES if name in wide.columns and name != EQUAL_WEIGHT]
    if not optima:
        return {}
    daily = wide.select(EQUAL_WEIGHT, *optima).to_numpy() - settings.risk_free_rate / SESSIONS_PER_YEAR
    measured = _sharpe(daily)
    resampled = _resampled_sharpes(daily, settings)
    tail = (1 - CONFIDENCE) / len(optima) / 2
    low, high = np.quantile(resampled[:, 1:] - resampled[:, :1], [tail, 1 - tail], axis=0)
    return {
        name: Comparison(
            float(measured[number + 1] - measured[0]),
            float(low[number]),
            float(high[number]),
            _answer(low[number], high[number], len(daily)),
        )
        for number, name in enumerate(optima)
    }


def _periods(daily: NDArray[np.float64], settings: PortfolioSettings) -> Iterator[_Period]:
    """The rebalancings, from the first session whose window has enough symbols for the weight cap."""
    start = max(settings.window_sessions, len(daily) - settings.backtest_sessions)
    while start < len(daily) and not _is_enough(_usable(daily[:start], settings), settings):
        start += 1
    for first in range(start, len(daily), settings.rebalance_sessions):
        yield _Period(first - 1, slice(first, min(first + settings.rebalance_sessions, len(daily))))


def _usable(past: NDArray[np.float64], settings: PortfolioSettings) -> NDArray[np.bool_]:
    """Which symbols can be held from the close of the last row of `past` on."""
    return shares_history(past[-settings.window_sessions :], settings.min_history)


def _is_enough(usable: NDArray[np.bool_], settings: PortfolioSettings) -> bool:
    return bool(usable.sum() >= math.ceil(1 / settings.max_weight))


def _weights(
    past: NDArray[np.float64], settings: PortfolioSettings, held: Mapping[str, Vector] | None
) -> Mapping[str, Vector]:
    """The weights of each strategy for all symbols, from the returns until now; those held if they are too few."""
    usable = _usable(past, settings)
    if held is not None and not _is_enough(usable, settings):
        return held
    window = past[-settings.window_sessions :, usable]
    moments = historical_moments(window[~np.isnan(window).any(axis=1)])
    previous = None if held is None else {name: weights[usable] for name, weights in held.items()}
    weights = {name: np.zeros(len(usable)) for name in STRATEGIES}
    for name, allocation in allocate_all(moments, settings, previous).items():
        weights[name][usable] = allocation.weights
    return weights


def _hold(weights: Vector, daily: NDArray[np.float64], cost: float) -> tuple[Vector, Vector]:
    """Net daily returns of weights that are bought at `cost` and then drift, and the weights they end as."""
    values = weights * np.cumprod(1 + daily, axis=0)
    totals = np.concatenate([[1.0], values.sum(axis=1)])
    net = totals[1:] / totals[:-1]
    net[0] *= 1 - cost
    return net - 1, values[-1] / totals[-1]


def _rows(dates: list[date], name: str, net: Vector, traded: float, settings: PortfolioSettings) -> pl.DataFrame:
    at_first = np.zeros(len(dates))
    at_first[0] = traded
    columns = {
        "date": dates,
        "strategy": [name] * len(dates),
        "net_return": net,
        "traded_value": at_first,
        "cost": at_first * settings.cost_rate,
    }
    return pl.DataFrame(columns, schema=_SCHEMA)


def _figures(rows: pl.DataFrame, risk_free_rate: float) -> Figures:
    net = rows["net_return"].to_numpy()
    years = len(net) / SESSIONS_PER_YEAR
    value = np.cumprod(1 + net)
    peak = np.maximum.accumulate(np.concatenate([[1.0], value]))[1:]
    later = rows[1:]
    excess = net - risk_free_rate / SESSIONS_PER_YEAR
    return Figures(
        annual_return=float(value[-1] ** (1 / years) - 1),
        volatility=float(net.std() * math.sqrt(SESSIONS_PER_YEAR)),
        sharpe=float(_sharpe(excess[:, None])[0]),
        max_drawdown=float((value / peak - 1).min()),
        turnover_per_year=float(later["traded_value"].to_numpy().sum() / 2 / years),
        costs_per_year=float(later["cost"].to_numpy().sum() / years),
    )


def _sharpe(excess: NDArray[np.float64]) -> Vector:
    """Annual Sharpe ratio of each column of daily excess returns; 0 where they never change."""
    deviation = excess.std(axis=0)
    ratio: Vector = excess.mean(axis=0) / np.where(deviation > 0, deviation, np.inf)
    return ratio * math.sqrt(SESSIONS_PER_YEAR)


def _resampled_sharpes(daily: NDArray[np.float64], settings: PortfolioSettings) -> NDArray[np.float64]:
    """Sharpe ratios (resamples, strategies) of circular blocks of the rows, drawn for all strategies alike."""
    rows = circular_blocks(len(daily), BLOCK_SESSIONS, settings.bootstrap_samples, settings.seed)
    return np.array([_sharpe(daily[row]) for row in rows])


def _answer(low: float, high: float, sessions: int) -> Answer:
    if sessions < SESSIONS_PER_YEAR or low <= 0 <= high:
        return "no evidence"
    return "better" if low > 0 else "worse"
