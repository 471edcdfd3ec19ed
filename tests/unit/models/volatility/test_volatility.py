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


@pytest.mark.parametrize(("score", "regime"), [(0.1, "calmer"), (0.2, "usual"), (0.25, "rougher")])
def test_the_regime_compares_with_the_last_quarter(score: float, regime: str) -> None:
    frame = pl.DataFrame({"score": [score], "score_low": [-0.1], "volatility_63d": [0.2]})

    row = decide(frame).row(0, named=True)

    assert row["regime"] == regime
    assert row["score_low"] == 0
    assert f"{100 * score:.1f} % a year expected" in row["reason"]
