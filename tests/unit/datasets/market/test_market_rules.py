"""Each rule of the market dataset finds the row that breaks it, and no other."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from include.datasets.market import MARKET
from include.lifecycle.ingestion.row_rules import broken_rows, make_rules

DAY = date(2017, 7, 3)
PRICES = MARKET.table("prices")
GOOD = {
    "symbol": "BRK.B",
    "date": DAY,
    "open": 10.0,
    "high": 12.0,
    "low": 9.0,
    "close": 11.0,
    "volume": 1.0,
    "dt": DAY,
}
BROKEN = [
    ({"symbol": "brk.b"}, ["prices.symbol.format"]),
    ({"symbol": "../X"}, ["prices.symbol.format"]),
    ({"symbol": "A" * 16}, ["prices.symbol.format"]),
    ({"date": date(2017, 7, 2)}, ["prices.date.day_of_partition"]),
    *[({name: None}, [f"prices.{name}.present"]) for name in ("open", "high", "low", "close", "volume")],
    ({"low": 0.0}, ["prices.low.positive"]),
    ({"low": -1.0}, ["prices.low.positive"]),
    ({"open": 0.0}, ["prices.open.positive"]),
    ({"close": -11.0}, ["prices.close.positive"]),
    ({"high": 0.0}, ["prices.high.positive"]),
    ({"low": 10.5}, ["prices.low.lowest"]),
    ({"open": 8.0}, ["prices.low.lowest"]),
    ({"high": 10.5}, ["prices.high.highest"]),
    ({"open": 12.5}, ["prices.high.highest"]),
    ({"low": 20.0}, ["prices.low.lowest"]),
    ({"volume": 0.0}, ["prices.volume.traded"]),
    ({"volume": -5.0}, ["prices.volume.traded"]),
]


def checked(*rows: dict[str, Any]) -> dict[str, list[int]]:
    frame = pl.DataFrame([{**GOOD, **row} for row in rows], schema={**PRICES.columns, "dt": pl.Date})
    return broken_rows(frame, make_rules(PRICES.rules))


@pytest.mark.parametrize(("change", "rules"), BROKEN, ids=str)
def test_a_broken_row_meets_its_rules(change: dict[str, Any], rules: list[str]) -> None:
    assert checked({}, change, {}) == {rule: [1] for rule in rules}


def test_every_rule_has_a_row_that_breaks_it() -> None:
    assert {rule for _, rules in BROKEN for rule in rules} == set(make_rules(PRICES.rules))


def test_a_day_without_movement_and_one_with_open_or_close_at_the_ends_is_good() -> None:
    assert not checked({"open": 9.0, "close": 12.0}, dict.fromkeys(("open", "high", "low", "close"), 9.5))
