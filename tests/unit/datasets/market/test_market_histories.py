"""Which history a symbol's features have: splits, halts, and symbols that come and go."""

from __future__ import annotations

import math
from datetime import date

import polars as pl
import pytest

from include.datasets.market.features import (
    HISTORY_DAYS,
    RETURNS,
    suspected_splits,
)
from tests.unit.datasets.market.price_walks import SESSIONS, as_bytes, made, of, rows, split, walk


def known(*tables: pl.DataFrame) -> dict[str, list[date]]:
    """The days on which each symbol has features."""
    found: dict[str, list[date]] = {}
    for day, features in made(SESSIONS, *tables).items():
        for symbol in features["symbol"]:
            found.setdefault(symbol, []).append(day)
    return found


@pytest.mark.parametrize("ratio", [1.5, 2, 3, 4, 7, 10, 20, 50, 1 / 2, 1 / 8, 1 / 10])
@pytest.mark.parametrize("news", [0.98, 1.0, 1.02])
def test_a_split_is_listed_and_starts_anew(ratio: float, news: float) -> None:
    table = split("AAPL", 100, ratio, news=news)

    assert suspected_splits(table).rows() == [("AAPL", SESSIONS[100], pytest.approx(ratio))]
    assert known(table)["AAPL"] == [*SESSIONS[RETURNS:100], *SESSIONS[100 + RETURNS : 200]]
    day = SESSIONS[100 + RETURNS]
    fresh = table.filter(pl.col("dt") >= SESSIONS[100])
    assert as_bytes(made([day], table)[day]) == as_bytes(made([day], fresh)[day])


def test_all_documented_ratios_are_splits_and_the_whole_ones_also_the_other_way_round() -> None:
    whole = [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0]
    ratios = [1.5, *whole, *(1 / ratio for ratio in whole)]
    names = [f"S{number:02}" for number in range(len(ratios))]
    tables = [
        rows(name, [100.0, 100 / ratio], open=[100.0, 100 / ratio])
        for name, ratio in zip(names, ratios, strict=True)
    ]

    assert suspected_splits(pl.concat(tables))["ratio"].to_list() == pytest.approx(ratios)


@pytest.mark.parametrize("gap", [0.527, 0.72, 0.8, 1.25, 1.4146])
def test_real_gaps_after_news_are_no_splits(gap: float) -> None:
    table = split("AAPL", 100, 1 / gap)

    assert suspected_splits(table).is_empty()
    assert len(known(table)["AAPL"]) == 200 - RETURNS


def test_from_one_symbol_to_the_next_there_is_no_split() -> None:
    assert suspected_splits(pl.concat([rows("A", [100.0, 100.0]), rows("B", [25.0, 25.0])])).is_empty()


def test_a_short_halt_is_one_return() -> None:
    table = walk("TSLA", 150)
    halted = table.filter(~pl.col("dt").is_in(SESSIONS[90:94]))
    closes = table["close"]

    days = known(halted)["TSLA"]

    assert days == [*SESSIONS[RETURNS:90], *SESSIONS[94:150]]
    values = of("TSLA", made([SESSIONS[94]], halted)[SESSIONS[94]])
    assert values["return_1d"] == pytest.approx(math.log(closes[94] / closes[89]))
    assert values["return_5d"] == pytest.approx(math.log(closes[94] / closes[85]))


def test_after_a_long_halt_there_are_no_features_until_the_history_holds_them() -> None:
    halted = walk("TSLA", 250).filter(~pl.col("dt").is_in(SESSIONS[90:130]))
    traded = halted["dt"].to_list()

    days = known(halted)["TSLA"]

    expected = [
        day for first, day in zip(traded, traded[RETURNS:], strict=False) if (day - first).days <= HISTORY_DAYS
    ]
    assert days == expected
    assert SESSIONS[130] not in days
    assert SESSIONS[249] in days


def test_a_history_of_120_days_holds_the_returns_and_one_of_121_does_not() -> None:
    halted = walk("TSLA", 200).filter(~pl.col("dt").is_in(SESSIONS[64:85]))
    traded = halted["dt"].to_list()
    lengths = {day: (day - first).days for first, day in zip(traded, traded[RETURNS:], strict=False)}

    days = known(halted)["TSLA"]

    assert {120, 121} <= set(lengths.values())
    assert days == [day for day, length in lengths.items() if length <= 120]


def test_a_delisted_and_a_late_symbol_have_features_while_they_are_traded() -> None:
    days = known(walk("ALWAYS", 200), walk("GONE", 100), walk("LATE", 80, first=120))

    assert days["ALWAYS"] == SESSIONS[RETURNS:200]
    assert days["GONE"] == SESSIONS[RETURNS:100]
    assert days["LATE"] == SESSIONS[120 + RETURNS : 200]


def test_a_day_with_some_of_the_symbols_has_features_of_these() -> None:
    day = SESSIONS[80]
    absent = walk("AAPL", 100).filter(pl.col("dt") != day)

    features = made([day], absent, walk("MSFT", 100))[day]

    assert features["symbol"].to_list() == ["MSFT"]
    assert features["market_return_1d"].item() == features["return_1d"].item()
