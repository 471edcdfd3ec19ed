"""The rows that a training learns from: features and matured labels of the snapshot days."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from include.lifecycle.lake import Lake
from include.lifecycle.snapshots import NothingToLearnError, Part, matured_days, missing_outcomes, spaced_days
from include.lifecycle.specs import ModelSpec


def snapshot_days(model: ModelSpec, lake: Lake, as_of: date) -> list[date]:
    """The days to learn from as of `as_of`, oldest first.

    Days whose labels depend on outcomes that never arrived are left out: who is not known to have left would pass
    for one who stayed.

    Raises
    ------
    NothingToLearnError
        If no day has matured.
    """
    matured, gaps = matured_and_gaps(model, lake, as_of)
    days = spaced_days([day for day in matured if day not in gaps], model.snapshot_every_days)
    if not days:
        feature_days = lake.days(model.dataset.features_prefix)
        outcome_days = lake.days(model.dataset.clean(model.label_table))
        raise NothingToLearnError(
            f"Model {model.name!r} has nothing to learn from as of {as_of}: outcomes are known "
            f"{model.horizon_days + model.label_delay_days} days after the features, but the first features are "
            f"of {min(feature_days, default='no day')} and the last outcomes of "
            f"{max(outcome_days, default='no day')}. Run {model.dataset.name}_etl for more days, or train as of "
            "a later day."
        )
    return days


def matured_and_gaps(model: ModelSpec, lake: Lake, as_of: date) -> tuple[list[date], dict[date, list[date]]]:
    """The days whose outcomes are known by `as_of`, and those of them that lack some, with what they lack."""
    outcome_days = lake.days(model.dataset.clean(model.label_table))
    matured = matured_days(lake.days(model.dataset.features_prefix), outcome_days, as_of, model.matures_on)
    return matured, missing_outcomes(matured, outcome_days, model)


def snapshots(model: ModelSpec, lake: Lake, as_of: date, scratch: Path) -> dict[date, pl.DataFrame]:
    """Key, `dt`, features and `label` of each snapshot day that has rows; fetched by way of the folder `scratch`.

    A symbol has no features before its history is long enough, so the first days may be empty; they are left out.

    Raises
    ------
    NothingToLearnError
        If no day has matured.
    PartitionNotFoundError
        If labels are missing.
    """
    days, key = snapshot_days(model, lake, as_of), [*model.dataset.key, "dt"]
    features = lake.scan(model.dataset.features_prefix, days, scratch)
    labels = lake.scan(model.labels_prefix, days, scratch).select(*key, "label")
    scale = (model.interval.scale,) if model.interval else ()
    columns = dict.fromkeys((*key, *model.features, *scale, "label"))
    rows = features.join(labels, on=key).select(*columns).sort(key[::-1]).collect()
    return {day: frame for (day,), frame in rows.partition_by("dt", as_dict=True).items()}


def inputs(model: ModelSpec, lake: Lake, days: list[date]) -> dict[str, str]:
    """Path and digest of the partitions that the rows of `days` come from."""
    return lake.digests(model.dataset.features_prefix, days) | lake.digests(model.labels_prefix, days)


def within(rows: pl.DataFrame, part: Part) -> pl.DataFrame:
    """The rows whose `dt` is one of the part's days."""
    return rows.filter(pl.col("dt").is_in(part.days))
