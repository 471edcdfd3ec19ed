"""Drift: has what the model sees, or what it says, moved away from what it was trained on?

The reference is the holdout of the champion's training, the current side a window of days of features with the
champion's scores. Evidently measures the distances and draws them (see `evidently_comparison`); the verdict is a
pure function of them (see `drift_verdict`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from include.lifecycle.monitoring import drift_page
from include.lifecycle.monitoring.drift_samples import Samples, clip, draw, tidy
from include.lifecycle.monitoring.drift_verdict import (
    KIND,
    VERDICT,
    DriftEvidence,
    DriftVerdict,
    decide,
)
from include.lifecycle.monitoring.evidently_comparison import (
    DIGITS,
    Comparison,
    compare,
    null_rate,
    report_texts,
)
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.scoring.prediction_files import PARQUET, version_input
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, Pinned, RunInfo
from include.lifecycle.training.record import HOLDOUT

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

TABLE = "drift"
SCORE = "score"


@dataclass(frozen=True)
class _Drawn:
    """The samples, and what else is known of the window: `scored_days` and `keys` of `DriftEvidence`."""

    samples: Samples
    scored_days: tuple[date, ...] = ()
    keys: int | None = None


@dataclass(frozen=True)
class _Window:
    """The days to judge, and what is read: features and predictions of those that have them, the holdout."""

    days: tuple[date, ...]
    features: Pinned
    predictions: Pinned
    holdout: Pinned


def monitor(
    model: ModelSpec,
    lake: Lake,
    connection: extensions.connection,
    day: date,
    run: RunInfo,
    reference: Reference,
) -> DriftVerdict:
    """Compare the window that ends on `day` with the champion's training, and publish the report.

    Publishes `index.html` and `verdict.json`, with `evidently.html` and `evidently.json` where anything could be
    compared, and upserts a row per column into the warehouse table `ml.drift`. An intact report of the same inputs
    stays as it is; a damaged one is rebuilt, with the same bytes.

    Raises
    ------
    PartitionNotFoundError
        If the version's training left no holdout.
    """
    prefix = model.report_prefix(KIND)
    window = _find_window(model, lake, day, reference)
    inputs = _inputs(model, window, reference)
    present = lake.intact(prefix, day)
    if present is not None and (present.inputs, present.code_version) == (inputs, run.code_version):
        verdict = DriftVerdict.model_validate(Pinned(lake, prefix, {day: present}).read_json(day, VERDICT))
    else:
        with TemporaryDirectory() as folder:
            scratch = Path(folder)
            numeric = (*model.numeric, SCORE)
            drawn = _read_samples(model, window, reference, scratch)
            clipped = clip(drawn.samples, numeric)
            comparison = compare(clipped, numeric, model.categorical, model.drift)
            verdict = decide(_evidence(model, window, drawn, comparison), model.drift)
            page = drift_page.render_drift(model, day, reference, verdict, drawn.samples, clipped)
            files = _write_files(verdict, page, comparison.report, scratch)
            lake.publish(prefix, day, files, run=run, inputs=inputs)
    warehouse.upsert(connection, TABLE, _warehouse_rows(model, day, verdict), key=("model", "dt", "column_name"))
    log.info("Drift of %s on %s: %s. %s", model.name, day, verdict.verdict, verdict.reason)
    return verdict


def _find_window(model: ModelSpec, lake: Lake, day: date, reference: Reference) -> _Window:
    days = tuple(model.dataset.calendar.days(day - timedelta(model.drift.window_days - 1), day))
    features, predictions = (
        lake.pin(prefix, sorted(set(days) & set(lake.days(prefix, days[0], day))) if days else ())
        for prefix in (model.dataset.features_prefix, model.predictions_prefix)
    )
    holdout = lake.pin(model.reference_prefix(reference.model_version), [reference.day])
    return _Window(days, features, predictions, holdout)


def _inputs(model: ModelSpec, window: _Window, reference: Reference) -> dict[str, str]:
    """What the report is made of: the partitions it reads, the champion, and what is compared how."""
    settings = json.dumps([reference.score_column, model.numeric, model.categorical, model.drift.model_dump()])
    return {
        **window.holdout.inputs,
        **window.features.inputs,
        **window.predictions.inputs,
        version_input(model): str(reference.model_version),
        "settings": hashlib.sha256(settings.encode()).hexdigest(),
    }


def _read_samples(model: ModelSpec, window: _Window, reference: Reference, scratch: Path) -> _Drawn:
    numeric, on = (*model.numeric, SCORE), [*model.dataset.key, "dt"]

    # Keys that are features too keep their type until the scores are joined.
    def tidied(frame: pl.LazyFrame) -> pl.DataFrame:
        return tidy(frame, numeric, model.categorical).collect(engine="streaming")

    [path] = window.holdout.download(reference.day, scratch, HOLDOUT)
    trained = pl.scan_parquet(path).with_columns(pl.col(reference.score_column).alias(SCORE))
    holdout = tidied(_sample(model, trained).lazy())
    if not window.features.days:
        return _Drawn(Samples(holdout, holdout.clear()))
    features = window.features.scan(scratch)
    rows = _sample(model, features).drop(SCORE, strict=False)
    unscored = rows.clear().lazy().select(*on, pl.lit(None, pl.Float64).alias(SCORE))
    scores = _read_scores(model, window, reference, scratch)
    joined = rows.lazy().join(pl.concat([unscored, *scores.values()]), on=on, how="left", maintain_order="left")
    is_short = rows.height < model.drift.min_rows and not model.drift.all_days_of_a_key
    keys = _count_keys(features, model.dataset.key) if is_short else None
    return _Drawn(Samples(holdout, tidied(joined)), tuple(scores), keys)


def _sample(model: ModelSpec, frame: pl.LazyFrame) -> pl.DataFrame:
    """Rows drawn from a frame with the column `dt`, with the columns that are compared, and the key."""
    columns = dict.fromkeys((*model.dataset.key, "dt", *model.numeric, SCORE, *model.categorical))
    present, policy = frame.collect_schema(), model.drift
    known = frame.select(name for name in columns if name in present)
    return draw(known, model.dataset.key, policy.sample_rows, all_days=policy.all_days_of_a_key)


def _count_keys(frame: pl.LazyFrame, key: Sequence[str]) -> int:
    return int(frame.select(key).unique().select(pl.len()).collect(engine="streaming").item())


def _read_scores(
    model: ModelSpec, window: _Window, reference: Reference, scratch: Path
) -> dict[date, pl.LazyFrame]:
    """The champion's scores, by those days with features that have any.

    Those of other versions do not compare with its training.
    """
    found = {}
    for day in sorted({*window.features.days} & {*window.predictions.days}):
        predictions = pl.scan_parquet(window.predictions.download(day, scratch, PARQUET))
        of_champion = predictions.filter(pl.col("model_version") == reference.model_version)
        scores = of_champion.select(*model.dataset.key, pl.lit(day).alias("dt"), pl.col(SCORE).cast(pl.Float64))
        if scores.select(pl.col(SCORE).is_finite().any()).collect(engine="streaming").item():
            found[day] = scores
    return found


def _evidence(model: ModelSpec, window: _Window, drawn: _Drawn, comparison: Comparison) -> DriftEvidence:
    samples = drawn.samples
    # A day without predictions has no scores: that is no gap in those of the others.
    scored = samples.current.filter(pl.col("dt").is_in(window.predictions.days))
    columns = {
        name: column.model_copy(update={"outside": _outside(samples.reference[name], samples.current[name])})
        for name, column in comparison.columns.items()
    }
    score = columns[SCORE].model_copy(update={"null_rate_current": null_rate(scored[SCORE])})
    return DriftEvidence(
        reference_rows=samples.reference.height,
        current_rows=samples.current.height,
        days=tuple(window.features.days),
        missing_days=tuple(day for day in window.days if day not in window.features.manifests),
        scored_days=drawn.scored_days,
        predicted_days=tuple(window.predictions.days),
        keys=drawn.keys,
        score=score,
        columns={name: columns[name] for name in model.features},
    )


def _outside(reference: pl.Series, current: pl.Series) -> float:
    before, now = reference.drop_nulls(), current.drop_nulls()
    if before.is_empty() or now.is_empty():
        return 0.0
    known = now.is_between(before.min(), before.max()) if now.dtype.is_numeric() else now.is_in(before.implode())
    return round(1 - int(known.sum()) / len(known), DIGITS)


def _write_files(verdict: DriftVerdict, page: str, report: Any, scratch: Path) -> list[LocalFile]:
    texts = {"index.html": page, VERDICT: verdict.model_dump_json(indent=2)}
    if report is not None:
        texts |= report_texts(report)
    for name, text in texts.items():
        (scratch / name).write_text(text)
    return [LocalFile(scratch / name) for name in texts]


def _warehouse_rows(model: ModelSpec, day: date, verdict: DriftVerdict) -> pl.DataFrame:
    columns = {SCORE: verdict.score, **verdict.columns}
    rows = [
        {"model": model.name, "dt": day, "column_name": name, **column.model_dump(exclude={"exceeded", "outside"})}
        for name, column in columns.items()
    ]
    return pl.DataFrame(rows, schema_overrides={"distance": pl.Float64}, infer_schema_length=None)
