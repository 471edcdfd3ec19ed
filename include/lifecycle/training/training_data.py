"""The rows that a training learns from: features and matured labels of the snapshot days.

Which days these are, and which outcomes their labels are made of, is decided once in a training, by `decide`.
`stage` puts their rows aside; batches and training read them there, whatever the ETL does meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from include.lifecycle.ingestion.feature_version import present_feature_days
from include.lifecycle.specs import ModelSpec, Spec
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, RunInfo, partition
from include.lifecycle.training.snapshots import (
    NothingToLearnError,
    Part,
    matured_days,
    missing_outcomes,
    spaced_days,
)

_ROWS = "rows.parquet"
_DAYS = "days.json"


class TrainingDays(Spec):
    """The days that a training learns from.

    Attributes
    ----------
    windows : by snapshot day, oldest first, the outcome days that its labels are made of.
    missing : by matured day that is left out, the days whose outcomes its labels would need, but never arrived.
    """

    windows: Mapping[date, tuple[date, ...]]
    missing: Mapping[date, tuple[date, ...]]


def decide(model: ModelSpec, lake: Lake, as_of: date) -> TrainingDays:
    """The days to learn from as of `as_of`, of those within the spec's `look_back_days`.

    Days whose labels depend on outcomes that never arrived are left out: who is not known to have left would pass
    for one who stayed. So are days whose features other code made.

    Raises
    ------
    NothingToLearnError
        If no day has matured.
    """
    feature_days, outcome_days = _known_days(model, lake, as_of)
    matured = matured_days(feature_days, outcome_days, as_of, model.matures_on)
    gaps = missing_outcomes(matured, outcome_days, model)
    days = spaced_days([day for day in matured if day not in gaps], model.split.snapshot_every_days)
    if not days:
        raise NothingToLearnError(
            f"Model {model.name!r} has nothing to learn from as of {as_of}: outcomes are known "
            f"{model.label.horizon_days + model.label.delay_days} days after the features, but the first features "
            f"are of {min(feature_days, default='no day')} and the last outcomes of "
            f"{max(outcome_days, default='no day')}. Run {model.dataset.name}_etl for more days, or train as of "
            "a later day."
        )
    return TrainingDays(
        windows={day: tuple(model.label_window(day, outcome_days)) for day in days},
        missing={day: tuple(lost) for day, lost in gaps.items()},
    )


def _known_days(model: ModelSpec, lake: Lake, as_of: date) -> tuple[list[date], list[date]]:
    """The days with features of the present code, and those with outcomes.

    Where outcomes are of fewer than two days, that is all days: one single day of outcomes says all (see
    `matured_days`), however long ago it was.
    """
    dataset, outcomes_prefix = model.dataset, model.dataset.clean(model.label.table)
    since = as_of - timedelta(days=model.split.look_back_days)
    outcomes = lake.days(outcomes_prefix, since, as_of)
    if len(outcomes) > 1:
        return present_feature_days(dataset, lake, since, as_of), outcomes
    return present_feature_days(dataset, lake), lake.days(outcomes_prefix)


def stage(model: ModelSpec, lake: Lake, as_of: date, days: TrainingDays, run: RunInfo, scratch: Path) -> Manifest:
    """Put aside key, `dt`, features and `label` of the days, by way of the folder `scratch`.

    Raises
    ------
    PartitionNotFoundError
        If features or labels are missing.
    """
    asked, key = list(days.windows), [*model.dataset.key, "dt"]
    inputs = lake.digests(model.dataset.features_prefix, asked) | lake.digests(model.labels_prefix, asked)
    features = lake.scan(model.dataset.features_prefix, asked, scratch)
    labels = lake.scan(model.labels_prefix, asked, scratch).select(*key, "label")
    scale = (model.interval.scale,) if model.interval else ()
    columns = dict.fromkeys((*key, *model.features, *scale, "label"))
    rows = features.join(labels, on=key).select(*columns).sort(key[::-1]).collect()
    rows.write_parquet(scratch / _ROWS, statistics=False)
    (scratch / _DAYS).write_text(days.model_dump_json(indent=2))
    files = [LocalFile(scratch / _ROWS, rows.height), LocalFile(scratch / _DAYS)]
    return lake.publish(model.training_rows_prefix, as_of, files, run=run, schema=rows.schema, inputs=inputs)


def decided_days(model: ModelSpec, lake: Lake, as_of: date) -> TrainingDays:
    """The days whose rows are staged; PartitionNotFoundError if none are."""
    return TrainingDays.model_validate(lake.read_json(model.training_rows_prefix, as_of, _DAYS))


def snapshots(model: ModelSpec, lake: Lake, as_of: date, scratch: Path) -> dict[date, pl.DataFrame]:
    """The staged rows of each snapshot day that has rows; fetched by way of the folder `scratch`.

    A key has no features before its history is long enough, so the first days may be empty; they are left out.

    Raises
    ------
    PartitionNotFoundError
        If no rows are staged; run `training.assemble` first.
    """
    [path] = lake.download(model.training_rows_prefix, as_of, scratch, _ROWS)
    by_day = pl.read_parquet(path).partition_by("dt", as_dict=True)
    return {day: frame for (day,), frame in by_day.items()}


def inputs(model: ModelSpec, lake: Lake, as_of: date, days: list[date]) -> dict[str, str]:
    """Path and digest of the partitions that the staged rows of `days` come from."""
    staged = lake.manifest(model.training_rows_prefix, as_of).inputs
    prefixes = (model.dataset.features_prefix, model.labels_prefix)
    return {path: staged[path] for prefix in prefixes for path in (partition(prefix, day) for day in days)}


def within(rows: pl.DataFrame, part: Part) -> pl.DataFrame:
    """The rows whose `dt` is one of the part's days."""
    return rows.filter(pl.col("dt").is_in(part.days))
