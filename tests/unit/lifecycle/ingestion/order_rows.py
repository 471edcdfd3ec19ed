"""Rows of orders, and the rules they must keep."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from include.lifecycle.ingestion.quarantine import CheckedRows, check_rows
from include.lifecycle.ingestion.raw_tables import RawTable, read_raw
from include.lifecycle.ingestion.row_rules import make_rules
from include.lifecycle.specs import TableSpec

DAY = date(2026, 3, 1)
COLOURS = ["red", "green"]


def order_rules() -> list[Any]:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="amount", min_value=0, max_value=100, meta={"rule_id": "orders.amount.range", "why": "Prices."}
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="amount", meta={"rule_id": "orders.amount.present", "why": "An order costs something."}
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="colour", value_set=COLOURS, meta={"rule_id": "orders.colour.known", "why": "We make two."}
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="sent_on",
            column_B="ordered_on",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            meta={"rule_id": "orders.sent_on.after_order", "why": "Nothing is sent before it is ordered."},
        ),
    ]


ORDERS = TableSpec(
    name="orders",
    columns={
        "order_id": pl.String,
        "amount": pl.Float64,
        "colour": pl.String,
        "ordered_on": pl.Date,
        "sent_on": pl.Date,
    },
    key=("order_id",),
    rules=order_rules,
)
HEADER = list(ORDERS.columns)
GOOD = ["o1", "5", "red", "2026-01-01", "2026-01-02"]


def read(lines: Sequence[Sequence[str]], header: Sequence[str] = HEADER, table: TableSpec = ORDERS) -> RawTable:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return read_text(text.getvalue(), table)


def read_text(text: str, table: TableSpec = ORDERS) -> RawTable:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text(text)
        return read_raw(path, table, DAY)


def checked(lines: Sequence[Sequence[str]], **changes: Any) -> CheckedRows:
    return check_rows(ORDERS, read(lines, **changes).frame, make_rules(ORDERS.rules))


def reasons(rows: CheckedRows) -> dict[int, str]:
    """Broken rules of the quarantined rows, by their number after the header."""
    return dict(rows.quarantined.select(pl.col("raw_row") - 1, "broken_rules").iter_rows())


def changed(**values: str) -> list[str]:
    return list((dict(zip(HEADER, GOOD, strict=True)) | values).values())
