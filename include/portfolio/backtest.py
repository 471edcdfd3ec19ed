"""How the four strategies would have done: walk-forward, side by side, after costs.

At each rebalancing the weights come from the returns up to the close of that session and are bought at that close;
they then drift with the prices until the next one. A day carries on from the back-test of the day before. What is
read off the result are plain figures of the published rows, see `figures`, and a verdict against equal weight, see
`compare`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
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
class Position:
    """What each strategy holds after a session, and for how many sessions it has been held.

    `weights` are shares of the strategy's value, in the order of `symbols`. All strategies trade on the same days.
    """

    symbols: tuple[str, ...]
    weights: Mapping[str, Vector]
    sessions: int


@dataclass(frozen=True)
class Backtest:
    """What a back-test left.

    Attributes
    ----------
    returns : date, strategy, net_return (after costs, share of the value at the last close), traded_value (bought
        and sold at the last close, share of the value) and cost (share of the value).
    weights : date (of the close at which they were bought), strategy, symbol, weight: of the symbols that were
        held, or traded within the window.
    position : what is held after the last session; None before the first purchase.
    """

    returns: pl.DataFrame
    weights: pl.DataFrame
    position: Position | None = None


NOTHING_YET = Backtest(pl.DataFrame(schema=_SCHEMA), pl.DataFrame(schema=_WEIGHTS_SCHEMA))


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


def walk_forward(
    returns: pl.DataFrame, settings: PortfolioSettings, earlier: Backtest = NOTHING_YET, until: date = date.min
) -> Backtest:
    """The back-test of daily simple returns: the column `date`, and one per symbol, null where it was not traded.

    At each rebalancing the symbols are those that could be held then, by the same rule as today's, see
    `shares_history`; while they are too few for the weight cap, nothing is traded. A symbol that is not traded
    keeps its last value, and is sold at it at the next rebalancing if it is still not traded then: at a close
    nobody can tell a halt from a delisting. Where the history is too short for one rebalancing, both frames are
    empty.

    Parameters
    ----------
    earlier : the back-test of the sessions until `until`, which is carried on. Of these, `returns` need to have
        the last `window_sessions` only. The result is the same, bit by bit, as without it.
    """
    dates = returns["date"].to_list()
    symbols = np.array(sorted(name for name in returns.columns if name != "date"))
    daily = np.ascontiguousarray(returns.select(symbols.tolist()).to_numpy())
    position, rows, chosen = earlier.position, [], []
    for number in range(bisect_right(dates, until), len(dates)):
        past = daily[max(0, number - settings.window_sessions) : number]
        traded = dict.fromkeys(STRATEGIES, 0.0)
        if position is None or position.sessions == settings.rebalance_sessions:
            if position is None and not _may_begin(dates[number], past, settings, dates[-1]):
                continue
            position, traded = _rebalance(past, symbols, settings, position)
            chosen += _weight_rows(dates[number - 1], position)
        position, gross = _hold(position, daily[number, np.searchsorted(symbols, position.symbols)])
        rows += _return_rows(dates[number], gross, traded, settings)
    return Backtest(
        pl.concat([earlier.returns, pl.DataFrame(rows, schema=_SCHEMA, orient="row")]).rechunk(),
        pl.concat([earlier.weights, pl.DataFrame(chosen, schema=_WEIGHTS_SCHEMA, orient="row")]).rechunk(),
        position,
    )


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


def _usable(past: NDArray[np.float64], settings: PortfolioSettings) -> NDArray[np.bool_]:
    """Which symbols can be held from the close of the last row of `past`, the window, on."""
    return shares_history(past, settings.min_history)


def _is_enough(usable: NDArray[np.bool_], settings: PortfolioSettings) -> bool:
    return bool(usable.sum() >= math.ceil(1 / settings.max_weight))


def _may_begin(day: date, past: NDArray[np.float64], settings: PortfolioSettings, last: date) -> bool:
    """Whether the back-test of a portfolio of `last` may buy for `day`, after the returns `past`."""
    if len(past) < settings.window_sessions or day < settings.backtest_start(last):
        return False
    return _is_enough(_usable(past, settings), settings)


def _rebalance(
    past: NDArray[np.float64], symbols: NDArray[np.str_], settings: PortfolioSettings, held: Position | None
) -> tuple[Position, dict[str, float]]:
    """What is held from the close of the last row of `past` on, and what each strategy trades for it.

    Only symbols with a return within the window, or that are held, play a part: neither what was gone before nor
    what comes later changes a digit. Where those that can be held are too few, nothing is traded.
    """
    is_held = np.isin(symbols, held.symbols if held else ())
    part = is_held | ~np.isnan(past).all(axis=0)
    names = tuple(symbols[part].tolist())
    before = _weights_of(held, names) if held else None
    usable = _usable(past[:, part], settings)
    if before is not None and not _is_enough(usable, settings):
        return Position(names, before, 0), dict.fromkeys(STRATEGIES, 0.0)
    weights = _weights(np.ascontiguousarray(past[:, part][:, usable]), usable, settings, before)
    traded = {name: traded_value(weights[name], before[name] if before else None) for name in STRATEGIES}
    return Position(names, weights, 0), traded


def _weights_of(held: Position, names: Sequence[str]) -> dict[str, Vector]:
    """The weights of each strategy for other symbols; they are among them."""
    places = np.searchsorted(np.array(names), held.symbols)
    spread = {strategy: np.zeros(len(names)) for strategy in STRATEGIES}
    for strategy, weights in spread.items():
        weights[places] = held.weights[strategy]
    return spread


def _weights(
    window: NDArray[np.float64],
    usable: NDArray[np.bool_],
    settings: PortfolioSettings,
    before: Mapping[str, Vector] | None,
) -> dict[str, Vector]:
    """The weights of each strategy, from the window's returns of the symbols that are usable."""
    moments = historical_moments(window[~np.isnan(window).any(axis=1)])
    previous = None if before is None else {name: weights[usable] for name, weights in before.items()}
    weights = {name: np.zeros(len(usable)) for name in STRATEGIES}
    for name, allocation in allocate_all(moments, settings, previous).items():
        weights[name][usable] = allocation.weights
    return weights


def _hold(position: Position, returns: Vector) -> tuple[Position, dict[str, float]]:
    """The position after a session, and the return of each strategy before costs; without a trade it is 0."""
    values = {name: weights * (1 + np.nan_to_num(returns)) for name, weights in position.weights.items()}
    gross = {name: float(value.sum() / position.weights[name].sum()) - 1 for name, value in values.items()}
    grown = {name: value / value.sum() for name, value in values.items()}
    return Position(position.symbols, grown, position.sessions + 1), gross


def _return_rows(
    day: date, gross: Mapping[str, float], traded: Mapping[str, float], settings: PortfolioSettings
) -> list[tuple[date, str, float, float, float]]:
    costs = {name: traded[name] * settings.cost_rate for name in gross}
    return [
        (day, name, (1 + change) * (1 - costs[name]) - 1, traded[name], costs[name])
        for name, change in gross.items()
    ]


def _weight_rows(day: date, position: Position) -> list[tuple[date, str, str, float]]:
    return [
        (day, strategy, symbol, weight)
        for strategy, weights in position.weights.items()
        for symbol, weight in zip(position.symbols, weights.tolist(), strict=True)
    ]


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
