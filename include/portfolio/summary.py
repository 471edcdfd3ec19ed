"""What is said of a day's portfolio beside its weights: `summary.json`, which the page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from include.lifecycle.specs import Spec
from include.portfolio.backtest import Comparison, Figures
from include.portfolio.settings import PortfolioSettings

SUMMARY = "summary.json"


class SuspectedSplit(Spec):
    """A split that the source has most likely not adjusted for; `ratio` is new shares for an old one."""

    symbol: str
    date: date
    ratio: float


class CovarianceWindow(Spec):
    """The sessions on which all symbols were traded, and that the covariance is made from."""

    first: date
    last: date
    sessions: int


class Expectation(Spec):
    """What is expected of a strategy, annual, and what changing to it takes, as shares of the portfolio."""

    expected_return: float
    expected_volatility: float
    turnover: float
    traded_value: float
    cost: float
    note: str


class BacktestSummary(Spec):
    """Each strategy's figures, and each optimum's comparison with equal weight."""

    figures: Mapping[str, Figures]
    against_equal_weight: Mapping[str, Comparison]


class PortfolioSummary(Spec):
    """The content of `summary.json`.

    Attributes
    ----------
    excluded : symbols that cannot be held, each with the reason.
    suspected_splits : the newest first.
    strategies, backtest : by strategy.
    """

    day: date
    symbols: tuple[str, ...]
    excluded: Mapping[str, str]
    suspected_splits: tuple[SuspectedSplit, ...]
    window: CovarianceWindow
    strategies: Mapping[str, Expectation]
    backtest: BacktestSummary
    settings: PortfolioSettings
