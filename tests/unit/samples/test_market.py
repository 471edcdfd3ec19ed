"""The sample market: the same numbers however often and in whatever steps it is written."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.features import make_features, suspected_splits
from include.samples.market import Halt, MarketSettings, Split, correct, ensure_market, generate
from tests.unit.samples.worlds import mean

UNTIL = date(2026, 6, 30)
SESSIONS = NEW_YORK.days(NEW_YORK.later(UNTIL, -755), UNTIL)
SMALL = MarketSettings(history_days=60, halts=(Halt(symbol="MSFT", session=20, sessions=3),))


def stored(connection: Any) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select * from market.prices order by symbol, date")
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def as_prices(market: pl.DataFrame) -> pl.DataFrame:
    return market.with_columns(pl.col("volume").cast(pl.Float64), dt="date")


def test_the_default_market_has_five_symbols_on_all_sessions_but_for_one_halt() -> None:
    market = generate(MarketSettings(), SESSIONS)

    counts = dict(market.group_by("symbol").len().iter_rows())
    assert counts == {"AAPL": 756, "GOOGL": 756, "MSFT": 756, "AMZN": 756, "TSLA": 752}
    halted = set(SESSIONS) - set(market.filter(pl.col("symbol") == "TSLA")["date"])
    assert sorted(halted) == SESSIONS[400:404]


@pytest.mark.parametrize("seed", [7, 8])
def test_prices_are_possible_and_no_day_looks_like_a_split(seed: int) -> None:
    market = generate(MarketSettings(seed=seed), SESSIONS)

    assert market.filter(pl.col("low") > pl.min_horizontal("open", "close")).is_empty()
    assert market.filter(pl.col("high") < pl.max_horizontal("open", "close")).is_empty()
    assert market.filter((pl.col("low") <= 0) | (pl.col("volume") <= 0)).is_empty()
    assert suspected_splits(as_prices(market)).is_empty()


def test_a_value_depends_on_seed_symbol_and_number_alone() -> None:
    market = generate(MarketSettings(), SESSIONS)

    shorter = generate(MarketSettings(), SESSIONS[:500])
    alone = generate(MarketSettings(symbols=("TSLA",)), SESSIONS)
    assert shorter.equals(market.filter(pl.col("date") < SESSIONS[500]))
    assert alone.equals(market.filter(pl.col("symbol") == "TSLA"))
    assert not generate(MarketSettings(seed=8), SESSIONS).equals(market)


def test_symbols_move_together_but_not_as_one() -> None:
    market = generate(MarketSettings(halts=()), SESSIONS)
    returns = (
        market.select(pl.col("close").log().diff().over("symbol")).to_series().to_numpy().reshape(5, -1)[:, 1:]
    )

    correlations = np.corrcoef(returns)[np.triu_indices(5, 1)]

    assert 0.1 < correlations.mean() < 0.7


def test_volatility_over_three_spans_beats_the_last_one_alone() -> None:
    symbols = tuple(f"S{number}" for number in range(20))
    market = as_prices(generate(MarketSettings(symbols=symbols), SESSIONS))
    features = pl.concat(
        frame.with_columns(dt=pl.lit(day)) for day, frame in make_features(SESSIONS, {"prices": market.lazy()})
    )
    known = (
        features.sort("symbol", "dt")
        .with_columns(next=pl.col("volatility_21d").shift(-21).over("symbol"))
        .drop_nulls()
        .with_columns(pl.col("next", r"^volatility_\d+d$").log())
    )
    train, test = known.filter(pl.col("dt") < SESSIONS[450]), known.filter(pl.col("dt") >= SESSIONS[500])

    def inputs(rows: pl.DataFrame) -> Any:
        return rows.select(
            pl.lit(1.0).alias("one"), "volatility_5d", "volatility_21d", "volatility_63d"
        ).to_numpy()

    weights, *_ = np.linalg.lstsq(inputs(train), train["next"].to_numpy(), rcond=None)

    error = ((inputs(test) @ weights - test["next"].to_numpy()) ** 2).mean()
    persistence = mean((test["volatility_21d"] - test["next"]) ** 2)
    assert error < 0.9 * persistence


def test_a_split_is_not_adjusted_and_looks_like_one() -> None:
    plain = generate(MarketSettings(halts=()), SESSIONS).filter(pl.col("symbol") == "AMZN")

    market = generate(MarketSettings(halts=(), splits=(Split(symbol="AMZN", session=600),)), SESSIONS)

    (found,) = suspected_splits(as_prices(market)).rows()
    assert found == ("AMZN", SESSIONS[600], 4)
    amazon = market.filter(pl.col("symbol") == "AMZN")
    assert amazon[:600].equals(plain[:600])
    assert amazon["close"][600:].to_numpy() == pytest.approx(plain["close"][600:].to_numpy() / 4, abs=1e-4)
    assert amazon["volume"][700] == pytest.approx(4 * plain["volume"][700], abs=4)


def test_appending_gives_what_generating_at_once_gives(postgres: Any) -> None:
    opened = NEW_YORK.later(UNTIL, -59)

    first = ensure_market(postgres, SMALL.model_copy(update={"history_days": 22}), NEW_YORK.later(opened, 21))
    second = ensure_market(postgres, SMALL, NEW_YORK.later(opened, 30))
    third = ensure_market(postgres, SMALL, UNTIL)

    assert [*first, *second, *third] == NEW_YORK.days(opened, UNTIL)
    in_steps = stored(postgres)
    with postgres, postgres.cursor() as cursor:
        cursor.execute("drop schema market, sample_market cascade")
    assert ensure_market(postgres, SMALL, UNTIL) == NEW_YORK.days(opened, UNTIL)
    assert stored(postgres) == in_steps
    assert len(in_steps) == 5 * 60 - 3


def test_writing_again_or_on_a_weekend_changes_nothing(postgres: Any) -> None:
    friday = date(2026, 6, 26)
    ensure_market(postgres, SMALL, friday)
    before = stored(postgres)

    assert ensure_market(postgres, SMALL, friday) == []
    assert ensure_market(postgres, SMALL, date(2026, 6, 28)) == []
    assert stored(postgres) == before


def test_opened_on_a_weekend_it_has_its_whole_history(postgres: Any) -> None:
    written = ensure_market(postgres, SMALL, date(2026, 6, 28))

    assert (len(written), written[-1]) == (60, date(2026, 6, 26))


def test_a_symbol_added_later_gets_the_history_it_would_have_had(postgres: Any) -> None:
    ensure_market(postgres, SMALL, UNTIL)
    before = stored(postgres)
    with_nvidia = SMALL.model_copy(update={"symbols": (*SMALL.symbols, "NVDA")})

    written = ensure_market(postgres, with_nvidia, UNTIL)

    assert len(written) == 60
    assert [row for row in stored(postgres) if row[0] != "NVDA"] == before
    expected = generate(with_nvidia, written).filter(pl.col("symbol") == "NVDA")
    assert [float(row[5]) for row in stored(postgres) if row[0] == "NVDA"] == expected["close"].to_list()


def test_another_seed_is_refused(postgres: Any) -> None:
    ensure_market(postgres, SMALL, UNTIL)

    with pytest.raises(ValueError, match="generated with seed=7, not 8"):
        ensure_market(postgres, SMALL.model_copy(update={"seed": 8}), UNTIL)


def test_a_correction_changes_one_row_and_stays(postgres: Any) -> None:
    ensure_market(postgres, SMALL, UNTIL)
    before, day = stored(postgres), date(2026, 6, 1)

    correct(postgres, "AAPL", day, 1.5)
    ensure_market(postgres, SMALL, UNTIL)

    changed = [(old, new) for old, new in zip(before, stored(postgres), strict=True) if old != new]
    ((old, new),) = changed
    assert old[:2] == new[:2] == ("AAPL", day)
    assert [float(price) for price in new[2:6]] == pytest.approx([1.5 * float(price) for price in old[2:6]])
    assert old[6] == new[6]


def test_correcting_a_row_that_is_not_there_is_refused(postgres: Any) -> None:
    ensure_market(postgres, SMALL, UNTIL)

    with pytest.raises(ValueError, match="no price of AAPL on 2026-06-28"):
        correct(postgres, "AAPL", date(2026, 6, 28), 2)


@pytest.mark.parametrize(
    "settings", [{"symbols": ("AAPL", "AAPL")}, {"symbols": ()}, {"symbols": ("a b",)}, {"days": 1}]
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"symbols|days"):
        MarketSettings(**settings)
