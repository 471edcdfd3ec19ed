"""Queries of a real database as a source."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest

from include.lifecycle.specs import Extracted, Source, TableSpec
from include.sources import source_of

ORDERS = TableSpec(name="orders", columns={"order_id": pl.String}, key=("order_id",), rules=list)
STORES = ORDERS.model_copy(update={"name": "stores"})
DAY = date(2026, 3, 1)
QUERY = "select order_id, amount from orders where day = %(day)s order by order_id;"
DAYS = "select distinct day from orders where day < current_date"


def source(postgres: Any, **changed: Any) -> Source:
    settings = {"kind": "sql", "connection": "shop_db", "query": QUERY, "days": DAYS, **changed}
    return source_of(ORDERS)(settings, lambda _: postgres)


@pytest.fixture
def shop(postgres: Any) -> Any:
    with postgres, postgres.cursor() as cursor:
        cursor.execute("create table orders (order_id text, day date, amount text)")
        cursor.execute(
            "insert into orders values ('a1', '2026-03-01', '50%'), ('a2', '2026-03-01', e'two\\nlines'),"
            " ('b1', '2026-03-02', null), ('c1', '9999-12-31', '1')"
        )
    return postgres


def test_days_and_their_rows_are_what_the_queries_give(shop: Any, tmp_path: Path) -> None:
    origin = source(shop)

    assert origin.days() == [DAY, date(2026, 3, 2)]
    assert origin.extract("orders", DAY, tmp_path / "orders.csv") == Extracted(records=2)
    assert (tmp_path / "orders.csv").read_text() == 'order_id,amount\na1,50%\na2,"two\nlines"\n'


def test_a_table_without_a_query_is_not_there(shop: Any, tmp_path: Path) -> None:
    settings = {"kind": "sql", "connection": "shop_db", "query": {"orders": QUERY}, "days": DAYS}
    origin = source_of(ORDERS, STORES)(settings, lambda _: shop)

    assert origin.extract("stores", DAY, tmp_path / "stores.csv") is None
    assert origin.extract("orders", DAY, tmp_path / "orders.csv")


def test_a_query_changes_nothing(shop: Any, tmp_path: Path) -> None:
    deleting = "delete from orders where day = %(day)s returning order_id"

    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        source(shop, query=deleting).extract("orders", DAY, tmp_path / "orders.csv")


@pytest.mark.parametrize(
    "query",
    [
        QUERY + " commit; delete from orders",
        "select 1 from orders where day = %(day)s) to program 'true' --",
        "select e'\\') to program ''true'' --' from orders where day = %(day)s",
    ],
)
def test_a_query_that_could_leave_its_transaction_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"semicolon before its end|parentheses that do not match|has quotes"):
        source(None, query=query)
    with pytest.raises(ValueError, match=r"semicolon before its end|parentheses that do not match|has quotes"):
        source(None, days=query)


def test_the_query_for_the_days_runs_no_program(shop: Any) -> None:
    with pytest.raises(psycopg2.errors.SyntaxError):
        source(shop, days="copy (select 1) to program 'true'").days()


def test_a_query_may_end_in_a_comment(shop: Any, tmp_path: Path) -> None:
    origin = source(shop, query=f"{QUERY.removesuffix(';')} -- by id", days=f"{DAYS} -- until today")

    assert origin.days() == [DAY, date(2026, 3, 2)]
    assert origin.extract("orders", DAY, tmp_path / "orders.csv") == Extracted(records=2)


def test_what_is_no_day_is_named(shop: Any) -> None:
    with pytest.raises(ValueError, match="gives '2026-03-01', which is no date; cast it"):
        source(shop, days="select day::text from orders order by day").days()


@pytest.mark.parametrize("stray", ["20260-03-01", "0044-03-15 BC", "infinity", "-infinity"])
def test_a_date_that_no_calendar_has_is_named_and_stops_no_other_day(
    shop: Any, stray: str, caplog: pytest.LogCaptureFixture
) -> None:
    with shop, shop.cursor() as cursor:
        cursor.execute("insert into orders values ('d1', %s, '1')", [stray])

    assert source(shop, days="select day from orders where day <> '9999-12-31'").days() == [DAY, date(2026, 3, 2)]
    assert f"impossible dates, so ignored: {stray}." in caplog.text


def test_a_missing_day_is_refused(shop: Any) -> None:
    with pytest.raises(ValueError, match=r"gives None, which is no date; cast it .* and leave missing ones out"):
        source(shop, days="select nullif(day, '2026-03-01') from orders").days()


def test_numbers_have_all_their_digits_however_the_database_writes_them(
    postgres: Any, postgres_dsn: str, tmp_path: Path
) -> None:
    with postgres, postgres.cursor() as cursor:
        cursor.execute("create table sums (day date, x double precision)")
        cursor.execute("insert into sums values ('2026-03-01', 0.1::float8 + 0.2::float8)")
        cursor.execute(f"alter database {postgres.info.dbname} set extra_float_digits = 0")

    with closing(psycopg2.connect(postgres_dsn)) as connection:
        query = "select x from sums where day = %(day)s"
        source(connection, query=query).extract("orders", DAY, tmp_path / "orders.csv")

    assert (tmp_path / "orders.csv").read_text() == "x\n0.30000000000000004\n"


def test_a_query_and_its_rows_are_the_same_in_a_database_of_another_encoding(
    latin1_database: Any, tmp_path: Path
) -> None:
    with latin1_database, latin1_database.cursor() as cursor:
        cursor.execute("create table orders (day date, place text)")
        cursor.execute("insert into orders values ('2026-03-01', 'Z\u00fcrich'), ('2026-03-01', 'Bern')")

    query = "select place from orders where day = %(day)s and place = 'Z\u00fcrich'"
    source(latin1_database, query=query).extract("orders", DAY, tmp_path / "orders.csv")

    assert (tmp_path / "orders.csv").read_bytes() == "place\nZ\u00fcrich\n".encode()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("select * from orders", r"does not say where the day goes; write %\(day\)s there"),
        ("select * from orders where day = %(day)s and amount like '5%'", "write %% for one that stands"),
        ("select * from orders where day = %(date)s", "write %% for one that stands"),
        ({"shops": QUERY}, r"queries for \['shops'\], but the tables are \['orders'\]"),
    ],
)
def test_a_query_that_cannot_be_asked_for_a_day_is_refused(query: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        source(None, query=query)
