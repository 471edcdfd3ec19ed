"""The table of the market dataset: clean columns, key and limits. Its row rules are in `rules`."""

from __future__ import annotations

import polars as pl

from include.datasets.market.columns import PRICES
from include.lifecycle.deferred import Deferred
from include.lifecycle.specs import TableSpec

# A market of five symbols has a fifth of bad rows as soon as one of them is not traded on a day.
MAX_BAD_SHARE = 0.5

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
    rules=Deferred("include.datasets.market.rules:prices"),
    max_bad_share=MAX_BAD_SHARE,
    usual_rows=None,  # a day with only some of the symbols passes
)

TABLES = (PRICES_TABLE,)
