"""Rows for the behaviour tests of a model, and the tests that any model of a table's rows should pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from include.lifecycle.specs import AnyOrder, BehaviourTest, Extreme, Invariant

HUGE = 1e9
NEVER_SEEN = "never seen before"

Change = Callable[[pl.DataFrame], pl.DataFrame]


def sound_on_any_rows(numeric: Sequence[str], categorical: Sequence[str]) -> tuple[BehaviourTest, ...]:
    """Scores depend on a row's features alone, and are valid for missing, extreme and unknown values."""
    numbers, categories = (None, 0.0, -HUGE, HUGE), (None, NEVER_SEEN)
    return (
        AnyOrder(),
        Invariant(name="what the model does not read", after=exchanged_but(*numeric, *categorical)),
        Extreme(values=dict.fromkeys(numeric, numbers) | dict.fromkeys(categorical, categories)),
    )


def exchanged_but(*columns: str) -> Change:
    """Rows whose values are those of other rows, but for some columns."""
    return lambda sample: sample.with_columns(pl.all().exclude(columns).reverse())


def having(**values: Any) -> Change:
    """All rows, with these values in place of theirs."""
    return lambda sample: sample.with_columns(
        pl.lit(value, sample.schema[column]).alias(column) for column, value in values.items()
    )


def usual(**values: Any) -> Change:
    """One row: the median of each number, the most frequent text of each category, and these values instead.

    Of several texts that are as frequent, the first in the alphabet is taken.
    """

    def made(sample: pl.DataFrame) -> pl.DataFrame:
        texts = [name for name, dtype in sample.schema.items() if dtype == pl.String]
        row = sample.select(pl.col(pl.Float64).median(), pl.col(texts).mode().sort().first())
        return having(**values)(row)

    return made
