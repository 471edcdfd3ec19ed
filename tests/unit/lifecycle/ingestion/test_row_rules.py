"""What may be written as a rule of rows."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest

from include.lifecycle.ingestion.quarantine import check_rows, rule_book
from include.lifecycle.ingestion.raw_tables import plain_rows
from include.lifecycle.ingestion.row_rules import RuleError, broken_rows, make_rules
from include.lifecycle.specs import TableSpec
from tests.unit.lifecycle.ingestion.order_rows import ORDERS


def test_rules_name_the_columns_they_look_at() -> None:
    book = rule_book(ORDERS, make_rules(ORDERS.rules))

    assert book["orders.sent_on.after_order"].columns == ("sent_on", "ordered_on")
    assert book["orders.type.amount"].why == "The text in amount does not read as a number."


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("ExpectColumnValuesToNotBeNull", {"column": "a"}, "give it a `rule_id` and a `why`"),
        ("ExpectColumnMeanToBeBetween", {"column": "a", "min_value": 0, "meta": True}, "checks no single rows"),
        ("ExpectColumnValuesToNotBeNull", {"column": "a", "mostly": 0.9, "meta": True}, "mostly=0.9"),
    ],
)
def test_a_rule_written_wrongly_is_refused(kind: str, arguments: dict[str, Any], message: str) -> None:
    import great_expectations.expectations as gxe

    meta = {"rule_id": "r", "why": "w"} if arguments.pop("meta", False) else None
    rule = getattr(gxe, kind)(**arguments, meta=meta)

    with pytest.raises(RuleError, match=message):
        make_rules(lambda: [rule])


def test_a_rule_that_cannot_be_computed_is_an_error_not_a_bad_row() -> None:
    import great_expectations.expectations as gxe

    rule = gxe.ExpectColumnValuesToNotBeNull(column="nowhere", meta={"rule_id": "r", "why": "w"})

    with pytest.raises(RuleError, match=r"'r' cannot be computed.*nowhere"):
        broken_rows(pl.DataFrame({"a": [1]}), make_rules(lambda: [rule]))


def test_two_rules_of_one_name_are_refused() -> None:
    import great_expectations.expectations as gxe

    meta = {"rule_id": "r", "why": "w"}
    with pytest.raises(RuleError, match="Two rules are called 'r'"):
        make_rules(lambda: [gxe.ExpectColumnValuesToNotBeNull(column=name, meta=meta) for name in "ab"])


PLAIN_VALUES = [
    (pl.String, "1"),
    (pl.Int8, 1),
    (pl.Float32, 1.0),
    (pl.Decimal(2, 2), 0),
    (pl.Boolean, True),
    (pl.Date, date(2000, 1, 1)),
    (pl.Datetime("ms"), datetime(2000, 1, 1)),
    (pl.Time, time(0)),
    (pl.Duration("us"), timedelta(microseconds=1)),
    (pl.Enum(["low", "high"]), "low"),
    (pl.Categorical, "1"),
]


@pytest.mark.parametrize(("dtype", "value"), PLAIN_VALUES, ids=lambda value: str(value))
def test_a_plain_row_has_a_value_of_each_type_so_a_wrong_rule_is_wrong_on_it(dtype: Any, value: Any) -> None:
    import great_expectations.expectations as gxe

    table = TableSpec(name="t", columns={"id": pl.String, "x": dtype}, key=("id",), rules=list)
    wrong = gxe.ExpectColumnValuesToNotBeNull(column="none", meta={"rule_id": "t.none", "why": "No such column."})

    assert check_rows(table, plain_rows(table), {}).good["x"].to_list() == [value]
    with pytest.raises(RuleError, match=r"t\.none"):
        check_rows(table, plain_rows(table), make_rules(lambda: [wrong]))
