"""The two sides of a comparison: the champion's training, and rows drawn from a window of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

# One outlier in the reference stretches the scale until a shift of a whole standard deviation looks like nothing.
_CLIP_QUANTILES = (0.001, 0.999)


@dataclass(frozen=True)
class Samples:
    """Rows of both sides: numeric columns as float64 without infinities, the others as text."""

    reference: pl.DataFrame
    current: pl.DataFrame


def tidy(frame: pl.LazyFrame, numeric: Sequence[str], categorical: Sequence[str]) -> pl.LazyFrame:
    """The frame with `numeric` as finite float64 and `categorical` as text, null where that is not to be had."""
    present = frame.collect_schema()

    def column(name: str, dtype: type[pl.DataType]) -> pl.Expr:
        values = pl.col(name) if name in present else pl.lit(None)
        return values.cast(dtype, strict=False).alias(name)

    typed = frame.with_columns(
        *(column(name, pl.Float64) for name in numeric), *(column(name, pl.String) for name in categorical)
    )
    return typed.with_columns(pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in numeric)


def draw(frame: pl.LazyFrame, key: Sequence[str], rows: int, *, all_days: bool = False) -> pl.DataFrame:
    """At most `rows` rows of a frame with the column `dt`, chosen by the hash of the key: always the same ones.

    Unless `all_days`, a key comes from one day only, which its hash chooses too: a customer looks alike on all
    days of a week, so seven rows of one are hardly more evidence than one.
    """
    if all_days:
        ticket = pl.struct(*key, "dt").hash(seed=2)
        return frame.bottom_k(rows, by=[ticket, *key, "dt"]).sort(ticket, *key, "dt").collect()
    days = frame.select(pl.col("dt").unique().sort()).collect()["dt"]
    if days.is_empty():
        return frame.collect()
    place = pl.col("dt").replace_strict(days, range(len(days)), return_dtype=pl.UInt64)
    ticket = pl.struct(key).hash(seed=2)
    return (
        frame.filter(pl.struct(key).hash(seed=1) % len(days) == place)
        .bottom_k(rows, by=[ticket, *key])
        .sort(ticket, *key)
        .collect(engine="streaming")
    )


def clip(samples: Samples, numeric: Sequence[str]) -> Samples:
    """Both samples with their numeric columns cut off at the reference's 0.1 and 99.9 % quantiles.

    A column whose quantiles coincide stays as it is: cut to one value, no change of it could be seen.
    """
    bounds = {
        name: [samples.reference[name].quantile(quantile) for quantile in _CLIP_QUANTILES] for name in numeric
    }
    cut = [pl.col(name).clip(low, high) for name, (low, high) in bounds.items() if low != high]
    return Samples(samples.reference.with_columns(cut), samples.current.with_columns(cut))
