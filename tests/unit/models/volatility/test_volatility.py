"""What the volatility model predicts, and how it is put."""

from __future__ import annotations

import math

import polars as pl
import pytest

from include.models.volatility.decisions import decide
from include.models.volatility.label import HORIZON, realized_volatility_ahead
from tests.unit.models.market_labels import DAY, features, prices

ALTERNATING: list[float | None] = [100.0 if number % 2 == 0 else 101.0 for number in range(HORIZON + 1)]
DAILY = math.log(1.01)


def test_the_label_is_the_root_of_the_mean_squared_return_a_year() -> None:
    frame = realized_volatility_ahead(DAY, features("A"), prices({"A": ALTERNATING}))

    assert frame.row(0) == ("A", pytest.approx(DAILY * math.sqrt(252)))


def test_a_symbol_halted_for_too_long_has_no_label() -> None:
    short = [*ALTERNATING[:5], None, None, *ALTERNATING[7:]]
    long = [*ALTERNATING[:5], *[None] * 6, *ALTERNATING[11:]]

    frame = realized_volatility_ahead(DAY, features("A", "B"), prices({"A": short, "B": long}))

    assert frame["symbol"].to_list() == ["A"]


def test_the_label_looks_21_sessions_ahead_and_needs_17_returns() -> None:
    enough, too_few = ([100.0, *[None] * halted, *ALTERNATING[halted + 1 :]] for halted in (4, 5))

    frame = realized_volatility_ahead(DAY, features("A", "B"), prices({"A": enough, "B": too_few}))

    assert HORIZON == 21
    assert frame["symbol"].to_list() == ["A"]


@pytest.mark.parametrize(
    ("score", "regime"),
    [(0.4, "calmer"), (0.79, "calmer"), (0.8, "usual"), (1.24, "usual"), (1.25, "rougher"), (2.0, "rougher")],
)
def test_the_regime_compares_with_the_last_quarter(score: float, regime: str) -> None:
    """`score` is in units of the last quarter's volatility."""
    frame = pl.DataFrame({"score": [score * 0.5], "score_low": [-0.1], "volatility_63d": [0.5]})

    row = decide(frame).row(0, named=True)

    assert row["regime"] == regime
    assert row["score_low"] == 0


def test_the_reason_gives_both_volatilities_in_percent() -> None:
    frame = pl.DataFrame({"score": [0.18349], "score_low": [0.1], "volatility_63d": [0.24551]})

    row = decide(frame).row(0, named=True)

    assert row["reason"] == "18.3 % a year expected over the next 21 sessions, 24.6 % over the last 63."
    assert row["score_low"] == 0.1
