"""The table of the market dataset: clean columns, key and limits. Its row rules are in `rules`."""

from __future__ import annotations

from typing import Any

import polars as pl

from include.datasets.market.columns import PRICES
from include.lifecycle.specs import TableSpec

# A market of five symbols has a fifth of bad rows as soon as one of them is not traded on a day.
MAX_BAD_SHARE = 0.5


def _prices_rules() -> list[Any]:
    # DAG files import this module, and Great Expectations takes seconds to import.
    from include.datasets.market import rules

    return rules.prices()


PRICES_TABLE = TableSpec(
    name="prices",
    columns={
        "symbol": pl.String,
        "date": pl.Date,
        **dict.fromkeys(PRICES, pl.Float64),
        "volume": pl.Float64,  # shares; adjusted for splits they need not be whole
    },
    # A stray row of another date breaks its own rule, and does not contradict the symbol's row of the day.
    key=("symbol", "date"),
    rules=_prices_rules,
    max_bad_share=MAX_BAD_SHARE,
    usual_rows=None,  # a day with only some of the symbols passes
)

TABLES = (PRICES_TABLE,)
