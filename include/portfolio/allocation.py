"""What to hold on a day: the weights of each strategy, the frontier they lie on, and what to say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from include.portfolio.backtest import compare, figures
from include.portfolio.inputs import Inputs
from include.portfolio.settings import PortfolioSettings
from include.portfolio.summary import (
    BacktestSummary,
    CovarianceWindow,
    Expectation,
    PortfolioSummary,
    SuspectedSplit,
)
from include.portfolio.weights import (
    Allocation,
    Moments,
    PortfolioError,
    Vector,
    allocate_all,
    check_cap,
    forecast_moments,
    frontier,
    round_weights,
    traded_value,
    turnover,
)

WEIGHTS_SCHEMA = {
    "symbol": pl.String,
    "strategy": pl.String,
    "weight": pl.Float64,
    "previous_weight": pl.Float64,
    "expected_return": pl.Float64,
    "expected_volatility": pl.Float64,
    "note": pl.String,
}

_NAMED = 10


@dataclass(frozen=True)
class Portfolio:
    """The portfolio of a day.

    `weights` has the columns of WEIGHTS_SCHEMA, `frontier` risk and expected_return, both annual.
    """

    weights: pl.DataFrame
    frontier: pl.DataFrame
    summary: PortfolioSummary


def allocated(given: Inputs, day: date, settings: PortfolioSettings) -> Portfolio:
    """The portfolio of a day.

    Raises
    ------
    PortfolioError
        If the symbols that can be held are too few for the weight cap, or do not move.
    """
    _check_symbols(given, day, settings)
    window = given.window.select("date", *given.symbols).drop_nulls()
    moments = _moments(given, window)
    chosen = _allocate(given, moments, settings)
    risks, expected = frontier(moments, settings)
    backtest = given.past.backtest.returns
    splits = given.past.history.splits.sort(["date", "symbol"], descending=[True, False])
    summary = PortfolioSummary(
        day=day,
        symbols=tuple(given.symbols),
        excluded=given.excluded,
        suspected_splits=tuple(SuspectedSplit(**row) for row in splits.iter_rows(named=True)),
        window=CovarianceWindow(first=window["date"][0], last=window["date"][-1], sessions=window.height),
        strategies=_expectations(given, moments, chosen, settings),
        backtest=BacktestSummary(
            figures=figures(backtest, settings.risk_free_rate), against_equal_weight=compare(backtest, settings)
        ),
        settings=settings,
    )
    along = pl.DataFrame({"risk": risks, "expected_return": expected})
    return Portfolio(_weights(given, chosen), along, summary)


def _check_symbols(given: Inputs, day: date, settings: PortfolioSettings) -> None:
    try:
        check_cap(len(given.symbols), settings)
    except PortfolioError as error:
        named = [f"{symbol}: {reason}" for symbol, reason in given.excluded.items()]
        rest = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise PortfolioError(f"{error} Left out on {day}: {'; '.join(named[:_NAMED])}{rest}.") from error


def _moments(given: Inputs, window: pl.DataFrame) -> Moments:
    expected = (given.expected_returns, given.expected_volatilities)
    means, volatilities = (np.array([values[name] for name in given.symbols]) for values in expected)
    return forecast_moments(window.drop("date").to_numpy(), means, volatilities)


def _allocate(given: Inputs, moments: Moments, settings: PortfolioSettings) -> dict[str, Allocation]:
    """The weights of each strategy, rounded as they are published."""
    previous = {name: _held(given, name) for name in given.previous}
    return {
        name: Allocation(round_weights(chosen.weights, settings.max_weight), chosen.note)
        for name, chosen in allocate_all(moments, settings, previous).items()
    }


def _held(given: Inputs, strategy: str) -> Vector:
    """What a strategy holds of the symbols that can be held."""
    return np.array([given.previous[strategy].get(symbol, 0.0) for symbol in given.symbols])


def _weights(given: Inputs, chosen: Mapping[str, Allocation]) -> pl.DataFrame:
    """A row per strategy and symbol, also for symbols that were held and have to be sold."""
    rows: list[tuple[str | float | None, ...]] = []
    for strategy, allocation in chosen.items():
        held = given.previous.get(strategy)
        for symbol, weight in zip(given.symbols, allocation.weights, strict=True):
            before = None if held is None else round(held.get(symbol, 0.0), 6)
            expected = given.expected_returns[symbol], given.expected_volatilities[symbol]
            rows.append((symbol, strategy, float(weight), before, *expected, allocation.note))
        for symbol, weight in (held or {}).items():
            if symbol not in given.symbols and weight > 0:
                note = f"sold: {given.excluded.get(symbol, 'no price any more')}"
                rows.append((symbol, strategy, 0.0, round(weight, 6), None, None, note))
    return pl.DataFrame(rows, schema=WEIGHTS_SCHEMA, orient="row")


def _expectations(
    given: Inputs, moments: Moments, chosen: Mapping[str, Allocation], settings: PortfolioSettings
) -> dict[str, Expectation]:
    """What is expected of each strategy, annual, and what changing to it takes, as shares of the portfolio."""
    expectations = {}
    for name, allocation in chosen.items():
        previous = _held(given, name) if name in given.previous else None
        traded = traded_value(allocation.weights, previous)
        expectations[name] = Expectation(
            expected_return=moments.expected_return(allocation.weights),
            expected_volatility=moments.volatility(allocation.weights),
            turnover=turnover(allocation.weights, previous),
            traded_value=traded,
            cost=traded * settings.cost_rate,
            note=allocation.note,
        )
    return expectations
