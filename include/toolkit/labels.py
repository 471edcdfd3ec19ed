"""What can be predicted of a table's rows, as the `label` of a model.

They count all days, so a dataset with a calendar of fewer is refused. A label of another kind is a `LabelSpec`
with a `make` of one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

import polars as pl

from include.lifecycle.specs import LabelSpec
from include.toolkit.keys import lasting

_VANISHED = timedelta(days=7)
"""A key without a row for so long has vanished; one that is closed on Sundays has not."""


def value_after(table: str, key: Sequence[str], column: str, *, days: int) -> LabelSpec:
    """The column's value so many days later; keys without one are left out."""
    make = partial(_value_after, key=key, column=column, days=days)
    target = (days, days)
    return LabelSpec(
        make=make, table=table, horizon_days=days, delay_days=0, target_days=target, counts_all_days=True
    )


def happens_within(table: str, key: Sequence[str], event: pl.Expr, *, days: int) -> LabelSpec:
    """1 if `event` is true of a row of the key on any of so many days after the day, else 0.

    Keys of which it is true on the day itself are left out. So are those that vanish before it is true, which have
    no row in the last week of those days that the table has: what happened to them later is not known.
    """
    make = partial(_happens_within, key=key, event=event, days=days)
    return LabelSpec(make=make, table=table, horizon_days=days, delay_days=0, counts_all_days=True)


def value_of_row(table: str, key: Sequence[str], value: pl.Expr) -> LabelSpec:
    """The row's own value, known a day later, true as 1 and false as 0; rows without one are left out."""
    make = partial(_value_of_row, key=key, value=value)
    return LabelSpec(make=make, table=table, horizon_days=1, delay_days=0, target_days=(0, 0))


def _value_after(
    day: date, features: pl.DataFrame, rows: pl.LazyFrame, *, key: Sequence[str], column: str, days: int
) -> pl.DataFrame:
    by = lasting(key, features.schema)
    after = rows.filter(pl.col("dt") == day + timedelta(days=days), pl.col(column).is_not_null())
    labels = after.select(*by, label=pl.col(column).cast(pl.Float64)).collect()
    return _joined(features.select(key), labels, by).sort(key)


def _happens_within(
    day: date, features: pl.DataFrame, rows: pl.LazyFrame, *, key: Sequence[str], event: pl.Expr, days: int
) -> pl.DataFrame:
    by = lasting(key, features.schema)
    after = rows.filter(pl.col("dt") > day, pl.col("dt") <= day + timedelta(days=days))
    seen = {"label": event.any().cast(pl.Int8), "last": pl.col("dt").max()}
    found = after.group_by(by).agg(**seen) if by else after.select(**seen)
    is_known = (pl.col("label") == 1) | (pl.col("last") > pl.col("last").max() - _VANISHED)
    labels = found.filter(is_known).drop("last").collect()
    already = rows.filter(pl.col("dt") == day, event).select(key).collect()
    return _joined(features.select(key).join(already, on=key, how="anti"), labels, by).sort(key)


def _value_of_row(
    day: date, features: pl.DataFrame, rows: pl.LazyFrame, *, key: Sequence[str], value: pl.Expr
) -> pl.DataFrame:
    labels = rows.filter(pl.col("dt") == day).select(*key, label=value).drop_nulls("label").collect()
    dtype = pl.Int8 if labels.schema["label"] == pl.Boolean else pl.Float64
    labels = labels.with_columns(pl.col("label").cast(dtype))
    return features.select(key).join(labels, on=key).sort(key)


def _joined(keys: pl.DataFrame, labels: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    return keys.join(labels, on=by) if by else keys.join(labels, how="cross")
