"""The training set: features and matured labels of the days that a training learns from.

`assemble` decides once which days these are, and puts their rows aside with the digests of what they were read
from. Days that an earlier set has, and of which nothing has been written since, are taken from it; of the others
each partition is read once, and the labels are published. Batches of segments and the training read this set and
nothing else, whatever the ETL does meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from include.lifecycle.ingestion.feature_version import renewed_feature_days
from include.lifecycle.ingestion.source_digest import source_digest
from include.lifecycle.modelling import tuning
from include.lifecycle.specs import ModelSpec, Spec
from include.lifecycle.storage.lake import Lake, LakeError, LocalFile, Manifest, Pinned, partition
from include.lifecycle.storage.manifests import json_sha256
from include.lifecycle.training.labels import label_version, publish_labels
from include.lifecycle.training.listings import list_partitions, marked_days, noted, without_marks
from include.lifecycle.training.record import TrainingRequest
from include.lifecycle.training.snapshots import (
    NothingToLearnError,
    Part,
    matured_days,
    missing_outcomes,
    spaced_days,
)

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class TrainingSet:
    """The rows that a training learns from, with what they were read from.

    Attributes
    ----------
    rows : key, `dt`, features and `label` of each snapshot day, oldest first. A key has no features before its
        history is long enough, so the first days may have no rows; they are left out.
    missing : as in `TrainingDays`.
    sources : path and digest of the partitions of features and labels that the rows were read from.
    inputs : path and digest of the set itself, for whoever depends on all of it.
    """

    rows: Mapping[date, pl.DataFrame]
    missing: Mapping[date, tuple[date, ...]]
    sources: Mapping[str, str]
    inputs: Mapping[str, str]

    @classmethod
    def read(cls, model: ModelSpec, lake: Lake, as_of: date, scratch: Path) -> TrainingSet:
        """The set that was assembled as of a day; fetched by way of the folder `scratch`.

        Raises
        ------
        PartitionNotFoundError
            If none was; run `assemble` first.
        """
        return cls.of(lake.pin(model.training_rows_prefix, [as_of]), scratch)

    @classmethod
    def of(cls, staged: Pinned, scratch: Path) -> TrainingSet:
        """A set that is pinned to its one day; fetched by way of the folder `scratch`.

        Raises
        ------
        CorruptFileError
            If one of its files is missing or damaged.
        """
        [as_of] = staged.days
        [path] = staged.download(as_of, scratch, _ROWS)
        by_day = pl.read_parquet(path).partition_by("dt", as_dict=True)
        return cls(
            rows={day: frame for (day,), frame in by_day.items()},
            missing=TrainingDays.model_validate(staged.read_json(as_of, _DAYS)).missing,
            sources=without_marks(staged.manifests[as_of].inputs),
            inputs=staged.inputs,
        )

    def sources_of(self, days: Iterable[date]) -> dict[str, str]:
        """The sources of some of the days."""
        wanted = {str(day) for day in days}
        return {path: digest for path, digest in self.sources.items() if path.rpartition("/dt=")[2] in wanted}


def assemble(model: ModelSpec, lake: Lake, request: TrainingRequest) -> Manifest:
    """Publish the labels that have matured, and the training set under `training_rows_prefix`.

    A label says what was known when it matured, whatever became known later: the labels of a day do not depend
    on the day on which they are assembled.

    Raises
    ------
    NothingToLearnError
        If no day has matured.
    ValueError
        If the request's budget is too small for the model's candidates.
    """
    tuning.shares(model, request.trials)
    days, method = choose_days(model, lake, request.as_of), _method(model)
    listing = list_partitions(model, lake, days.windows)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        rows, sources = _carried(model, lake, request.as_of, listing.marks(method), scratch)
        new = {
            day: window
            for day, window in days.windows.items()
            if partition(model.labels_prefix, day) not in sources
        }
        features = lake.pin(model.dataset.features_prefix, new)
        labels = publish_labels(model, lake, new, features, request.run, scratch)
        rows |= _read(model, features, labels, scratch)
        sources |= features.inputs | labels.inputs
    frames = [rows[day] for day in days.windows if day in rows]
    # Concatenated, frames of different types would have those of all.
    is_uniform = all(frame.schema == frames[0].schema for frame in frames)
    marks = listing.with_published(labels).marks(method) if is_uniform else {}
    return _publish(model, lake, request, days, frames, sources | noted(marks))


def choose_days(model: ModelSpec, lake: Lake, as_of: date) -> TrainingDays:
    """The days to learn from as of `as_of`, of those within the spec's `look_back_days`.

    Days whose labels depend on outcomes that never arrived are left out: who is not known to have left would pass
    for one who stayed. So are days that the ETL cannot renew after the code of the features has changed.

    Raises
    ------
    FeaturesNotRenewedError
        If the ETL has not renewed the newest features yet.
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
        return renewed_feature_days(dataset, lake, since, as_of), outcomes
    return renewed_feature_days(dataset, lake), lake.days(outcomes_prefix)


