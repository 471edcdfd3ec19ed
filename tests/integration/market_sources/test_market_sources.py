"""The market from each source to clean prices and features, on a real lake and a real database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.datasets.market import MARKET
from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.features import RETURNS
from include.datasets.market.sources import make_source
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features, features_to_build
from include.lifecycle.ingestion.planning import StaleSourceError, plan
from include.lifecycle.ingestion.quarantine import check_rows
from include.lifecycle.ingestion.raw_tables import read_raw
from include.lifecycle.ingestion.row_rules import make_rules
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.specs import Source
from include.lifecycle.storage.lake import Lake, RunInfo
from include.samples.market import correct
from tests.data_files import MADE_UP_PRICES, REAL_PRICES, where_present
from tests.integration.market_sources.sources import UNTIL, database, etl, execute

SYMBOLS = ("AAPL", "AMZN", "GOOGL", "MSFT", "TSLA")


@dataclass(frozen=True)
class Facts:
    """What is known of a folder of prices: its first and last day, the untraded rows by day, and a missing one."""

    first: date
    last: date
    untraded: Mapping[date, str]
    lacking: date


FACTS = {
    MADE_UP_PRICES: Facts(
        date(2016, 1, 4),
        date(2017, 12, 29),
        {date(2016, 1, 4): "TSLA", date(2016, 7, 22): "GOOGL"},
        date(2017, 2, 17),
    ),
    REAL_PRICES: Facts(
        date(2010, 6, 28),
        date(2017, 11, 10),
        {date(2010, 6, 28): "TSLA", date(2010, 7, 23): "GOOGL"},
        date(2011, 2, 17),
    ),
}
CLOSED = {
    # Good Friday.
    MADE_UP_PRICES: (date(2016, 3, 25), date(2016, 3, 28)),
    # Hurricane Gloria closed the exchange on that Friday; Apple's file has a row of it.
    REAL_PRICES: (date(1985, 9, 27), date(1985, 9, 30)),
}


def files(folder: Path, *symbols: str, **settings: Any) -> Source:
    made = {"kind": "files", "path": str(folder), "symbols": symbols, "max_lag_days": None, **settings}
    return make_source(made, lambda _: None)


@pytest.mark.parametrize("folder", where_present(MADE_UP_PRICES, REAL_PRICES))
def test_files_have_every_session_and_their_untraded_rows_go_to_quarantine(
    folder: Path, lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    facts, table = FACTS[folder], MARKET.table("prices")
    source = files(folder, *SYMBOLS, first_day=str(facts.first), last_day=str(facts.last))
    days = source.days()
    assert days == NEW_YORK.days(facts.first, facts.last)
    raw = []
    for day in days:
        source.extract("prices", day, tmp_path / "prices.csv")
        raw.append(read_raw(tmp_path / "prices.csv", table, day).frame)

    judged = check_rows(table, pl.concat(raw), make_rules(table.rules))

    friday, monday = CLOSED[folder]
    misplaced = [monday] if facts.first <= friday <= facts.last else []
    expected = {(day, "prices.volume.traded") for day in facts.untraded}
    expected |= {(day, "prices.date.day_of_partition") for day in misplaced}
    assert set(judged.broken.select("dt", "rule").rows()) == expected
    untraded = judged.quarantined.filter(~pl.col("dt").is_in(misplaced))
    assert untraded["symbol"].to_list() == list(facts.untraded.values())
    assert [frame["dt"][0] for frame in raw if frame.height < len(SYMBOLS)] == [facts.lacking]
    assert judged.good.height == len(SYMBOLS) * len(days) - len(facts.untraded) - 1
    verdicts = etl(lake, source, [*facts.untraded, facts.lacking], run)
    assert [(table.good, table.quarantined) for table in (verdict.tables["prices"] for verdict in verdicts)] == [
        (4, 1),
        (4, 1),
        (4, 0),
    ]
    assert all(verdict.accepted for verdict in verdicts)


@pytest.mark.parametrize("folder", where_present(MADE_UP_PRICES, REAL_PRICES))
def test_a_row_of_a_day_on_which_the_exchange_was_closed_goes_to_quarantine(
    folder: Path, lake: Lake, run: RunInfo
) -> None:
    friday, monday = CLOSED[folder]
    period = {"first_day": str(friday - timedelta(days=20)), "last_day": str(friday + timedelta(days=20))}
    source = files(folder, "AAPL", **period)
    assert friday not in source.days()

    (verdict,) = etl(lake, source, [monday], run)

    assert verdict.tables["prices"].rules == {"prices.date.day_of_partition": 1}
    assert (verdict.tables["prices"].good, verdict.accepted) == (1, True)


GOOD = "10,12,9,11,100,0"
BROKEN = {
    "AA": ("ten,12,9,11,100,0", "prices.type.open"),
    "BB": ("0,12,9,11,100,0", "prices.open.positive"),
    "CC": ("10,10.5,9,11,100,0", "prices.high.highest"),
    "DD": ("10,12,10.5,11,100,0", "prices.low.lowest"),
    "EE": ("10,12,9,,100,0", "prices.close.present"),
    "FF": ("10,12,9,11,0,0", "prices.volume.traded"),
    "GG": (f"{GOOD}\n2017-07-03,10,12,9,10,100,0", "prices.symbol+date.unique"),
    "HH": (f"{GOOD}\n2017-07-02,{GOOD}", "prices.date.day_of_partition"),
    "II": (f"{GOOD}\n2017-07-03,{GOOD}", "prices.symbol+date.copy"),
}


def test_each_broken_row_of_a_day_meets_its_rule_and_the_others_become_clean(
    lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    day, good = date(2017, 7, 3), [f"GOOD{number:02}" for number in range(12)]
    for symbol, row in {
        **{symbol: row for symbol, (row, *_) in BROKEN.items()},
        **dict.fromkeys(good, GOOD),
    }.items():
        header = "Date,Open,High,Low,Close,Volume,OpenInt"
        (tmp_path / f"{symbol.lower()}.us.txt").write_text(f"{header}\n2017-06-30,{GOOD}\n2017-07-03,{row}\n")

    (verdict,) = etl(lake, files(tmp_path, *BROKEN, *good), [day], run)

    assert verdict.accepted, verdict.problems
    quarantined = lake.scan(MARKET.quarantine("prices"), [day], tmp_path).collect()
    broken = {
        symbol: set(rules.split(";")) for symbol, rules in quarantined.select("symbol", "broken_rules").rows()
    }
    assert broken == {symbol: set(rules) for symbol, (_, *rules) in BROKEN.items()}
    clean = lake.scan(MARKET.clean("prices"), [day], tmp_path).collect()
    assert clean["symbol"].to_list() == sorted([*good, "HH", "II"])
    assert dict(clean.drop("dt").schema) == MARKET.table("prices").columns
    assert verdict.tables["prices"].rows == 24 == clean.height + quarantined.height


def test_a_session_that_all_symbols_lack_is_rejected(lake: Lake, run: RunInfo, market: Any) -> None:
    newest = NEW_YORK.days(date(2026, 6, 1), UNTIL)
    execute(market, "delete from market.prices where date = %s", newest[-2])
    assert newest[-2] in database(market).days()

    (verdict,) = etl(lake, database(market), [newest[-2]], run)

    assert verdict.problems == ("prices has 0 rows, and the minimum is 1.",)


def test_a_lost_column_is_missing_in_the_file_and_the_day_is_rejected(
    lake: Lake, run: RunInfo, market: Any
) -> None:
    execute(market, "alter table market.prices drop column close")

    (verdict,) = etl(lake, database(market), [UNTIL], run)

    assert "prices lacks the column close" in verdict.problems[0]


def test_the_sample_market_goes_through_and_a_late_correction_renews_the_features(
    lake: Lake, market: Any, tmp_path: Path
) -> None:
    first = RunInfo("first", datetime(2026, 7, 1, tzinfo=UTC), "test")
    days = plan(MARKET, lake, database(market), None, until=UNTIL)
    assert days == NEW_YORK.days(NEW_YORK.later(UNTIL, -79), UNTIL)
    verdicts = etl(lake, database(market), days, first)
    assert all(verdict.accepted for verdict in verdicts)
    rows = {day: lake.manifest(MARKET.features_prefix, day).rows for day in days}
    assert list(rows.values()) == [0] * RETURNS + [5] * (80 - RETURNS)
    assert plan(MARKET, lake, database(market), None, until=UNTIL) == days[-5:]

    before = lake.scan(MARKET.features_prefix, [days[-1]], tmp_path / "before").collect()
    correct(market, "AAPL", days[-10], 1.1)
    again = RunInfo("again", datetime(2026, 7, 2, tzinfo=UTC), "test")
    extract(MARKET, lake, database(market), [days[-10]], again)
    validate(MARKET, lake, [days[-10]], again)

    assert set(features_to_build(MARKET, lake, [], days[-1]).changed) == set(days[-10:])
    build_features(MARKET, lake, days[-10:], again)
    after = lake.scan(MARKET.features_prefix, [days[-1]], tmp_path / "after").collect()
    changed = [name for name in before.columns if not before[name].equals(after[name])]
    assert "volatility_21d" in changed
    assert "volatility_5d" not in changed


def test_silence_for_longer_than_a_long_weekend_is_an_error(lake: Lake, run: RunInfo, market: Any) -> None:
    dataset, source = MARKET.model_copy(update={"revisit_days": 0}), database(market, first_day="2026-06-26")
    etl(lake, source, source.days(), run)
    assert plan(dataset, lake, source, None, until=date(2026, 7, 5)) == []

    with pytest.raises(StaleSourceError, match=r"it has 2026-06-26 to 2026-06-30"):
        plan(dataset, lake, source, None, until=date(2026, 7, 6))
