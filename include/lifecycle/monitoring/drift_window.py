"""The rows that drift compares: drawn from days of features, each with the score it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from include.lifecycle.monitoring.drift_samples import draw, tidy
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Pinned

SCORE = "score"
YEAR = timedelta(weeks=52)
"""So long ago lie the same days of the week in the same season."""


@dataclass(frozen=True)
class Days:
    """Features and predictions of those days that have them."""

    features: Pinned
    predictions: Pinned

    @property
    def inputs(self) -> dict[str, str]:
        """As a manifest names them."""
        return {**self.features.inputs, **self.predictions.inputs}


def find(model: ModelSpec, lake: Lake, days: Sequence[date]) -> Days:
    """Those of `days`, which follow each other, that have features, and those that have predictions."""
    features, predictions = (
        lake.pin(prefix, sorted(set(days) & set(lake.days(prefix, days[0], days[-1]))) if days else ())
        for prefix in (model.dataset.features_prefix, model.predictions_prefix)
    )
    return Days(features, predictions)


def find_season(model: ModelSpec, lake: Lake, day: date) -> Days | None:
    """The weeks around the window that ends on `day`, a year before it; None where the policy asks for none.

    None also where these weeks have no features.
    """
    weeks = model.drift.seasonal_weeks
    if weeks is None:
        return None
    last = day - YEAR + timedelta(weeks=(weeks - 1) // 2)
    first = day - YEAR - timedelta(model.drift.window_days - 1) - timedelta(weeks=weeks // 2)
    season = find(model, lake, model.dataset.calendar.days(first, last))
    return season if season.features.days else None


@dataclass(frozen=True)
class Rows:
    """Drawn rows with their scores, and the days that have any."""

    frame: pl.DataFrame
    scored_days: tuple[date, ...] = ()


def read(model: ModelSpec, days: Days, scratch: Path, version: int | None) -> Rows:
    """Rows drawn from features, with the scores of a version; None: of whichever version scored the day."""
    on = [*model.dataset.key, "dt"]
    # Keys that are features too keep their type until the scores are joined.
    rows = sample(model, days.features.scan(scratch)).drop(SCORE, strict=False)
    unscored = rows.clear().lazy().select(*on, pl.lit(None, pl.Float64).alias(SCORE))
    scores = _read_scores(model, days, scratch, version)
    joined = rows.lazy().join(pl.concat([unscored, *scores.values()]), on=on, how="left", maintain_order="left")
    return Rows(tidied(model, joined), tuple(scores))


def sample(model: ModelSpec, frame: pl.LazyFrame) -> pl.DataFrame:
    """Rows drawn from a frame with the column `dt`, with the columns that are compared, and the key."""
    columns = dict.fromkeys((*model.dataset.key, "dt", *model.numeric, SCORE, *model.categorical))
    present, policy = frame.collect_schema(), model.drift
    known = frame.select(name for name in columns if name in present)
    return draw(known, model.dataset.key, policy.sample_rows, all_days=policy.all_days_of_a_key)


def tidied(model: ModelSpec, frame: pl.LazyFrame) -> pl.DataFrame:
    """The frame with its columns of the types that are compared."""
    return tidy(frame, (*model.numeric, SCORE), model.categorical).collect(engine="streaming")


def _read_scores(model: ModelSpec, days: Days, scratch: Path, version: int | None) -> dict[date, pl.LazyFrame]:
    """The scores by those days with features that have any, of one version or of all."""
    found = {}
    for day in sorted({*days.features.days} & {*days.predictions.days}):
        predictions = pl.scan_parquet(days.predictions.download(day, scratch, PARQUET))
        if version is not None:
            predictions = predictions.filter(pl.col("model_version") == version)
        scores = predictions.select(*model.dataset.key, pl.lit(day).alias("dt"), pl.col(SCORE).cast(pl.Float64))
        if scores.select(pl.col(SCORE).is_finite().any()).collect(engine="streaming").item():
            found[day] = scores
    return found
