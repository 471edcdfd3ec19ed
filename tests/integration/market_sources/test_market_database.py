"""Prices from a database: days, the rows of each, and what is wrong with them; on a real one."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest

from include.datasets.market.calendar import NEW_YORK
from include.lifecycle.specs import Extracted, Source
from include.lifecycle.storage.lake import Lake, RunInfo
from include.samples.market import MarketSettings, ensure_market
from tests.integration.market_sources.sources import UNTIL, database, etl, execute

COLUMNS = "symbol, date, open, high, low, close, volume"


def extracted(source: Source, day: date, folder: Path) -> list[tuple[str | None, ...]]:
    file = folder / "prices.csv"
    given = source.extract("prices", day, file)
    rows = pl.read_csv(file, infer_schema=False).rows()
    assert given == Extracted(records=len(rows))
    return rows


def test_the_database_gives_a_days_rows_of_the_wanted_symbols_in_order(market: Any, tmp_path: Path) -> None:
    rows = extracted(database(market, "TSLA", "AAPL"), UNTIL, tmp_path)

    with market.cursor() as cursor:
        cursor.execute(
            f"select {COLUMNS} from market.prices where date = %s and symbol in ('AAPL', 'TSLA') order by symbol",
            (UNTIL,),
        )
        expected = [tuple(map(str, row)) for row in cursor.fetchall()]
    assert rows == expected
    assert len(rows) == 2


def test_the_days_of_the_database_are_those_of_its_symbols_within_the_period(market: Any) -> None:
    execute(market, "delete from market.prices where symbol = 'TSLA' and date > '2026-06-18'")
    sessions = NEW_YORK.days(NEW_YORK.later(UNTIL, -79), UNTIL)

    assert database(market).days() == sessions
    assert database(market, "TSLA").days()[-1] == date(2026, 6, 18)
    assert database(market, "NONE").days() == []
    bounded = database(market, first_day="2026-06-19", last_day="2026-06-23")
    assert bounded.days() == [date(2026, 6, 22), date(2026, 6, 23)]


def test_a_row_of_a_weekend_belongs_to_the_next_session_and_is_quarantined(
    lake: Lake, run: RunInfo, market: Any, tmp_path: Path
) -> None:
    saturday, monday = date(2026, 6, 27), date(2026, 6, 29)
    execute(market, f"insert into market.prices ({COLUMNS}) values ('AAPL', %s, 1, 1, 1, 1, 1)", saturday)
    assert saturday not in database(market).days()

    (verdict,) = etl(lake, database(market), [monday], run)

    assert verdict.tables["prices"].rules == {"prices.date.day_of_partition": 1}
    assert verdict.tables["prices"].good == 5
    assert len(extracted(database(market, first_day=str(monday)), monday, tmp_path)) == 5


def test_a_row_behind_the_last_session_is_quarantined_on_that_and_alone_it_is_a_fault(
    lake: Lake, run: RunInfo, market: Any
) -> None:
    saturday, friday = date(2026, 6, 27), date(2026, 6, 26)
    execute(market, f"insert into market.prices ({COLUMNS}) values ('AAPL', %s, 1, 1, 1, 1, 1)", saturday)

    source = database(market, last_day=str(saturday))
    (verdict,) = etl(lake, source, [friday], run)
    alone = database(market, first_day=str(saturday), last_day=str(saturday))

    assert source.days()[-1] == friday
    assert verdict.tables["prices"].rules["prices.date.day_of_partition"] == 1
    assert source.faults() == []
    assert alone.days() == []
    assert "market.prices of AAPL has 1 rows that are left out" in " ".join(alone.faults())


@pytest.mark.parametrize(
    "stray",
    [
        "0001-01-01",
        "1985-01-02",
        "2033-01-03",
        "9999-12-31",
        "10000-01-01",
        "0044-03-15 BC",
        "infinity",
        "-infinity",
    ],
)
def test_a_stray_row_stretches_nothing_and_is_quarantined_on_the_newest_day(
    lake: Lake, run: RunInfo, market: Any, stray: str
) -> None:
    days = database(market).days()
    execute(market, f"insert into market.prices ({COLUMNS}) values ('AAPL', %s, 1, 1, 1, 1, 1)", stray)
    source = database(market)
    assert source.days() == days

    before, newest = etl(lake, source, days[-2:], run)

    assert (before.tables["prices"].rows, newest.tables["prices"].rows) == (5, 6)
    assert newest.tables["prices"].quarantined == 1
    assert newest.accepted


def test_dates_that_python_cannot_read_are_left_out_by_name_where_there_are_many(market: Any) -> None:
    days = database(market).days()
    for stray in ("infinity", "-infinity", "10000-01-01"):
        execute(market, f"insert into market.prices ({COLUMNS}) values ('AAPL', %s, 1, 1, 1, 1, 1)", stray)
    source = database(market)

    assert source.days() == days
    assert source.faults() == [
        "market.prices of AAPL has 3 rows that are left out: their date cannot be right, e.g. infinity. "
        "Correct them, or set `first_day` and `last_day`."
    ]
    assert database(market, first_day=str(days[0]), last_day=str(days[-1])).faults() == []


@pytest.mark.parametrize("stray", ["infinity", "0044-03-15 BC", "1979-12-31", "2150-01-01"])
def test_rows_none_of_which_has_a_possible_date_are_a_fault(market: Any, stray: str) -> None:
    execute(market, "delete from market.prices")
    execute(market, f"insert into market.prices ({COLUMNS}) values ('AAPL', %s, 1, 1, 1, 1, 1)", stray)

    assert database(market).days() == []
    assert f"market.prices of AAPL has 1 rows that are left out: their date cannot be right, e.g. {stray}" in (
        " ".join(database(market).faults())
    )


def test_many_strays_of_a_symbol_are_left_out_by_name_and_its_other_rows_stay(market: Any, tmp_path: Path) -> None:
    days = database(market).days()
    for day in NEW_YORK.days(date(1985, 1, 2), date(1985, 1, 4)):
        execute(market, f"insert into market.prices ({COLUMNS}) values ('AAPL', %s, 1, 1, 1, 1, 1)", day)
    source = database(market)

    assert source.days() == days
    assert source.faults() == [
        "market.prices of AAPL has 3 rows that are left out: their date cannot be right, e.g. 1985-01-04. "
        "Correct them, or set `first_day` and `last_day`."
    ]
    assert len(extracted(source, days[-1], tmp_path)) == 5
    assert database(market, first_day=str(days[0])).faults() == []


def test_a_database_without_the_table_or_without_rows_has_no_days(postgres: Any, tmp_path: Path) -> None:
    assert database(postgres).days() == []
    assert database(postgres).faults() == []
    assert not database(postgres).extract("prices", UNTIL, tmp_path / "prices.csv")
    execute(postgres, "create schema market; create table market.prices (symbol text, date date)")
    assert database(postgres).days() == []


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "text"])
def test_dates_that_have_become_something_else_are_refused(market: Any, kind: str) -> None:
    execute(market, f"alter table market.prices alter column date type {kind} using date::{kind}")

    with pytest.raises(ValueError, match=r"has a column 'date' of the type .* give it the type date"):
        database(market, "AAPL").days()


def test_a_table_without_dates_is_refused(market: Any) -> None:
    execute(market, "alter table market.prices rename column date to day")

    with pytest.raises(ValueError, match=r"without the columns 'symbol' and 'date'; market.prices has \['close'"):
        database(market).days()


def test_a_day_costs_as_few_rows_whatever_the_history(postgres_dsn: str, tmp_path: Path) -> None:
    read = []
    for history in (100, 1500):
        connection = psycopg2.connect(postgres_dsn)
        execute(connection, "drop schema if exists market, sample_market cascade")
        ensure_market(connection, MarketSettings(history_days=history, halts=()), UNTIL)
        origin = database(connection)
        with connection, connection.cursor() as cursor:
            cursor.execute("select pg_stat_force_next_flush(); select pg_stat_reset()")
        origin.days()
        extracted(origin, UNTIL, tmp_path)
        with connection, connection.cursor() as cursor:
            cursor.execute("select pg_stat_force_next_flush()")
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables"
                " where schemaname = 'market'"
            )
            [rows_read] = cursor.fetchone() or ()
            read.append(rows_read)
        connection.close()

    # Of each of five symbols seven dates from both ends, which tell strays, and the newest day's rows.
    assert read[1] <= 5 * (7 + 7 + 5), read
