"""Ready-made row rules: each sets aside the rows that it is about, and says which rule and why."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from include.lifecycle.ingestion.row_rules import broken_rows, make_rules
from include.toolkit.rules import RowRules, at_least, is_its_day, one_of, present, row_rules

DAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("rule", "values", "rule_id"),
    [
        (is_its_day("value"), [DAY, date(2026, 3, 1), None], "is_the_day"),
        (is_its_day("value", has_time=True), [datetime(2026, 3, 2, 23), datetime(2026, 3, 1), None], "is_the_day"),
        (present("value", why="It is needed."), [1, None, None], "present"),
        (at_least(0, "value", why="It is a sum."), [0, -1, -0.5], "at_least_0"),
        (one_of("value", ["a", "b"], why="There are two."), ["a", "c", "A"], "known"),
    ],
)
def test_a_rule_sets_aside_the_rows_that_it_is_about(rule: RowRules, values: list[Any], rule_id: str) -> None:
    frame = pl.DataFrame({"value": values, "dt": [DAY] * 3}, strict=False)

    assert broken_rows(frame, make_rules(row_rules("shop", rule))) == {f"shop.value.{rule_id}": [1, 2]}


def test_a_missing_value_passes_a_rule_about_values() -> None:
    frame = pl.DataFrame({"number": [None], "text": [None]}, schema={"number": pl.Float64, "text": pl.String})
    rules = row_rules("shop", at_least(0, "number", why="A sum."), one_of("text", ["a"], why="One."))

    assert broken_rows(frame, make_rules(rules)) == {}


def test_a_rule_about_several_columns_names_the_one_that_breaks_it() -> None:
    frame = pl.DataFrame({"one": [1, -1], "two": [-1, 1]})

    rules = make_rules(row_rules("shop", at_least(0, "one", "two", why="Sums.")))

    assert broken_rows(frame, rules) == {"shop.one.at_least_0": [1], "shop.two.at_least_0": [0]}
    assert {rule.meta["why"] for rule in rules.values()} == {"Sums."}
