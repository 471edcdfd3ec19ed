"""The outcomes of one version's predictions, out of those of all."""

from __future__ import annotations

import polars as pl

from include.lifecycle.specs import ModelSpec


def newest_outcomes(model: ModelSpec, rows: pl.DataFrame, version: int) -> pl.DataFrame:
    """The outcomes of predictions of a version, of the newest days with as many rows as a part of a training has.

    `rows` are as `outcomes.parquet` of a performance report has them.
    """
    if "model_version" not in rows.columns:
        return rows.clear()
    rows = rows.filter(pl.col("model_version") == version).sort("dt", descending=True)
    return rows.filter(pl.col("dt").is_in(rows.head(model.split.max_rows)["dt"].unique().implode()))
