"""What counts as a daily return, and which symbols have enough of them in common."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from include.datasets.market.features import suspected_splits
from include.models.returns import RETURNS
from include.portfolio.inputs import annual_return
from include.portfolio.returns import daily_returns, shares_history

START = date(2024, 1, 1)


def returns_of(**closes: list[float | None]) -> pl.DataFrame:
    """Daily returns of symbols that open at their last close; None is a session without trade."""
    return returns_of_rows(
        [
            (symbol, START + timedelta(number), close, close)
            for symbol, series in closes.items()
            for number, close in enumerate(series)
            if close is not None
        ]
    )


def returns_of_rows(rows: list[tuple[str, date, float, float]]) -> pl.DataFrame:
    prices = pl.DataFrame(rows, schema=["symbol", "date", "open", "close"], orient="row")
    splits = suspected_splits(prices.rename({"date": "dt"})).cast({"symbol": pl.String})
    return daily_returns(prices, splits)


def test_returns_are_from_close_to_close_by_date() -> None:
    returns = returns_of(B=[10.0, 11.0, 9.9], A=[None, 5.0, 5.5])

    assert returns.columns == ["date", "A", "B"]
    assert returns["date"].to_list() == [START + timedelta(1), START + timedelta(2)]
    assert returns["A"].to_list() == [None, pytest.approx(0.1)]
    assert returns["B"].to_list() == pytest.approx([0.1, -0.1])


def test_a_halt_has_no_return_and_the_next_one_spans_it() -> None:
    returns = returns_of(A=[10.0, None, None, 12.0, 12.0], B=[1.0] * 5)

    assert returns["A"].to_list() == [None, None, pytest.approx(0.2), 0.0]


@pytest.mark.parametrize("ratio", [2.0, 1 / 10])
def test_on_a_suspected_split_the_return_is_from_open_to_close(ratio: float) -> None:
    opened = 100 / ratio * 1.01
    rows = [("A", START, 100.0, 100.0), ("A", START + timedelta(1), opened, opened * 1.02)]

    assert returns_of_rows(rows)["A"].to_list() == pytest.approx([0.02])


def test_a_fall_within_the_session_is_a_return() -> None:
    rows = [("A", START, 100.0, 100.0), ("A", START + timedelta(1), 99.0, 50.0)]

    assert returns_of_rows(rows)["A"].to_list() == pytest.approx([-0.5])


def test_symbols_are_held_together_as_long_as_they_share_enough_sessions() -> None:
    nan = math.nan
    always, recent = [0.1] * 6, [nan, nan, 0.1, 0.1, 0.1, 0.1]
    halted, gone = [0.1, 0.1, nan, 0.1, 0.1, 0.1], [0.1] * 5 + [nan]
    returns = np.array([recent, gone, halted, always]).T

    assert shares_history(returns, 3).tolist() == [True, False, True, True]
    assert shares_history(returns, 4).tolist() == [False, False, True, True]
    assert shares_history(returns, 6).tolist() == [False, False, False, True]
    assert shares_history(returns, 7).tolist() == [False] * 4


def test_a_symbol_that_shares_too_few_sessions_keeps_no_other_one_out() -> None:
    returns = np.zeros((6, 3))
    returns[:2, 1] = np.nan
    returns[2:5, 0] = np.nan

    assert shares_history(returns, 4).tolist() == [False, True, True]


def test_a_predicted_return_is_of_the_horizon_of_its_model() -> None:
    assert annual_return(math.log(1.01)) == pytest.approx(0.01 * 252 / RETURNS.label.horizon_days)
