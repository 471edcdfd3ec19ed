"""Which rows are good and which go to quarantine: every row in one of them, each with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.ingestion.quarantine import check_rows
from include.lifecycle.ingestion.row_rules import make_rules
from include.lifecycle.specs import TableSpec
from tests.unit.lifecycle.ingestion.order_rows import (
    COLOURS,
    DAY,
    GOOD,
    HEADER,
    ORDERS,
    changed,
    checked,
    read,
    read_text,
    reasons,
)


def test_a_good_row_is_typed_and_stays() -> None:
    rows = checked([GOOD])

    assert rows.good.rows() == [(DAY, "o1", 5.0, "red", date(2026, 1, 1), date(2026, 1, 2))]
    assert rows.quarantined.is_empty()


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ({"amount": "many"}, "orders.type.amount"),
        ({"amount": "nan"}, "orders.type.amount"),
        ({"amount": "1e999"}, "orders.type.amount"),
        ({"ordered_on": "01/02/2026"}, "orders.type.ordered_on"),
        ({"sent_on": "2026-02-30"}, "orders.type.sent_on"),
        ({"amount": "x", "sent_on": "y"}, "orders.type.amount;orders.type.sent_on"),
        ({"amount": "101"}, "orders.amount.range"),
        ({"amount": " "}, "orders.amount.present"),
        ({"colour": "blue"}, "orders.colour.known"),
        ({"sent_on": "2025-12-31"}, "orders.sent_on.after_order"),
        ({"amount": "-1", "colour": " red"}, "orders.amount.range;orders.colour.known"),
        ({"order_id": " "}, "orders.order_id.present"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_rules_and_its_text(values: dict[str, str], rules: str) -> None:
    rows = checked([GOOD, changed(**{"order_id": "o2"} | values)])

    assert reasons(rows) == {2: rules}
    assert rows.quarantined.select(*values).row(0) == tuple(values.values())
    assert rows.good["order_id"].to_list() == ["o1"]


def test_blank_text_is_a_missing_value_that_the_rules_may_allow() -> None:
    rows = checked([changed(colour=" ", sent_on="")])

    assert rows.good.select("colour", "sent_on").row(0) == (None, None)


def test_lines_with_too_few_or_too_many_fields_are_kept_whole() -> None:
    rows = checked([GOOD[:3], changed(order_id="o2"), [*GOOD, "more"]])

    assert reasons(rows) == {1: "orders.schema.fields", 3: "orders.schema.fields"}
    assert rows.quarantined["raw_line"].to_list() == [",".join(GOOD[:3]), ",".join([*GOOD, "more"])]


def test_no_row_can_be_checked_where_a_column_is_missing() -> None:
    raw = read([GOOD[:4]], HEADER[:4])

    assert raw.missing == ("sent_on",)
    assert reasons(check_rows(ORDERS, raw.frame, make_rules(ORDERS.rules))) == {1: "orders.schema.columns"}


def test_an_unexpected_column_is_named_and_does_no_harm() -> None:
    raw = read([[*GOOD, "?"]], [*HEADER, "index"])

    rows = check_rows(ORDERS, raw.frame, make_rules(ORDERS.rules))

    assert raw.unexpected == ("index",)
    assert rows.good.columns == ["dt", *HEADER]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no header: the file is empty"),
        ("order_id,order_id\n1,2\n", "repeats the column order_id in its header"),
        ("order_id,dt\n1,2\n", "has the column dt in its header, which validation itself uses"),
    ],
)
def test_a_file_that_is_no_table_says_why(text: str, fault: str) -> None:
    raw = read_text(text)

    assert raw.fault is not None
    assert raw.fault.startswith(fault)
    assert raw.frame.is_empty()


def test_lines_are_numbered_in_long_files_too() -> None:
    lines = [changed(order_id=f"o{number}", colour="red" * 20) for number in range(1, 40_001)]
    lines[30_000] = ["broken"]

    raw = read(lines)

    assert raw.frame.filter(pl.col("raw_line").is_not_null())["raw_row"].to_list() == [30_002]
    assert raw.frame["raw_row"].to_list() == list(range(2, 40_002))


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        (pl.Int64, " 7 ", 7),
        (pl.Int64, "7.0", None),
        (pl.Int8, "300", None),
        (pl.Float64, "1e3", 1000.0),
        (pl.Boolean, "t", True),
        (pl.Boolean, "False", False),
        (pl.Boolean, "maybe", None),
        (pl.Datetime("us"), "2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5)),
        (pl.Datetime("us"), "2026-01-02", None),
        (pl.Datetime("us"), "2026-01-02 03:04:05+01:00", None),
        (pl.Datetime("us", "UTC"), "2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (pl.Datetime("us", "UTC"), "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (pl.Datetime("us", "UTC"), "2026-01-02 03:04:05+02", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        (pl.Datetime("us", "UTC"), "2026-01-02 03:04:05.5-05:30", datetime(2026, 1, 2, 8, 34, 5, 500_000, UTC)),
        (pl.Datetime("us", "UTC"), "9999-12-31 23:30:00-01", None),
        (pl.Datetime("us", "Europe/Berlin"), "2025-07-02 03:04:05", datetime(2025, 7, 2, 1, 4, 5, tzinfo=UTC)),
        (pl.Datetime("us", "Europe/Berlin"), "2025-07-02 03:04:05Z", datetime(2025, 7, 2, 3, 4, 5, tzinfo=UTC)),
        (pl.Datetime("us", "Europe/Berlin"), "2025-03-30 02:30:00", None),
        (pl.Datetime("us", "Europe/Berlin"), "2025-10-26 02:30:00", None),
        (pl.Decimal(10, 2), "12.30", Decimal("12.30")),
        (pl.Decimal(10, 2), "-.5", Decimal("-0.50")),
        (pl.Decimal(10, 2), "12.3400", Decimal("12.34")),
        (pl.Decimal(10, 2), "12.345", None),
        (pl.Decimal(10, 2), "12345e-3", None),
        (pl.Decimal(10, 0), "12.5", None),
    ],
)
def test_text_is_read_as_its_type_or_not_at_all(dtype: Any, text: str, value: Any) -> None:
    table = TableSpec(name="t", columns={"k": pl.String, "v": dtype}, key=("k",), rules=list)

    rows = check_rows(table, read([["1", text]], ["k", "v"], table).frame, {})

    if value is None:
        assert reasons(rows) == {1: "t.type.v"}
    else:
        assert rows.good["v"][0] == value


CELLS = {
    "order_id": [*(f"o{number}" for number in range(9)), "", " "],
    "amount": ["5", "50.5", "-1", "1e3", "", "many", "nan"],
    "colour": ["red", "green", "", "blue", 'say "red", please', "=1+1"],
    "ordered_on": ["2026-01-05", "", "2026-01-09", "soon"],
    "sent_on": ["2026-01-05", "2026-01-07", "", "2026-13-01"],
}
LINES = st.tuples(*(st.sampled_from(cells) for cells in CELLS.values()))
SOUND_LINES = st.tuples(
    *(st.sampled_from(cells[: 9 if name == "order_id" else 2]) for name, cells in CELLS.items())
)
BROKEN_LINES = st.lists(st.sampled_from(["a", "b"]), min_size=6, max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(SOUND_LINES, LINES, BROKEN_LINES), max_size=12))
def test_rows_in_are_good_and_quarantined_rows(lines: list[Sequence[str]]) -> None:
    rows = checked(lines)

    good = {number for number, line in enumerate(lines, 1) if is_good(number, lines)}
    assert set(reasons(rows)) == set(range(1, len(lines) + 1)) - good
    assert rows.good["order_id"].to_list() == sorted(lines[number - 1][0] for number in good)
    assert all(reasons(rows).values())
    for row in rows.quarantined.filter(pl.col("raw_line").is_null()).iter_rows(named=True):
        assert tuple(row[name] or "" for name in HEADER) == lines[row["raw_row"] - 2]


def is_good(number: int, lines: list[Sequence[str]]) -> bool:
    """The same verdict, worked out row by row in plain Python."""
    line = lines[number - 1]
    if len(line) != len(HEADER) or not line[0].strip():
        return False
    others = [other for other in lines if len(other) == len(HEADER) and other[0] == line[0]]
    first_of_copies = set(others) == {line} and lines.index(line) == number - 1
    _, amount, colour, ordered_on, sent_on = line
    sound = amount in ("5", "50.5") and ordered_on != "soon" and sent_on != "2026-13-01"
    return (
        first_of_copies
        and sound
        and colour in (*COLOURS, "")
        and not (ordered_on and sent_on and sent_on < ordered_on)
    )


@pytest.mark.parametrize(
    "text", ["+12345-01-01", "99999-01-01", "-0044-03-15", "0000-01-01", "infinity", "-infinity", "today"]
)
@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("us"), pl.Datetime("ns")])
def test_a_date_that_the_warehouse_cannot_take_is_quarantined(text: str, dtype: Any) -> None:
    table = TableSpec(name="t", columns={"k": pl.String, "v": dtype}, key=("k",), rules=list)
    if dtype != pl.Date:
        text += " 00:00:00"

    rows = check_rows(table, read([["1", text]], ["k", "v"], table).frame, {})

    assert reasons(rows) == {1: "t.type.v"}


def test_a_time_of_day_is_read_as_one() -> None:
    table = TableSpec(name="t", columns={"id": pl.String, "at": pl.Time}, key=("id",), rules=list)
    found = check_rows(table, read_text("id,at\na,09:30:00\nb,24:00:00\nc,\nd,09:30:00.5\n", table).frame, {})

    assert found.good["at"].to_list() == [time(9, 30), None, time(9, 30, 0, 500_000)]
    assert found.quarantined["broken_rules"].to_list() == ["t.type.at"]
