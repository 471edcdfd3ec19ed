"""Features of the market: what they are by hand, and that nothing but the past decides them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from include.checks import assert_point_in_time, assert_regrouping_changes_nothing
from include.datasets.market import MARKET
from include.datasets.market import features as market_features
from include.datasets.market.features import (
    HISTORY_DAYS,
    NUMERIC,
    RETURNS,
    SCHEMA,
)
from tests.unit.datasets.market.price_walks import SESSIONS, as_bytes, made, of, rows, split, walk

LAST = SESSIONS[RETURNS]


def test_a_steady_rise_by_hand() -> None:
    step = math.log(1.01)

    values = of("UP", made([LAST], rows("UP", [100 * 1.01**number for number in range(64)]))[LAST])

    assert values["close"] == pytest.approx(100 * 1.01**63)
    for returns in (1, 5, 21):
        assert values[f"return_{returns}d"] == pytest.approx(returns * step)
    for returns in (5, 21, 63):
        assert values[f"volatility_{returns}d"] == pytest.approx(math.sqrt(252) * step)
    assert values["rsi_14"] == 100
    assert values["distance_sma_10"] == pytest.approx(10 / sum(1.01**-back for back in range(10)) - 1)
    assert values["distance_sma_50"] == pytest.approx(50 / sum(1.01**-back for back in range(50)) - 1)
    assert values["drawdown_63d"] == 0
    assert values["volume_z_21"] == 0


def test_a_line_of_closes_and_of_log_volumes_by_hand() -> None:
    volumes = [math.exp(number / 10) for number in range(64)]

    values = of("LINE", made([LAST], rows("LINE", list(range(100, 164)), volume=volumes))[LAST])

    # n numbers in a row have a population variance of (n^2 - 1) / 12.
    assert values["bollinger_20"] == pytest.approx(9.5 / (2 * math.sqrt(399 / 12)))
    assert values["volume_z_21"] == pytest.approx(10 / math.sqrt(440 / 12))
    assert values["distance_sma_10"] == pytest.approx(163 / 158.5 - 1)


def test_ups_and_downs_by_hand() -> None:
    closes = [100.0] * 40 + [170.0] + [100.0 + 2 * (number % 2) - number // 2 for number in range(23)]

    values = of("ZIGZAG", made([LAST], rows("ZIGZAG", closes, open=closes))[LAST])

    # From one day to the next it gains 2 or loses 3: seven times each in 14 changes.
    assert values["rsi_14"] == pytest.approx(100 * 14 / (14 + 21))
    assert values["drawdown_63d"] == pytest.approx(89 / 170 - 1)
    assert values["return_1d"] == pytest.approx(math.log(89 / 92))


def test_a_price_that_never_moves_has_values_in_the_middle() -> None:
    values = of("FLAT", made([LAST], rows("FLAT", [13.37] * 64, volume=[777.7] * 64))[LAST])

    assert {name: values[name] for name in NUMERIC} == {**dict.fromkeys(NUMERIC, 0.0), "rsi_14": 50.0}


def test_the_market_is_the_mean_of_the_days_symbols_by_hand() -> None:
    up, down = [100 * 1.01**number for number in range(64)], [100 * 0.98**number for number in range(64)]
    no_features = rows("YOUNG", [1.0, 3.0, 1.0], first=61)

    features = made([LAST], rows("DOWN", down), rows("UP", up), no_features)[LAST]

    mean = (math.log(1.01) + math.log(0.98)) / 2
    assert features["symbol"].to_list() == ["DOWN", "UP"]
    assert features["market_return_1d"].to_list() == pytest.approx([mean] * 2)
    assert features["market_return_5d"].to_list() == pytest.approx([5 * mean] * 2)
    assert features["market_volatility_21d"].to_list() == pytest.approx([math.sqrt(252) * abs(mean)] * 2)


def test_the_market_of_uneven_days_is_that_of_equal_weights() -> None:
    tables = [walk("AAPL", 80), walk("MSFT", 80)]
    returns = np.mean([np.diff(np.log(table["close"].to_numpy())) for table in tables], axis=0)

    together, alone = made(SESSIONS[RETURNS:80], *tables), made(SESSIONS[RETURNS:80], tables[0])

    # The return of session number n is that of place n - 1.
    for number in range(RETURNS, 80):
        features, own = (found[SESSIONS[number]] for found in (together, alone))
        volatility = math.sqrt(252 * np.mean(returns[number - 21 : number] ** 2))
        assert features["market_volatility_21d"].to_list() == pytest.approx([volatility] * 2)
        assert features["market_return_5d"].to_list() == pytest.approx([returns[number - 5 : number].sum()] * 2)
        assert own["market_volatility_21d"].item() == pytest.approx(own["volatility_21d"].item())


def test_a_share_of_a_cent_has_a_relative_strength_too() -> None:
    values = of("PENNY", made([LAST], rows("PENNY", [0.01 * 1.01**number for number in range(64)]))[LAST])

    assert values["rsi_14"] == 100


def test_they_agree_with_ta_lib() -> None:
    prices = walk("AAPL", 250)
    close, log_volume = prices["close"].to_numpy(), np.log(prices["volume"].to_numpy())
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    returns = np.concatenate([[0], np.diff(np.log(close))])
    expected = {
        **{f"return_{n}d": np.log(talib.ROCR(close, n)) for n in (1, 5, 21)},
        **{f"volatility_{n}d": np.sqrt(252 * talib.SMA(returns**2, n)) for n in (5, 21, 63)},
        **{f"distance_sma_{n}": close / talib.SMA(close, n) - 1 for n in (10, 50)},
        "bollinger_20": (close - middle) / ((upper - lower) / 2),
        "volume_z_21": (log_volume - talib.SMA(log_volume, 21)) / talib.STDDEV(log_volume, 21),
        "drawdown_63d": close / talib.MAX(close, 63) - 1,
    }

    ours = pl.concat(made(SESSIONS[RETURNS:250], prices).values())

    for name, values in expected.items():
        assert ours[name].to_numpy() == pytest.approx(values[RETURNS:], abs=1e-9), name


def test_cutlers_rsi_by_its_definition() -> None:
    prices = walk("AAPL", 200)
    changes = prices["close"].diff().to_list()

    for number in range(RETURNS, 200):
        window = changes[number - 13 : number + 1]
        gains, losses = (math.fsum(max(sign * change, 0) for change in window) for sign in (1, -1))
        values = of("AAPL", made([SESSIONS[number]], prices)[SESSIONS[number]])
        assert values["rsi_14"] == pytest.approx(100 - 100 / (1 + gains / losses), abs=1e-10)


def test_no_value_is_missing_and_symbols_are_sorted() -> None:
    features = pl.concat(
        made(SESSIONS, *(walk(symbol, 300, seed=1) for symbol in ("MSFT", "AAPL", "TSLA"))).values()
    )

    assert dict(features.schema) == SCHEMA
    assert features.height == 3 * (300 - RETURNS)
    assert features.null_count().sum_horizontal().item() == 0
    assert all(features[name].is_finite().all() for name in NUMERIC)
    assert features["symbol"].to_list() == ["AAPL", "MSFT", "TSLA"] * (300 - RETURNS)


def test_each_requested_day_is_answered_even_without_rows() -> None:
    holiday = date(2016, 7, 4)
    days = [SESSIONS[3], holiday, LAST]

    answered = made(days, walk("AAPL", 100))

    assert list(answered) == days
    assert [features.height for features in answered.values()] == [0, 0, 1]
    assert all(dict(features.schema) == SCHEMA for features in answered.values())


def test_no_prices_at_all_give_empty_days() -> None:
    assert made([LAST], rows("AAPL", [1.0]).clear())[LAST].equals(pl.DataFrame(schema=SCHEMA))


def messy_market(seed: int, sessions: int = 200) -> pl.DataFrame:
    """Ten symbols: some begin late or end early, one is split, all lack some rows."""
    rng = random.Random(seed)
    tables = []
    for number in range(10):
        first = rng.choice([0, 0, 0, 40, 90])
        count = sessions - first - rng.choice([0, 0, 30])
        table = split("S3", 80, 4) if number == 3 else walk(f"S{number}", count, first, seed)
        missing = rng.sample(SESSIONS[:sessions], rng.choice([0, 3, 12, 25]))
        tables.append(table.filter(~pl.col("dt").is_in(missing)))
    return pl.concat(tables).sample(fraction=1, shuffle=True, seed=seed)


def of_chunk(prices: pl.DataFrame, days: Sequence[date]) -> dict[date, pl.DataFrame]:
    """What the engine does: it gives the rows of the days and of their histories, and no others."""
    history = {day - timedelta(days=back) for day in days for back in range(HISTORY_DAYS + 1)}
    return made(days, prices.filter(pl.col("dt").is_in(list(history))))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1, 7, 50, 130])
def test_the_grouping_into_chunks_changes_no_bit(seed: int, size: int) -> None:
    prices = messy_market(seed)
    days = SESSIONS[:200]
    together = made(days, prices)
    assert sum(features.height for features in together.values()) > 400

    for start in range(0, len(days), size):
        for day, features in of_chunk(prices, days[start : start + size]).items():
            assert as_bytes(features) == as_bytes(together[day]), day


def test_days_in_any_order_and_far_apart_change_no_bit() -> None:
    prices = messy_market(4)
    days = [SESSIONS[199], SESSIONS[70], SESSIONS[150]]
    together = made(SESSIONS[:200], prices)

    apart = of_chunk(prices, days)

    assert list(apart) == days
    assert all(as_bytes(apart[day]) == as_bytes(together[day]) for day in days)


@pytest.mark.parametrize("block", [1, 17, 64, 1000])
def test_the_size_of_a_block_changes_no_bit(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    prices = messy_market(5)
    expected = made(SESSIONS[:200], prices)

    monkeypatch.setattr(market_features, "_BLOCK_ROWS", block)

    in_blocks = made(SESSIONS[:200], prices)
    assert all(as_bytes(in_blocks[day]) == as_bytes(expected[day]) for day in expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(RETURNS, 198), factor=st.sampled_from([0.01, 0.5, 1.3, 50.0]))
def test_what_happens_later_changes_no_byte(seed: int, cut: int, factor: float) -> None:
    prices = messy_market(seed)
    is_later = pl.col("dt") > SESSIONS[cut]
    later = prices.filter(is_later)
    shuffled = later.with_columns(
        pl.col(name).shuffle(seed=seed) * factor for name in ("open", "close", "volume")
    ).sample(fraction=0.7, seed=seed)
    newcomer = walk("AA", 200, seed=seed).filter(is_later)
    days = SESSIONS[: cut + 1]

    before = made(days, prices)
    after = made(days, prices.filter(~is_later), shuffled, newcomer)

    assert [as_bytes(features) for features in before.values()] == [as_bytes(after[day]) for day in before]


def test_other_symbols_change_nothing_but_the_market() -> None:
    own = [name for name in SCHEMA if not name.startswith("market_")]
    alone, others = walk("MSFT", 100), [walk(symbol, 100) for symbol in ("AAPL", "TSLA")]

    with_others = made([LAST], *others, alone)[LAST].filter(pl.col("symbol") == "MSFT")

    assert as_bytes(with_others.select(own)) == as_bytes(made([LAST], alone)[LAST].select(own))
    assert with_others["market_return_1d"].item() != with_others["return_1d"].item()


def test_features_keep_what_those_of_every_dataset_must() -> None:
    prices = {"prices": pl.concat([walk("AAA", 80), walk("BBB", 80)]).lazy()}

    assert_point_in_time(MARKET, SESSIONS[70], prices)
    assert_regrouping_changes_nothing(MARKET, SESSIONS[68:72], prices)
