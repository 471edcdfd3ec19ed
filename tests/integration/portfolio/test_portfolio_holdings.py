"""What a portfolio holds, and which returns count; on a real lake."""

from __future__ import annotations

import math
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.storage.lake import Lake, RunInfo
from include.portfolio import publish
from include.portfolio.inputs import PORTFOLIO, RETURNS, VOLATILITY
from include.portfolio.strategies import STRATEGIES
from include.portfolio.weights import PortfolioError
from tests.integration.portfolio.markets import (
    DAYS,
    SETTINGS,
    SYMBOLS,
    closes,
    make_all,
    page_of,
    predict,
    publish_prices,
    publish_scores,
    table_of,
)


def weights_of(lake: Lake, day: date, scratch: Path) -> pl.DataFrame:
    return table_of(lake, day, scratch, "weights.parquet")


def test_published_weights_are_a_portfolio(market: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> None:
    make_all(market, postgres, run)

    for _, rows in weights_of(market, DAYS[-1], tmp_path).group_by("strategy"):
        millionths = [round(weight * 1e6) for weight in rows["weight"]]
        assert sum(millionths) == 1_000_000
        assert rows["weight"].is_between(0, SETTINGS.max_weight).all()
    [csv] = market.download(PORTFOLIO, DAYS[-1], tmp_path, "weights.csv")
    assert pl.read_csv(csv).height == 4 * len(SYMBOLS)


def test_turnover_starts_from_the_previous_weights_as_the_prices_moved_them(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    make_all(market, postgres, run)
    series = closes()
    before, now = (weights_of(market, day, tmp_path) for day in DAYS[-2:])
    grown = {
        row["symbol"]: row["weight"] * series[row["symbol"]][-1] / series[row["symbol"]][-2]
        for row in before.filter(strategy="risk parity").iter_rows(named=True)
    }
    expected = {symbol: value / math.fsum(grown.values()) for symbol, value in grown.items()}

    held = dict(now.filter(strategy="risk parity").select("symbol", "previous_weight").iter_rows())
    assert before["previous_weight"].null_count() == before.height
    assert held == pytest.approx(expected, abs=1e-6)


def test_a_symbol_that_cannot_be_held_is_named_with_the_reason(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    day = DAYS[-1]
    prices = {name: series[-1] for name, series in closes().items()}
    publish_prices(market, run, tmp_path, day, {**prices, "NEW": 10.0})
    four = dict.fromkeys((*SYMBOLS, "GONE", "NEW"), 0.25)
    publish_scores(market, run, tmp_path, VOLATILITY, day, four)
    publish_scores(market, run, tmp_path, RETURNS, day, dict.fromkeys((*SYMBOLS[:3], "GONE", "NEW"), 0.001))

    made = publish.make(market, postgres, day, SETTINGS, run)

    assert made["excluded"] == {
        "DDD": "no prediction of its return",
        "GONE": f"no price on {day}",
        "NEW": "0 past returns, fewer than the 60 that are needed",
    }
    page = page_of(market, day, tmp_path)
    assert all(symbol in page for symbol in made["excluded"])


def test_a_symbol_that_lost_its_prediction_is_sold(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    publish_scores(market, run, tmp_path, RETURNS, DAYS[-1], dict.fromkeys(SYMBOLS[:3], 0.001))
    make_all(market, postgres, run)

    sold = weights_of(market, DAYS[-1], tmp_path).filter(symbol="DDD")
    assert sold["weight"].to_list() == [0.0] * 4
    assert set(sold["note"]) == {"sold: no prediction of its return"}
    assert (sold["previous_weight"] > 0).all()


def test_a_symbol_that_is_gone_and_that_only_some_strategies_held_is_shown_as_sold(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    dropped, *others = SYMBOLS[::-1]
    publish_scores(market, run, tmp_path, RETURNS, DAYS[-2], {**dict.fromkeys(others, 0.004), dropped: -0.01})
    publish.make(market, postgres, DAYS[-2], SETTINGS, run)
    held = weights_of(market, DAYS[-2], tmp_path).filter(symbol=dropped)["weight"]
    assert (held == 0).any()
    assert (held > 0).any()
    prices = {name: series[-1] for name, series in closes().items() if name != dropped}
    publish_prices(market, run, tmp_path, DAYS[-1], prices)

    publish.make(market, postgres, DAYS[-1], SETTINGS, run)

    html = page_of(market, DAYS[-1], tmp_path)
    [held_now, traded] = re.findall(
        rf"<tr>\s*<t[hd][^>]*><span>{dropped}</span></t[hd]>.*?</tr>", html, re.DOTALL
    )[:2]
    assert held_now.count("0.0\xa0%") == len(STRATEGIES)
    assert "+0.0\xa0%" in traded


def test_too_few_symbols_for_the_cap_are_an_error_that_says_so(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    publish_scores(market, run, tmp_path, RETURNS, DAYS[-1], dict.fromkeys(SYMBOLS[:2], 0.001))

    with pytest.raises(PortfolioError, match=r"2 symbols of at most 0.35 each make up no more than 0.7"):
        publish.make(market, postgres, DAYS[-1], SETTINGS, run)


def test_a_model_that_expects_nothing_gives_minimum_variance_and_a_note(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    predict(market, run, tmp_path, DAYS[-2], returns=0.0)
    publish.make(market, postgres, DAYS[-2], SETTINGS, run)

    weights = weights_of(market, DAYS[-2], tmp_path)
    safest, best = (weights.filter(strategy=name) for name in ("minimum variance", "maximum Sharpe"))
    assert best["weight"].to_list() == safest["weight"].to_list()
    assert set(best["note"]) == {"No portfolio is expected to beat the risk-free rate: minimum variance instead."}
    assert "there is no trade-off" in page_of(market, DAYS[-2], tmp_path)


def test_a_suspected_split_is_no_return(market: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> None:
    """AAA opens at half its last close, and ends the day 1 % higher."""
    before, now = ({name: series[place] for name, series in closes().items()} for place in (-2, -1))
    opened = {**now, "AAA": before["AAA"] / 2}
    publish_prices(market, run, tmp_path, DAYS[-1], {**now, "AAA": 1.01 * opened["AAA"]}, opened)
    make_all(market, postgres, run)

    held = weights_of(market, DAYS[-2], tmp_path).filter(strategy="risk parity").sort("symbol")
    grown = [1.01, *(now[name] / before[name] for name in SYMBOLS[1:])]
    expected = np.array(grown) * held["weight"].to_numpy()
    drifted = weights_of(market, DAYS[-1], tmp_path).filter(strategy="risk parity").sort("symbol")
    assert drifted["previous_weight"].to_list() == pytest.approx(list(expected / expected.sum()), abs=1e-6)
    net = table_of(market, DAYS[-1], tmp_path, "backtest.parquet").filter(date=DAYS[-1])["net_return"]
    assert (net.abs() < 0.05).all()
    page = page_of(market, DAYS[-1], tmp_path)
    assert "Suspected splits" in page
    assert re.search(
        rf"<td[^>]*><span>AAA</span></td>\s*<td[^>]*><span><span[^>]*>{DAYS[-1]}</span></span></td>", page
    )


def test_a_split_without_prediction_is_named_as_the_likely_reason(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    before, now = ({name: series[place] for name, series in closes().items()} for place in (-2, -1))
    publish_prices(market, run, tmp_path, DAYS[-1], {**now, "AAA": before["AAA"] / 2})
    publish_scores(market, run, tmp_path, RETURNS, DAYS[-1], dict.fromkeys(SYMBOLS[1:], 0.001))

    made = publish.make(market, postgres, DAYS[-1], SETTINGS, run)

    assert made["excluded"] == {"AAA": f"no prediction of its return (suspected split on {DAYS[-1]})"}


def test_the_back_test_holds_what_could_be_held_then(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    """OLD was traded until the 70th session: bought at the 61st, and sold when next is traded, at the 82nd."""
    for day, close in zip(DAYS[:70], closes(("OLD",), 70)["OLD"], strict=True):
        prices = {name: series[DAYS.index(day)] for name, series in closes().items()}
        publish_prices(market, run, tmp_path, day, {**prices, "OLD": close})
    made = publish.make(market, postgres, DAYS[-1], SETTINGS, run)

    weights = table_of(market, DAYS[-1], tmp_path, "backtest_weights.parquet")
    old = weights.filter(symbol="OLD", strategy="equal weight")
    assert old.select("date", "weight").rows() == [(DAYS[60], 0.2), (DAYS[81], 0.0)]
    assert "OLD" not in weights_of(market, DAYS[-1], tmp_path)["symbol"]
    assert made["excluded"] == {"OLD": f"no price on {DAYS[-1]}"}


def test_a_session_without_trade_is_no_return(market: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> None:
    prices = {name: series[-10] for name, series in closes().items() if name != "DDD"}
    publish_prices(market, run, tmp_path, DAYS[-10], prices)

    made = publish.make(market, postgres, DAYS[-1], SETTINGS, run)
    assert made["excluded"] == {"DDD": "59 past returns, fewer than the 60 that are needed"}

    longer = SETTINGS.model_copy(update={"window_sessions": 80})
    assert publish.make(market, postgres, DAYS[-1], longer, run)["excluded"] == {}
    window = market.read_json(PORTFOLIO, DAYS[-1], "summary.json")["window"]
    assert window == {"first": str(DAYS[10]), "last": str(DAYS[-1]), "sessions": 79}


def test_symbols_that_share_too_few_sessions_are_not_held_together(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    """EEE has 61 of the 80 returns, and of those only 51 on sessions on which DDD has one, too."""
    series = closes((*SYMBOLS, "EEE"))
    for number, day in enumerate(DAYS[:40]):
        traded = {name: prices[number] for name, prices in series.items() if number >= 28 or name != "EEE"}
        publish_prices(market, run, tmp_path, day, traded)
    for number, day in enumerate(DAYS[40:], start=40):
        traded = {name: prices[number] for name, prices in series.items() if number >= 50 or name != "DDD"}
        publish_prices(market, run, tmp_path, day, traded)
    for prefix in (RETURNS, VOLATILITY):
        publish_scores(market, run, tmp_path, prefix, DAYS[-1], dict.fromkeys((*SYMBOLS, "EEE"), 0.1))

    made = publish.make(market, postgres, DAYS[-1], SETTINGS.model_copy(update={"window_sessions": 80}), run)

    reason = "with it, fewer than 60 sessions would have a return of every symbol"
    assert made["excluded"] == {"EEE": reason}
