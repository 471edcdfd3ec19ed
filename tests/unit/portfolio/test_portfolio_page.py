"""What the portfolio's page says first, and the scale of its back-test."""

from __future__ import annotations

import re
from datetime import date, timedelta

import polars as pl
import pytest

from include.portfolio.backtest import Answer, Comparison
from include.portfolio.charts import draw_frontier, draw_growth
from include.portfolio.page import verdict_of
from include.portfolio.settings import PortfolioSettings
from include.portfolio.strategies import STRATEGIES
from include.portfolio.summary import BacktestSummary, CovarianceWindow, Expectation, PortfolioSummary

DAYS = [date(2025, 1, 1) + timedelta(number) for number in range(50)]


def by_strategy(column: str, values: list[float]) -> pl.DataFrame:
    return pl.concat(pl.DataFrame({"date": DAYS, "strategy": name, column: values}) for name in STRATEGIES)


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([], "neutral"),
        (["no evidence", "no evidence"], "neutral"),
        (["no evidence", "worse"], "warning"),
        (["better", "worse"], "good"),
    ],
)
def test_only_an_optimum_that_does_worse_than_equal_weight_asks_for_attention(
    answers: list[Answer], status: str
) -> None:
    compared = {
        name: Comparison(0.1, -0.1, 0.3, answer) for name, answer in zip(STRATEGIES[1:], answers, strict=False)
    }
    summary = PortfolioSummary(
        day=DAYS[-1],
        symbols=("AAA",),
        excluded={},
        suspected_splits=(),
        window=CovarianceWindow(first=DAYS[0], last=DAYS[-1], sessions=len(DAYS)),
        strategies={},
        backtest=BacktestSummary(figures={}, against_equal_weight=compared),
        settings=PortfolioSettings(),
    )
    backtest = by_strategy("net_return", [0.01, -0.005] * 25).with_columns(traded_value=0.1, cost=0.0001)

    verdict = verdict_of(summary, backtest)

    assert verdict.status == status


@pytest.mark.parametrize("end", [0.9, 1.3, 2.5, 40])
def test_the_scale_of_growth_has_several_figures_however_far_it_reaches(end: float) -> None:
    svg = draw_growth(by_strategy("value", [1 + (end - 1) * number / 49 for number in range(50)]))

    figures = {float(text) for text in re.findall(r">(\d+(?:\.\d+)?)<", svg) if not re.fullmatch(r"\d\d", text)}
    assert len(figures) >= 4, figures


def test_equal_returns_are_drawn_on_an_axis_as_narrow_as_they_are() -> None:
    expected = {
        name: Expectation(
            expected_return=0.0,
            expected_volatility=0.1 + at / 100,
            turnover=0.0,
            traded_value=0.0,
            cost=0.0,
            note="",
        )
        for at, name in enumerate(STRATEGIES)
    }
    nothing = pl.DataFrame({"risk": [0.1], "expected_return": [0.0]})

    texts = re.findall(r">([^<>]*?)\u00a0%</text>", draw_frontier(nothing, expected))

    returns = [float(text.replace("\u2212", "-")) for text in texts]
    assert min(returns) > -1
    assert all(abs(value) <= 0.5 or value > 5 for value in returns)
