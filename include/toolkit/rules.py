"""Row rules that most tables have, as Great Expectations expectations.

A missing value passes a rule about values; where a value must be there, `present` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

RowRules = Callable[[str], list[Any]]
"""Makes expectations for the table of that name."""


def row_rules(table: str, *rules: RowRules) -> Callable[[], list[Any]]:
    """The `rules` of a `TableSpec` from rules of this module; they are made when they are asked for."""
    return lambda: [expectation for rule in rules for expectation in rule(table)]


def is_its_day(column: str, *, has_time: bool = False) -> RowRules:
    """The date in a column is there, and is the day that the row was delivered for."""

    def made(table: str) -> list[Any]:
        from include.lifecycle.ingestion.row_predicates import ExpectRowsToSatisfy

        return [
            ExpectRowsToSatisfy(
                column_list=[column, "dt"],
                predicate=f"{column}{'.dt.date' if has_time else ''} == dt",
                ignore_row_if="never",
                meta=_meta(table, column, "is_the_day", "A row of another day would be counted on the wrong one."),
            )
        ]

    return made


def present(*columns: str, why: str) -> RowRules:
    """The columns have a value."""

    def made(table: str) -> list[Any]:
        from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
            ExpectColumnValuesToNotBeNull,
        )

        return [
            ExpectColumnValuesToNotBeNull(column=name, meta=_meta(table, name, "present", why)) for name in columns
        ]

    return made


def at_least(lowest: float, *columns: str, why: str) -> RowRules:
    """No number in the columns is below `lowest`."""

    def made(table: str) -> list[Any]:
        from great_expectations.expectations.core.expect_column_values_to_be_between import (
            ExpectColumnValuesToBeBetween,
        )

        return [
            ExpectColumnValuesToBeBetween(
                column=name, min_value=lowest, meta=_meta(table, name, f"at_least_{lowest:g}", why)
            )
            for name in columns
        ]

    return made


def one_of(column: str, values: Sequence[Any], *, why: str) -> RowRules:
    """The column has one of the values."""

    def made(table: str) -> list[Any]:
        from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
            ExpectColumnValuesToBeInSet,
        )

        return [
            ExpectColumnValuesToBeInSet(
                column=column, value_set=list(values), meta=_meta(table, column, "known", why)
            )
        ]

    return made


def _meta(table: str, column: str, what: str, why: str) -> dict[str, str]:
    return {"rule_id": f"{table}.{column}.{what}", "why": why}
