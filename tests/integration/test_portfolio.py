"""The portfolio on a real lake: which days, what is published, and the page."""

from __future__ import annotations

import importlib.util
import math
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.portfolio import carried, planning, publish
from include.portfolio.inputs import PORTFOLIO, PREDICTIONS, PRICES, REPORT, RETURNS, VOLATILITY
from include.portfolio.settings import PortfolioSettings
from include.portfolio.weights import STRATEGIES, PortfolioError
from tests.damage import delete
from tests.page_language import broken_promises, code_in, loose_percentages, split_cells

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
DAYS = [date(2024, 1, 1) + timedelta(days) for days in range(90)]
SETTINGS = PortfolioSettings(window_sessions=60, min_history=60, bootstrap_samples=200)
LATER = RunInfo("later_run", datetime(2026, 2, 3, tzinfo=UTC), "later code")


def closes(symbols: Sequence[str] = SYMBOLS, days: int = len(DAYS)) -> dict[str, list[float]]:
    rng = np.random.default_rng(7)
    drawn = rng.normal(0.0005, [0.01 + 0.004 * number for number in range(len(symbols))], (days, len(symbols)))
    return {symbol: (100 * np.exp(drawn[:, n].cumsum())).tolist() for n, symbol in enumerate(symbols)}


def publish_prices(
    lake: Lake,
    run: RunInfo,
    scratch: Path,
    day: date,
    prices: Mapping[str, float],
    opens: Mapping[str, float] | None = None,
) -> None:
    """Prices that stay all day what they are at the close, but for those of `opens`."""
    columns = {name: list(prices.values()) for name in ("high", "low", "close")}
    columns["open"] = list({**prices, **(opens or {})}.values())
    rows = {"symbol": list(prices), "date": [day] * len(prices), **columns, "volume": [1] * len(prices)}
    lake.publish_frame(PRICES, day, pl.DataFrame(rows), run=run, scratch=scratch)


def publish_scores(
    lake: Lake, run: RunInfo, scratch: Path, prefix: str, day: date, scores: Mapping[str, float]
) -> None:
    frame = pl.DataFrame(
        {"symbol": list(scores), "score": list(scores.values())}, schema_overrides={"score": float}
    )
    frame.write_parquet(scratch / PREDICTIONS)
    lake.publish(prefix, day, [LocalFile(scratch / PREDICTIONS, frame.height)], run=run, schema=dict(frame.schema))


def predict(lake: Lake, run: RunInfo, scratch: Path, day: date, returns: float = 0.002) -> None:
    numbered = list(enumerate(SYMBOLS))
    publish_scores(lake, run, scratch, RETURNS, day, {name: returns * (n + 1) for n, name in numbered})
    publish_scores(lake, run, scratch, VOLATILITY, day, {name: 0.2 + 0.05 * n for n, name in numbered})


