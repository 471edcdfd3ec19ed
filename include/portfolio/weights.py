"""How much of each symbol to hold: four strategies, long only, under limits on weights and turnover.

Rates of return and volatilities are annual, as shares of 1; weights are shares of the portfolio's value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cvxpy import Variable
from cvxpy.atoms.norm1 import norm1
from numpy.typing import NDArray
from skfolio.moments import LedoitWolf, ShrunkMu, ShrunkMuMethods
from skfolio.optimization import MeanRisk, ObjectiveFunction, RiskBudgeting
from skfolio.prior import BasePrior, ReturnDistribution

from include.datasets.market.calendar import SESSIONS_PER_YEAR
from include.portfolio.settings import PortfolioSettings
from include.portfolio.strategies import EQUAL_WEIGHT, MAXIMUM_SHARPE, RISK_PARITY, STRATEGIES

Vector = NDArray[np.float64]

UNIT = 1e-6
"""Published weights are whole multiples of this."""


class PortfolioError(ValueError):
    """No portfolio can be made of what there is."""


@dataclass(frozen=True)
class Moments:
    """Expected simple returns (n) and covariance (n, n) of the symbols, annual."""

    expected_returns: Vector
    covariance: Vector

    def expected_return(self, weights: Vector) -> float:
        """Expected annual return of a portfolio."""
        return float(weights @ self.expected_returns)

    def volatility(self, weights: Vector) -> float:
        """Expected annual volatility of a portfolio."""
        return math.sqrt(float(weights @ self.covariance @ weights))


@dataclass(frozen=True)
class Allocation:
    """Weights of a strategy, in the order of the symbols, and what is to be known of them (or nothing)."""

    weights: Vector
    note: str = ""


def shrunk_covariance(returns: Vector) -> Vector:
    """Annual covariance of daily simple returns (dates, symbols), shrunk as in Ledoit and Wolf (2004).

    The article is "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    covariance: Vector = LedoitWolf().fit(returns).covariance_
    return covariance * SESSIONS_PER_YEAR


def forecast_moments(returns: Vector, expected_returns: Vector, expected_volatilities: Vector) -> Moments:
    """Predicted returns and volatilities, with the correlations of the past.

    The shrunk covariance of `returns` (daily, dates by symbols) is rescaled so that its diagonal is the squared
    expected volatilities (annual); its correlations stay as they are.

    Raises
    ------
    PortfolioError
        If an expected volatility is not a positive number, or a symbol's past returns never change.
    """
    if not (np.isfinite(expected_volatilities).all() and (expected_volatilities > 0).all()):
        raise PortfolioError(
            f"The expected volatilities {expected_volatilities.tolist()} are not all positive numbers; "
            "score the volatility model again."
        )
    covariance = shrunk_covariance(returns)
    past = np.sqrt(np.diag(covariance))
    if not (past > 0).all():
        raise PortfolioError("The past returns are all the same, so they have no correlations; check the prices.")
    scale = expected_volatilities / past
    return Moments(expected_returns, covariance * np.outer(scale, scale))


def historical_moments(returns: Vector) -> Moments:
    """Shrunk covariance and shrunk means of daily simple returns (dates, symbols).

    The means are drawn towards their grand mean as in Jorion (1986), "Bayes-Stein estimation for portfolio
    analysis": single means of a year of returns are mostly noise.
    """
    shrunk = ShrunkMu(covariance_estimator=LedoitWolf(), method=ShrunkMuMethods.BAYES_STEIN).fit(returns)
    return Moments(shrunk.mu_ * SESSIONS_PER_YEAR, shrunk_covariance(returns))


def allocate_all(
    moments: Moments, settings: PortfolioSettings, previous: Mapping[str, Vector] | None = None
) -> dict[str, Allocation]:
    """The weights of each strategy; `previous` are those held until now, see `allocate`."""
    return {name: allocate(name, moments, settings, (previous or {}).get(name)) for name in STRATEGIES}


def allocate(
    strategy: str, moments: Moments, settings: PortfolioSettings, previous: Vector | None = None
) -> Allocation:
    """The weights of one strategy: at least 0, at most `max_weight`, sum 1.

    Where there are `previous` weights, the one-way turnover against them is at most `max_turnover`, or what has
    to be sold in any case where that is more. They may sum to less than 1: the rest is in symbols that are sold.

    Raises
    ------
    PortfolioError
        If the symbols are too few for the weight cap.
    """
    check_cap(len(moments.expected_returns), settings)
    limits, note = _limits(settings, previous)
    if strategy == EQUAL_WEIGHT:
        weights = _equal_weight(moments, settings, previous, limits)
    elif strategy == RISK_PARITY:
        weights = _solve(RiskBudgeting, moments, limits)
    elif strategy == MAXIMUM_SHARPE and _beats(settings.risk_free_rate, moments, limits):
        ratio = ObjectiveFunction.MAXIMIZE_RATIO
        rate = settings.risk_free_rate
        weights = _solve(MeanRisk, moments, limits, objective_function=ratio, risk_free_rate=rate)
    else:
        weights = _solve(MeanRisk, moments, limits)
        if strategy == MAXIMUM_SHARPE:
            note = f"No portfolio is expected to beat the risk-free rate: minimum variance instead. {note}".strip()
    if previous is not None and not note and turnover(weights, previous) > settings.max_turnover - UNIT:
        note = f"Held back by the turnover cap of {settings.max_turnover:g}."
    return Allocation(weights, note)


