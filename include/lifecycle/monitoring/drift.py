"""Drift: has what the model sees, or what it says, moved away from what it was trained on?

The reference is the holdout of the champion's training, the current side a window of days of features with the
champion's scores (see `drift_window`). A policy may ask for a second reference, the same weeks a year ago.
Evidently measures the distances and draws them (see `evidently_comparison`); the verdict is a pure function of
them (see `drift_verdict`).
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
from include.lifecycle.monitoring.drift_samples import Samples, clip
from include.lifecycle.monitoring.drift_verdict import (
    KIND,
    VERDICT,
    DriftEvidence,
    DriftVerdict,
    SeasonEvidence,
    decide,
)
from include.lifecycle.monitoring.drift_window import SCORE, Days, find, find_season, read, sample, tidied
from include.lifecycle.monitoring.evidently_comparison import (
    DIGITS,
    Comparison,
    compare,
    null_rate,
    report_texts,
)
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.scoring.prediction_files import version_input
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, Pinned, RunInfo
from include.lifecycle.training.record import HOLDOUT

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

TABLE = "drift"


@dataclass(frozen=True)
class _Drawn:
    """The samples, the rows of the same season if any, and what else is known of the window."""

    samples: Samples
    season: pl.DataFrame | None = None
    scored_days: tuple[date, ...] = ()
    keys: int | None = None


@dataclass(frozen=True)
class _Window:
    """The days to judge, and what is read: of those that there are, of the same weeks a year ago, the holdout."""

    days: tuple[date, ...]
    current: Days
    season: Days | None
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
            drawn = _read_samples(model, window, reference, scratch)
            clipped, comparison = _compare(model, drawn.samples)
            verdict = decide(_evidence(model, window, drawn, comparison), model.drift)
            page = drift_page.render_drift(model, day, reference, verdict, drawn.samples, clipped)
            files = _write_files(verdict, page, comparison.report, scratch)
            lake.publish(prefix, day, files, run=run, inputs=inputs)
    warehouse.upsert(connection, TABLE, _warehouse_rows(model, day, verdict), key=("model", "dt", "column_name"))
    log.info("Drift of %s on %s: %s. %s", model.name, day, verdict.verdict, verdict.reason)
    return verdict


def _find_window(model: ModelSpec, lake: Lake, day: date, reference: Reference) -> _Window:
    days = tuple(model.dataset.calendar.days(day - timedelta(model.drift.window_days - 1), day))
    holdout = lake.pin(model.reference_prefix(reference.model_version), [reference.day])
    return _Window(days, find(model, lake, days), find_season(model, lake, day), holdout)


def _inputs(model: ModelSpec, window: _Window, reference: Reference) -> dict[str, str]:
    """What the report is made of: the partitions it reads, the champion, and what is compared how."""
    settings = json.dumps([reference.score_column, model.numeric, model.categorical, model.drift.model_dump()])
    return {
        **window.holdout.inputs,
        **window.current.inputs,
        **(window.season.inputs if window.season else {}),
        version_input(model): str(reference.model_version),
        "settings": hashlib.sha256(settings.encode()).hexdigest(),
    }


def _read_samples(model: ModelSpec, window: _Window, reference: Reference, scratch: Path) -> _Drawn:
    [path] = window.holdout.download(reference.day, scratch, HOLDOUT)
    trained = pl.scan_parquet(path).with_columns(pl.col(reference.score_column).alias(SCORE))
    holdout = tidied(model, sample(model, trained).lazy())
    if not window.current.features.days:
        return _Drawn(Samples(holdout, holdout.clear()))
    # The scores of other versions do not compare with its training; a year ago there were no others.
    rows = read(model, window.current, scratch, reference.model_version)
    season = read(model, window.season, scratch, None).frame if window.season else None
    is_short = rows.frame.height < model.drift.min_rows and not model.drift.all_days_of_a_key
    keys = _count_keys(window.current.features.scan(scratch), model.dataset.key) if is_short else None
    return _Drawn(Samples(holdout, rows.frame), season, rows.scored_days, keys)


def _compare(model: ModelSpec, samples: Samples) -> tuple[Samples, Comparison]:
    """The samples as they are compared, and the distances between them."""
    numeric = (*model.numeric, SCORE)
    clipped = clip(samples, numeric)
    return clipped, compare(clipped, numeric, model.categorical, model.drift)


def _count_keys(frame: pl.LazyFrame, key: Sequence[str]) -> int:
    return int(frame.select(key).unique().select(pl.len()).collect(engine="streaming").item())


def _evidence(model: ModelSpec, window: _Window, drawn: _Drawn, comparison: Comparison) -> DriftEvidence:
    samples, current = drawn.samples, window.current
    # A day without predictions has no scores: that is no gap in those of the others.
    scored = samples.current.filter(pl.col("dt").is_in(current.predictions.days))
    columns = {
        name: column.model_copy(update={"outside": _outside(samples.reference[name], samples.current[name])})
        for name, column in comparison.columns.items()
    }
    score = columns[SCORE].model_copy(update={"null_rate_current": null_rate(scored[SCORE])})
    return DriftEvidence(
        reference_rows=samples.reference.height,
        current_rows=samples.current.height,
        days=tuple(current.features.days),
        missing_days=tuple(day for day in window.days if day not in current.features.manifests),
        scored_days=drawn.scored_days,
        predicted_days=tuple(current.predictions.days),
        keys=drawn.keys,
        score=score,
        columns={name: columns[name] for name in model.features},
        season=_season(model, window.season, drawn),
    )


def _season(model: ModelSpec, season: Days | None, drawn: _Drawn) -> SeasonEvidence | None:
    if season is None or drawn.season is None:
        return None
    _, comparison = _compare(model, Samples(drawn.season, drawn.samples.current))
    return SeasonEvidence(
        days=tuple(season.features.days),
        rows=drawn.season.height,
        score=comparison.columns[SCORE],
        columns={name: comparison.columns[name] for name in model.features},
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
