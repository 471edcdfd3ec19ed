"""Which days get a portfolio, and when it is made again; on a real lake."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.lifecycle import look_back
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, RunInfo
from include.portfolio import carried, planning, publish
from include.portfolio.inputs import PORTFOLIO, PRICES, REPORT, RETURNS
from include.portfolio.weights import PortfolioError
from tests.damage import delete
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
)

LATER = RunInfo("later_run", datetime(2026, 2, 3, tzinfo=UTC), "later code")


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
    monkeypatch.setattr(look_back, "LOOK_BACK", timedelta(days=3))
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


def build_of_the_dag(
    lake: Lake, connection: Any, run: RunInfo, monkeypatch: pytest.MonkeyPatch, day: str | None
) -> Callable[[str], Any]:
    """What the task `build` calls, in a run whose form names the day."""
    path = Path(__file__).parents[3] / "dags" / "portfolio.py"
    spec = importlib.util.spec_from_file_location("portfolio_dag", path)
    assert spec is not None
    assert spec.loader is not None
    dag_file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dag_file)
    form = {"day": day}
    context = {
        "params": form,
        "dag": SimpleNamespace(dag_id="portfolio", params=form),
        "dag_run": SimpleNamespace(run_type="manual", run_after=datetime(2024, 12, 1, tzinfo=UTC), conf=None),
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