def check_cap(symbols: int, settings: PortfolioSettings) -> None:
    """Raise PortfolioError where so few symbols cannot make up a portfolio under the weight cap."""
    if symbols * settings.max_weight < 1:
        raise PortfolioError(
            f"{symbols} symbols of at most {settings.max_weight:g} each make up no more than "
            f"{symbols * settings.max_weight:g} of a portfolio; raise max_weight or add symbols."
        )


def turnover(weights: Vector, previous: Vector | None) -> float:
    """One-way turnover: the share of the portfolio that is sold, and bought elsewhere. 0 for a first purchase."""
    if previous is None:
        return 0.0
    sold_entirely = 1 - previous.sum()
    return float((np.abs(weights - previous).sum() + sold_entirely) / 2)


def traded_value(weights: Vector, previous: Vector | None) -> float:
    """What is bought and sold, as a share of the portfolio: twice the turnover, or 1 for a first purchase."""
    return float(weights.sum()) if previous is None else 2 * turnover(weights, previous)


def round_weights(weights: Vector, max_weight: float = 1.0) -> Vector:
    """The weights as whole millionths that sum to one million.

    What rounding leaves over goes to the largest weight that stays within `max_weight`.
    """
    units = np.rint(weights / UNIT).astype(np.int64)
    rest = round(1 / UNIT) - units.sum()
    has_room = units + rest <= round(max_weight / UNIT)
    units[np.argmax(np.where(has_room, units, -1))] += rest
    rounded: Vector = units / round(1 / UNIT)
    return rounded


def frontier(moments: Moments, settings: PortfolioSettings, points: int = 15) -> tuple[Vector, Vector]:
    """Volatilities and expected returns along the efficient frontier under the weight cap, lowest risk first.

    One point where all symbols have the same expected return: there is nothing to trade off.
    """
    check_cap(len(moments.expected_returns), settings)
    limits: dict[str, Any] = {"max_weights": settings.max_weight}
    safest = _solve(MeanRisk, moments, limits)
    low, high = moments.expected_return(safest), _best_return(moments, limits)
    if high - low < UNIT:
        return np.array([moments.volatility(safest)]), np.array([low])
    # The very ends are where the solver's tolerance may find nothing.
    targets = np.linspace(low, high - UNIT * (high - low), points)
    along = [_solve(MeanRisk, moments, limits, min_return=target) for target in targets]
    return np.array([*map(moments.volatility, along)]), np.array([*map(moments.expected_return, along)])


class _Known(BasePrior):  # type: ignore[misc]
    """Moments that are given rather than estimated."""

    def __init__(self, moments: Moments) -> None:
        self.moments = moments

    def fit(self, X: Any, y: Any = None, **_: Any) -> _Known:
        """Take the moments as they are; of `X` only the shape counts."""
        self.return_distribution_ = ReturnDistribution(
            mu=self.moments.expected_returns, covariance=self.moments.covariance, returns=np.asarray(X)
        )
        return self


def _solve(optimizer: Any, moments: Moments, limits: Mapping[str, Any], **options: Any) -> Vector:
    """Weights of an optimizer of skfolio, which takes variance for risk unless told otherwise."""
    solved = optimizer(prior_estimator=_Known(moments), **limits, **options).fit(moments.expected_returns[None])
    weights: Vector = np.clip(solved.weights_, 0, limits["max_weights"])
    weights /= weights.sum()
    return weights


def _limits(settings: PortfolioSettings, previous: Vector | None) -> tuple[dict[str, Any], str]:
    limits: dict[str, Any] = {"max_weights": settings.max_weight}
    if previous is None:
        return limits, ""
    excess = np.clip(previous - settings.max_weight, 0, None).sum()
    forced = float(1 - previous.sum() + excess)
    limits["add_constraints"] = _turnover_limit(previous, max(settings.max_turnover, forced + UNIT))
    if forced <= settings.max_turnover:
        return limits, ""
    return limits, f"Turnover above {settings.max_turnover:g}: {forced:.4g} of the portfolio has to be sold."


def _turnover_limit(previous: Vector, limit: float) -> Callable[[Any], list[Any]]:
    # skfolio's own `max_turnover` is per symbol. Multiplied by the sum of the weights, the constraint holds at any
    # scale: the ratio and risk-budget problems are solved for a multiple of the weights. The sum is a variable of
    # its own because it would else stand in a dense row per symbol, which takes minutes for a thousand of them.
    bound = 2 * limit - (1 - previous.sum())

    def constraints(w: Any) -> list[Any]:
        total = Variable(nonneg=True)
        return [total == w.sum(), norm1(w - previous * total) <= bound * total]

    return constraints


def _equal_weight(
    moments: Moments, settings: PortfolioSettings, previous: Vector | None, limits: Mapping[str, Any]
) -> Vector:
    """1/n, or where the turnover cap forbids it the nearest weights to that: those of least sum of squares."""
    count = len(moments.expected_returns)
    weights = np.full(count, 1 / count)
    if turnover(weights, previous) <= settings.max_turnover:
        return weights
    return _solve(MeanRisk, Moments(moments.expected_returns, np.eye(count)), limits)


def _beats(rate: float, moments: Moments, limits: Mapping[str, Any]) -> bool:
    """Whether any portfolio within the limits has an expected return above `rate`."""
    if moments.expected_returns.min() > rate or moments.expected_returns.max() <= rate:
        return bool(moments.expected_returns.min() > rate)
    return _best_return(moments, limits) > rate


def _best_return(moments: Moments, limits: Mapping[str, Any]) -> float:
    """The highest expected return within the limits."""
    weights = _solve(MeanRisk, moments, limits, objective_function=ObjectiveFunction.MAXIMIZE_RETURN)
    return moments.expected_return(weights)