def within(rows: pl.DataFrame, part: Part) -> pl.DataFrame:
    """The rows whose `dt` is one of the part's days."""
    return rows.filter(pl.col("dt").is_in(part.days))


def _carried(
    model: ModelSpec, lake: Lake, as_of: date, marks: Mapping[date, str], scratch: Path
) -> tuple[dict[date, pl.DataFrame], dict[str, str]]:
    """Rows and sources of the days that the newest set until a day has with the same mark."""
    prefix = model.training_rows_prefix
    newest = lake.days(prefix, as_of - timedelta(days=model.split.look_back_days), as_of)[-1:]
    earlier, _ = lake.pin_readable(prefix, newest)
    days = [day for manifest in earlier.manifests.values() for day in marked_days(manifest.inputs, marks)]
    if not days:
        return {}, {}
    try:
        found = TrainingSet.of(earlier, scratch)
    except LakeError as error:
        log.warning("The training set of %s is not carried on: %s", *newest, error)
        return {}, {}
    rows = {day: found.rows[day] for day in days if day in found.rows}
    # A set of days without rows has the columns of these days, so they are read.
    return (rows, found.sources_of(days)) if rows else ({}, {})


def _read(model: ModelSpec, features: Pinned, labels: Pinned, scratch: Path) -> dict[date, pl.DataFrame]:
    """By day, the rows that have features and a label."""
    known, followed = features.frames(scratch), labels.frames(scratch)
    return {day: _joined(model, known[day].collect(), followed[day].collect()) for day in labels.days}


def _method(model: ModelSpec) -> str:
    """Digest of all that makes rows of features and outcomes: the code, and what the spec says of it."""
    return json_sha256([source_digest(_joined), label_version(model), model.dataset.key, _columns(model)])


def _columns(model: ModelSpec) -> list[str]:
    """The columns that a training needs, each once."""
    return list(dict.fromkeys((*model.dataset.key, "dt", *_read_columns(model), "label")))


def _joined(model: ModelSpec, features: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """The rows of a day that have features and a label, with the columns that a training needs."""
    refuse_missing_columns(model, features)
    key = model.dataset.key
    rows = features.join(labels.select(*key, "label"), on=key)
    return rows.select(_columns(model)).sort(key[::-1])


def refuse_missing_columns(model: ModelSpec, features: pl.DataFrame) -> None:
    """Raise ValueError where features lack a column that a training of the model reads."""
    absent = [name for name in _read_columns(model) if name not in features.columns]
    if absent:
        raise ValueError(
            f"The features lack {absent}, which model {model.name!r} reads; build them again, or correct the "
            "model's `numeric`, `categorical`, `segments.by`, `gate.segments` or `interval.scale`."
        )


def _read_columns(model: ModelSpec) -> tuple[str, ...]:
    """The columns of the features that a training reads besides the key, each once."""
    scale = model.interval.scale if model.interval else None
    judged = (segments.by for segments in model.gate.segments)
    others = [name for name in (scale, model.segments.by, *judged) if name is not None]
    return tuple(dict.fromkeys((*model.features, *others)))


def _publish(
    model: ModelSpec,
    lake: Lake,
    request: TrainingRequest,
    days: TrainingDays,
    frames: Sequence[pl.DataFrame],
    inputs: Mapping[str, str],
) -> Manifest:
    rows = pl.concat(frames, how="vertical_relaxed").rechunk()
    with TemporaryDirectory() as folder:
        path, days_path = Path(folder) / _ROWS, Path(folder) / _DAYS
        rows.write_parquet(path, statistics=False)
        days_path.write_text(days.model_dump_json(indent=2))
        files = [LocalFile(path, rows.height), LocalFile(days_path)]
        prefix, schema = model.training_rows_prefix, rows.schema
        return lake.publish(prefix, request.as_of, files, run=request.run, schema=schema, inputs=inputs)
