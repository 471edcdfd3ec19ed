"""What of a key stays the same from day to day."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def lasting(key: Sequence[str], schema: pl.Schema) -> list[str]:
    """The key's columns that are no dates: by them the rows of different days belong together.

    There are none for a table with one row a day, whose key is its date.
    """
    return [name for name in key if not schema[name].is_temporal()]