@pytest.fixture
def market(lake: Lake, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with prices of all days, and predictions for the last two."""
    series = closes()
    for number, day in enumerate(DAYS):
        publish_prices(lake, run, tmp_path, day, {name: prices[number] for name, prices in series.items()})
    for day in DAYS[-2:]:
        predict(lake, run, tmp_path, day)
    return lake


def make_all(lake: Lake, connection: Any, run: RunInfo) -> list[date]:
    days = planning.plan(lake, None, SETTINGS)
    for day in days:
        publish.make(lake, connection, day, SETTINGS, run)
    return days


def table_of(lake: Lake, day: date, scratch: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(lake.download(PORTFOLIO, day, scratch, name))


def weights_of(lake: Lake, day: date, scratch: Path) -> pl.DataFrame:
    return table_of(lake, day, scratch, "weights.parquet")


def page_of(lake: Lake, day: date, scratch: Path) -> str:
    [path] = lake.download(REPORT, day, scratch, "index.html")
    html = path.read_text()
    assert code_in(html) == []
    assert [*broken_promises(html), *split_cells(html), *loose_percentages(html)] == []
    return html


def everything(lake: Lake) -> dict[str, bytes | None]:
    keys = [*lake.keys("portfolio/"), *lake.keys("reports/")]
    return {key: lake.read_object(key) for key in keys}


def test_each_day_with_both_predictions_gets_a_portfolio_once(market: Lake, postgres: Any, run: RunInfo) -> None:
    assert make_all(market, postgres, run) == DAYS[-2:]
    assert planning.plan(market, None, SETTINGS) == []
    newest = latest.find(market, PORTFOLIO)
    assert newest is not None
    assert newest.names(PORTFOLIO, DAYS[-1], market.manifest(PORTFOLIO, DAYS[-1]))
    assert newest.rows == 4 * len(SYMBOLS)


def test_publishing_twice_changes_no_byte(market: Lake, postgres: Any, run: RunInfo) -> None:
    make_all(market, postgres, run)
    before = everything(market)

    for day in DAYS[-2:]:
        publish.make(market, postgres, day, SETTINGS, LATER)

    assert everything(market) == before


def test_what_is_made_is_not_made_again(
    market: Lake, postgres: Any, run: RunInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [publish.make(market, postgres, day, SETTINGS, run) for day in DAYS[-2:]]
    monkeypatch.setattr(carried, "walk_forward", None)

    assert [publish.make(market, postgres, day, SETTINGS, run) for day in DAYS[-2:]] == made


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


def test_a_changed_input_makes_this_day_and_those_after_it_again(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    make_all(market, postgres, run)
    predict(market, run, tmp_path, DAYS[-2], returns=0.004)

    assert planning.plan(market, None, SETTINGS) == DAYS[-2:]
    make_all(market, postgres, run)
    assert planning.plan(market, None, SETTINGS) == []


def backtest_files(lake: Lake, day: date) -> dict[str, str]:
    """The hashes of the files of a portfolio that come from its back-test."""
    names = (carried.CARRIED, carried.RETURNS, carried.BACKTEST, carried.BACKTEST_WEIGHTS)
    return {name: lake.manifest(PORTFOLIO, day).file(name).sha256 for name in names}


def price_days(lake: Lake, day: date) -> list[str]:
    """The days of the prices that the portfolio of a day was made of."""
    return [path for path in lake.manifest(PORTFOLIO, day).inputs if path.startswith(PRICES)]


def test_a_day_reads_its_own_prices_only_and_has_the_back_test_of_all(
    market: Lake, postgres: Any, run: RunInfo
) -> None:
    make_all(market, postgres, run)
    assert price_days(market, DAYS[-1]) == [f"{PRICES}/dt={DAYS[-1]}"]
    by_day = backtest_files(market, DAYS[-1])

    for key in market.keys(f"{PORTFOLIO}/"):
        delete(market, key)
    publish.make(market, postgres, DAYS[-1], SETTINGS, run)

    assert len(price_days(market, DAYS[-1])) == len(DAYS)
    assert backtest_files(market, DAYS[-1]) == by_day


def test_a_corrected_price_makes_the_days_from_it_on_again_as_if_all_were_worked_out_anew(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    for day in DAYS[-6:]:
        predict(market, run, tmp_path, day)
    make_all(market, postgres, run)
    before = backtest_files(market, DAYS[-1])
    corrected = {name: 1.02 * series[-4] if name == "AAA" else series[-4] for name, series in closes().items()}
    publish_prices(market, run, tmp_path, DAYS[-4], corrected)

    assert make_all(market, postgres, run) == DAYS[-4:]

    by_day = backtest_files(market, DAYS[-1])
    assert by_day != before
    for key in market.keys(f"{PORTFOLIO}/"):
        delete(market, key)
    publish.make(market, postgres, DAYS[-1], SETTINGS, run)
    assert backtest_files(market, DAYS[-1]) == by_day


def test_older_prices_that_come_later_are_in_the_back_test_of_the_next_day(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    late = DAYS[:20]
    for day in late:
        delete(market, f"{PRICES}/dt={day}/manifest.json")
    publish.make(market, postgres, DAYS[-2], SETTINGS, run)
    for day, prices in zip(late, zip(*closes().values(), strict=True), strict=False):
        publish_prices(market, run, tmp_path, day, dict(zip(closes(), prices, strict=True)))

    publish.make(market, postgres, DAYS[-1], SETTINGS, run)

    assert len(price_days(market, DAYS[-1])) == len(DAYS)


def test_where_the_oldest_day_that_is_looked_at_is_not_done_all_of_the_history_is_looked_at(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "LOOK_BACK", timedelta(days=3))
    for day in DAYS[-8:]:
        predict(market, run, tmp_path, day)
    make_all(market, postgres, run)

    predict(market, run, tmp_path, DAYS[-7], returns=0.004)
    assert planning.plan(market, None, SETTINGS) == []
    for day in DAYS[-7:-2]:
        predict(market, run, tmp_path, day, returns=0.004)
    assert planning.plan(market, None, SETTINGS) == DAYS[-7:]


def test_a_portfolio_whose_page_is_missing_is_made_again(market: Lake, postgres: Any, run: RunInfo) -> None:
    make_all(market, postgres, run)
    market.client.delete_object(Bucket=market.bucket, Key=f"{REPORT}/dt={DAYS[-1]}/manifest.json")

    assert planning.plan(market, None, SETTINGS) == [DAYS[-1]]


def test_a_requested_range_is_made_whatever_there_is(market: Lake, postgres: Any, run: RunInfo) -> None:
    make_all(market, postgres, run)

    assert planning.plan(market, (DAYS[-1], DAYS[-1]), SETTINGS) == [DAYS[-1]]
    with pytest.raises(PortfolioError, match="No day from 2020-01-01 to 2020-01-02 has prices and predictions"):
        planning.plan(market, (date(2020, 1, 1), date(2020, 1, 2)), SETTINGS)


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


def test_a_day_without_a_portfolio_does_not_stop_the_later_ones(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = DAYS[-3]
    predict(market, run, tmp_path, refused)
    publish_scores(market, run, tmp_path, RETURNS, refused, dict.fromkeys(SYMBOLS[:2], 0.001))
    assert planning.plan(market, None, SETTINGS) == DAYS[-3:]

    told = [publish.make_or_refuse(market, postgres, day, SETTINGS, run) for day in DAYS[-3:]]

    assert planning.plan(market, None, SETTINGS) == []
    assert market.days(PORTFOLIO) == DAYS[-2:]
    assert told[0]["verdict"] == "There is no portfolio of this day"
    assert "2 symbols of at most 0.35" in told[0]["reason"]
    assert "CCC: no prediction of its return" in told[0]["reason"]
    assert told[0]["reason"] in caplog.text
    assert "2 symbols of at most 0.35" in page_of(market, refused, tmp_path)


def test_a_refused_day_is_tried_again_when_its_inputs_change(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    refused = DAYS[-3]
    predict(market, run, tmp_path, refused)
    publish_scores(market, run, tmp_path, RETURNS, refused, dict.fromkeys(SYMBOLS[:2], 0.001))
    for day in DAYS[-3:]:
        publish.make_or_refuse(market, postgres, day, SETTINGS, run)
    before = everything(market)
    publish.make_or_refuse(market, postgres, refused, SETTINGS, LATER)
    assert everything(market) == before

    predict(market, run, tmp_path, refused)

    assert planning.plan(market, None, SETTINGS) == DAYS[-3:]
    for day in DAYS[-3:]:
        publish.make_or_refuse(market, postgres, day, SETTINGS, run)
    assert planning.plan(market, None, SETTINGS) == []
    assert market.days(PORTFOLIO) == DAYS[-3:]
    assert "2 symbols of at most" not in page_of(market, refused, tmp_path)


@pytest.mark.parametrize("day", [None, str(DAYS[-1])])
def test_a_day_named_in_the_form_fails_aloud_and_another_is_refused(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: str | None
) -> None:
    publish_scores(market, run, tmp_path, RETURNS, DAYS[-1], dict.fromkeys(SYMBOLS[:2], 0.001))
    build = build_of_the_dag(market, postgres, run, monkeypatch, day)

    if day is None:
        assert "2 symbols of at most 0.35" in build(str(DAYS[-1]))["reason"]
    else:
        with pytest.raises(PortfolioError, match=r"2 symbols of at most 0.35"):
            build(day)


def test_a_portfolio_that_its_new_inputs_refuse_is_not_tried_again_and_again(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    make_all(market, postgres, run)
    publish_scores(market, run, tmp_path, RETURNS, DAYS[-1], dict.fromkeys(SYMBOLS[:2], 0.001))
    assert planning.plan(market, None, SETTINGS) == [DAYS[-1]]

    publish.make_or_refuse(market, postgres, DAYS[-1], SETTINGS, run)

    assert planning.plan(market, None, SETTINGS) == []
    assert "2 symbols of at most 0.35" in page_of(market, DAYS[-1], tmp_path)


def test_changed_settings_make_all_days_again(market: Lake, postgres: Any, run: RunInfo) -> None:
    make_all(market, postgres, run)
    costlier = SETTINGS.model_copy(update={"cost_basis_points": 20.0})

    for settings in (costlier, SETTINGS):
        assert planning.plan(market, None, settings) == DAYS[-2:]
        publish.make(market, postgres, DAYS[-1], settings, run)
        assert planning.plan(market, None, settings) == DAYS[-2:]
        publish.make(market, postgres, DAYS[-2], settings, run)
        publish.make(market, postgres, DAYS[-1], settings, run)
        assert planning.plan(market, None, settings) == []


def test_an_up_to_date_lake_is_planned_without_reading_a_manifest(
    market: Lake, postgres: Any, run: RunInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_all(market, postgres, run)
    time.sleep(2.1)  # What is written within a second or two of the settings is looked at closely.
    for day in DAYS[-2:]:
        for prefix in (PORTFOLIO, REPORT):
            manifest = market.manifest(prefix, day).model_dump_json()
            market.write_object(f"{prefix}/dt={day}/manifest.json", manifest.encode())
    monkeypatch.setattr(Lake, "manifest", None)

    assert planning.plan(market, None, SETTINGS) == []


def test_the_page_shows_figures_that_can_be_worked_out_by_hand_from_the_published_rows(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    make_all(market, postgres, run)
    shown = figures_on(page_of(market, DAYS[-1], tmp_path))
    rows = table_of(market, DAYS[-1], tmp_path, "backtest.parquet").sort("date")

    assert set(shown) == {"equal weight", "minimum variance", "maximum Sharpe", "risk parity"}
    for strategy, figures in shown.items():
        mine = rows.filter(strategy=strategy)
        net, traded = mine["net_return"].to_list(), mine["traded_value"].to_list()
        years = len(net) / 252
        values = [1.0]
        for change in net:
            values.append(values[-1] * (1 + change))
        falls = [value / max(values[: place + 1]) - 1 for place, value in enumerate(values)]
        assert figures == {
            "return": f"{100 * (values[-1] ** (1 / years) - 1):.1f} %",
            "volatility": f"{100 * statistics.pstdev(net) * math.sqrt(252):.1f} %",
            "Sharpe": f"{statistics.fmean(net) / statistics.pstdev(net) * math.sqrt(252):.2f}",
            "maximum drawdown": f"{100 * min(falls):.1f} %",
            "turnover": f"{100 * sum(traded[1:]) / 2 / years:.1f} %",
            "costs": f"{100 * 0.001 * sum(traded[1:]) / years:.3f} %",
        }


def test_the_page_has_the_verdict_as_its_headline(
    market: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    publish.make(market, postgres, DAYS[-1], SETTINGS, run)

    verdict = market.read_json(REPORT, DAYS[-1], "verdict.json")
    assert f"<h1>{verdict['headline']}</h1>" in page_of(market, DAYS[-1], tmp_path)


def build_of_the_dag(
    lake: Lake, connection: Any, run: RunInfo, monkeypatch: pytest.MonkeyPatch, day: str | None
) -> Callable[[str], Any]:
    """What the task `build` calls, in a run whose form names the day."""
    path = Path(__file__).parents[2] / "dags" / "portfolio.py"
    spec = importlib.util.spec_from_file_location("portfolio_dag", path)
    assert spec is not None
    assert spec.loader is not None
    dag_file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dag_file)
    context = {
        "params": {"day": day},
        "dag_run": SimpleNamespace(run_type="manual", run_after=datetime(2024, 12, 1, tzinfo=UTC)),
    }
    monkeypatch.setattr(dag_file, "get_current_context", lambda: context)
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", lambda _: nullcontext(connection))
    monkeypatch.setattr("ml_lifecycle.links.show_report", lambda *_: None)
    monkeypatch.setattr("ml_lifecycle.runs.label_days", lambda days: [date.fromisoformat(name) for name in days])
    monkeypatch.setattr("ml_lifecycle.runs.run_info", lambda: run)
    monkeypatch.setattr("include.portfolio.settings.PortfolioSettings", lambda: SETTINGS)
    build: Callable[[str], Any] = dag_file.portfolio().get_task("build").python_callable
    return build


def figures_on(page: str) -> dict[str, dict[str, str]]:
    """The table of the back-test as the page has it: by strategy, column to text."""
    section = page[page.index("<h2>Back-test in figures</h2>") :]
    table = section[: section.index("</table>")].replace("\xa0", " ")
    _, *names = re.findall(r"<th[^>]*>(.*?)</th>", table)
    cells = [re.findall(r"<td[^>]*><span>(.*?)</span></td>", row) for row in table.split("<tr>")[2:]]
    return {strategy: dict(zip(names, texts, strict=True)) for strategy, *texts in cells}
