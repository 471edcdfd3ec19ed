"""Which keys a table takes."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from include.lifecycle.ingestion.quarantine import check_rows
from include.lifecycle.ingestion.row_rules import make_rules
from include.lifecycle.specs import TableSpec
from tests.unit.lifecycle.ingestion.order_rows import GOOD, ORDERS, changed, checked, read, reasons


def test_of_exact_copies_the_first_stays() -> None:
    rows = checked([changed(order_id="o2"), GOOD, changed(order_id="o2"), changed(order_id="o2")])

    assert reasons(rows) == {3: "orders.order_id.copy", 4: "orders.order_id.copy"}
    assert rows.good["order_id"].to_list() == ["o1", "o2"]


def test_rows_that_contradict_each_other_all_go() -> None:
    rows = checked([GOOD, changed(order_id="o2"), changed(amount="6"), GOOD])

    assert reasons(rows) == dict.fromkeys([1, 3, 4], "orders.order_id.unique")


def test_a_key_may_come_again_on_another_day() -> None:
    first, second = (read([GOOD]).frame.with_columns(dt=pl.lit(date(2026, 3, day))) for day in (1, 2))

    rows = check_rows(ORDERS, pl.concat([first, second]), make_rules(ORDERS.rules))

    assert rows.good.height == 2


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        (" o2", "form"),
        ("o2\t", "form"),
        ("o\u00a02", "form"),
        ("o2\u200b", "form"),
        ("\ufeffo2", "form"),
        ("o\u00ad2", "form"),
        ("o2\x07", "form"),
        ("o\u31642", "form"),
        ("o2\ufe0f", "form"),
        ("o\ufffd2", "form"),
        ("cafe\u0301", "form"),
        ("o 2", None),
        ("caf\u00e9", None),
        ("\u5ba2-2", None),
        ("o" * 1001, "length"),
        ("\u5ba2" * 334, "length"),
        ("o" * 1000, None),
    ],
)
def test_a_key_that_looks_like_another_or_fits_no_index_is_quarantined(key: str, rule: str | None) -> None:
    rows = checked([GOOD, changed(order_id=key)])

    assert reasons(rows) == ({2: f"orders.order_id.{rule}"} if rule else {})


@pytest.mark.parametrize(
    ("one", "other"),
    [("o2", "O2"), ("stra\u00dfe", "STRASSE"), ("\uff4f2", "o2"), ("\u2460", "1"), ("\ufb01x", "FIX")],
)
def test_keys_that_differ_by_case_or_unicode_form_alone_all_go(one: str, other: str) -> None:
    rows = checked([GOOD, changed(order_id=one), changed(order_id=other), changed(order_id="o3")])

    assert reasons(rows) == dict.fromkeys([2, 3], "orders.order_id.alike")


def test_a_key_of_several_columns_is_alike_only_as_a_whole() -> None:
    table = TableSpec(name="t", columns={"k": pl.String, "on": pl.Date}, key=("k", "on"), rules=list)
    lines = [["a", "2026-01-01"], ["A", "2026-01-02"], ["b", "2026-01-01"], ["B", "2026-01-01"]]

    rows = check_rows(table, read(lines, ["k", "on"], table).frame, {})

    assert reasons(rows) == dict.fromkeys([3, 4], "t.k+on.alike")
