"""What a row of the market dataset must be, as Great Expectations expectations.

The engine itself sees to types and keys. A missing value passes a rule about values; a rule of its own says that
it must be there. Each rule's `meta` holds its `rule_id`, by which quarantined rows name it, and `why` it exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_match_regex import (
    ExpectColumnValuesToMatchRegex,
)
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

from include.datasets.market.columns import PRICES, SYMBOL_PATTERN
from include.lifecycle.ingestion.row_predicates import ExpectRowsToSatisfy


def prices() -> list[Any]:
    """Rules of a symbol's prices on a day."""
    return [
        ExpectColumnValuesToMatchRegex(
            column="symbol",
            regex=SYMBOL_PATTERN,
            meta=_meta(
                "prices.symbol.format",
                "A symbol is up to 15 capital letters, digits, dots and dashes: it names models and files.",
            ),
        ),
        _satisfies(
            "prices.date.day_of_partition",
            ["date", "dt"],
            "date == dt",
            "A row of another day, most likely one without a session, would be counted on the wrong one.",
        ),
        *(_present(name, "A day's trading has four prices.") for name in PRICES),
        *(_positive(f"prices.{name}.positive", name, "Returns are ratios of prices above 0.") for name in PRICES),
        _satisfies(
            "prices.low.lowest",
            ["open", "low", "close"],
            "(open <= 0 or low <= open) and (close <= 0 or low <= close)",
            "No trade of the day is cheaper than its low.",
        ),
        _satisfies(
            "prices.high.highest",
            ["open", "high", "close"],
            "high <= 0 or (high >= open and high >= close)",
            "No trade of the day is more expensive than its high.",
        ),
        _present("volume", "Without it nobody can say whether there was a trade."),
        _positive("prices.volume.traded", "volume", "Without a trade the prices are those of an earlier day."),
    ]


def _meta(rule_id: str, why: str) -> dict[str, str]:
    return {"rule_id": rule_id, "why": why}


def _present(column: str, why: str) -> Any:
    return ExpectColumnValuesToNotBeNull(column=column, meta=_meta(f"prices.{column}.present", why))


def _positive(rule_id: str, column: str, why: str) -> Any:
    return ExpectColumnValuesToBeBetween(column=column, min_value=0, strict_min=True, meta=_meta(rule_id, why))


def _satisfies(rule_id: str, columns: Sequence[str], predicate: str, why: str) -> Any:
    return ExpectRowsToSatisfy(
        column_list=list(columns),
        predicate=predicate,
        ignore_row_if="any_value_is_missing",
        meta=_meta(rule_id, why),
    )
