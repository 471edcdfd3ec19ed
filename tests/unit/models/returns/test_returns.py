"""What the returns model predicts, and what is done about it."""

from __future__ import annotations

import math

import polars as pl
import pytest

from include.models.returns.decisions import decide
from include.models.returns.label import HORIZON, return_ahead
from tests.unit.models.market_labels import DAY, features, prices

FLAT = [100.0] * HORIZON


def labels(closes: dict[str, list[float | None]]) -> dict[str, float]:
    frame = return_ahead(DAY, features(*closes), prices(closes))
    return dict(frame.iter_rows())


def test_the_label_is_the_log_return_to_the_end_of_the_horizon() -> None:
    assert labels({"A": [*FLAT, 110.0]}) == {"A": pytest.approx(math.log(1.1))}


def test_a_halt_within_the_window_does_no_harm_but_one_at_its_end_does() -> None:
    found = labels({"A": [100.0, None, None, 101.0, 102.0, 110.0], "B": [*FLAT, None], "C": [*FLAT, 100.0]})

    assert found == {"A": pytest.approx(math.log(1.1)), "C": 0}


def test_a_suspected_split_leaves_no_label() -> None:
    halved = prices({"A": [*FLAT, 100.0], "B": [*FLAT, 50.0]}).with_columns(
        open=pl.when(pl.col("close") == 50).then(50.0).otherwise("open")
    )

    assert return_ahead(DAY, features("A", "B"), halved)["symbol"].to_list() == ["A"]


def test_a_symbol_without_a_price_on_the_day_has_no_label() -> None:
    assert labels({"A": [None, *FLAT], "B": [*FLAT, 100.0]}) == {"B": 0}


def decided(score: float, volatility: float = 0.2) -> dict[str, object]:
    frame = pl.DataFrame(
        {
            "symbol": ["A"],
            "close": [100.0],
            "volatility_21d": [volatility],
            "score": [score],
            "score_low": [score - 0.03],
            "score_high": [score + 0.03],
        }
    )
    return decide(frame).row(0, named=True)


@pytest.mark.parametrize(
    ("score", "volatility", "signal"),
    [
        (0.0, 0.2, "HOLD"),
        (0.01, 0.2, "BUY"),
        (-0.01, 0.2, "SELL"),
        (0.01, 0.8, "HOLD"),
        (0.0015, 0.02, "HOLD"),
        (0.01, 0.0, "HOLD"),
    ],
    ids=[
        "nothing is expected",
        "much for its risk",
        "much, downwards",
        "little for its risk",
        "less than its cost",
        "no risk known",
    ],
)
def test_only_a_return_that_pays_for_its_risk_and_its_cost_is_acted_upon(
    score: float, volatility: float, signal: str
) -> None:
    assert decided(score, volatility)["signal"] == signal


def test_a_return_is_acted_upon_from_both_limits_on() -> None:
    # With a volatility of 252 ** 0.5 a year, the risk of 5 sessions is 5 ** 0.5.
    risky = 252**0.5
    least = 0.15 * 5**0.5

    assert [decided(score, risky)["signal"] for score in (least + 1e-12, least - 1e-9)] == ["BUY", "HOLD"]
    assert decided(0.15, volatility=1 / (5 / 252) ** 0.5)["signal"] == "BUY"
    assert [decided(score, 0.01)["signal"] for score in (0.002, 0.0019999)] == ["BUY", "HOLD"]
    assert [decided(score, 0.01)["signal"] for score in (-0.002, -0.0019999)] == ["SELL", "HOLD"]


def test_the_price_range_is_that_of_the_score_around_the_close() -> None:
    row = decided(0.01)

    assert row["price_low"] == pytest.approx(100 * math.exp(-0.02))
    assert row["price_high"] == pytest.approx(100 * math.exp(0.04))
    assert row["expected_return"] == pytest.approx(math.exp(0.01) - 1)


def test_the_reason_says_what_the_signal_rests_on() -> None:
    assert decided(0.01)["reason"] == "1.01 % expected in 5 sessions, 0.35 times its risk: enough to act."
    assert decided(0.0)["reason"] == "No return is expected: no model has shown skill."
