"""What people do with an expected volatility."""

from __future__ import annotations

import polars as pl

CALM, ROUGH = 0.8, 1.25


def decide(scores: pl.DataFrame) -> pl.DataFrame:
    """Add how the expected volatility compares with the last quarter's, and say so.

    `regime` is `calmer` below 0.8 times `volatility_63d`, `rougher` from 1.25 times on, else `usual`; `reason` is
    the sentence. `score_low` is at least 0, as a volatility is.
    """
    ratio = pl.col("score") / pl.col("volatility_63d")
    return scores.with_columns(
        pl.col("score_low").clip(lower_bound=0),
        regime=pl.when(ratio < CALM)
        .then(pl.lit("calmer"))
        .when(ratio >= ROUGH)
        .then(pl.lit("rougher"))
        .otherwise(pl.lit("usual")),
        reason=pl.format(
            "{} % a year expected over the next 21 sessions, {} % over the last 63.",
            (100 * pl.col("score")).round(1),
            (100 * pl.col("volatility_63d")).round(1),
        ),
    )
