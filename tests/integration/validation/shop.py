"""A shop whose days are validated."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import DatasetSpec, TableSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.page_language import broken_promises, code_in, loose_percentages, split_cells

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
TABLES = ("orders", "visits", "refunds")
ORDERS = "order_id,amount\n" + "".join(f"o{number:02d},{number}\n" for number in range(1, 21))
VISITS = "visitor,pages\nv1,3\nv2,5\n"


def order_rules() -> list[Any]:
    import great_expectations.expectations as gxe

    meta = {"rule_id": "orders.amount.range", "why": "<b>Nothing</b> is that dear."}
    return [gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=100, meta=meta)]


SHOP = DatasetSpec(
    name="shop",
    title="The shop",
    description="Orders and visits of a shop.",
    key=("order_id",),
    timezone="UTC",
    schedule="@daily",
    tables=(
        TableSpec(
            name="orders",
            columns={"order_id": pl.String, "amount": pl.Float64},
            key=("order_id",),
            rules=order_rules,
            min_rows=2,
        ),
        TableSpec(name="visits", columns={"visitor": pl.String, "pages": pl.Int64}, key=("visitor",), rules=list),
        TableSpec(name="refunds", columns={"order_id": pl.String}, key=("order_id",), rules=list, optional=True),
    ),
    make_source=lambda settings, connect: pytest.fail("validation reads the lake only"),
    features=lambda day, tables: pytest.fail("validation makes no features"),
    history_days=dict.fromkeys(TABLES, 0),
)


def validate_day(lake: Lake, day: date, run: RunInfo) -> DayVerdict:
    [verdict] = validate(SHOP, lake, [day], run)
    return verdict


def page(lake: Lake, day: date) -> str:
    entry = lake.manifest(SHOP.validation_prefix, day).file("index.html")
    body = lake.read_object(f"{SHOP.validation_prefix}/dt={day}/{entry.name}")
    assert body is not None
    assert code_in(body.decode()) == []
    assert [*broken_promises(body.decode()), *split_cells(body.decode()), *loose_percentages(body.decode())] == []
    return body.decode()
