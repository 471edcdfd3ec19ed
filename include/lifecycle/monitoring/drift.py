"""Drift: has what the model sees, or what it says, moved away from what it was trained on?

The reference is the holdout of the champion's training, the current side a window of days of features with the
champion's scores. Evidently measures the distances and draws them; the verdict is a pure function of them (see
`drift_verdict`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
    ColumnEvidence,
    DriftEvidence,
    DriftVerdict,
    decide,
)
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.specs import DriftPolicy, ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.lifecycle.training.record import HOLDOUT

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

TABLE = "drift"
SCORE = "score"

# Evidently sums over sets, whose order, and with it the last digits, changes from process to process.
_DIGITS = 6
_RANDOM_ID = re.compile(r"metric_[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class _Drawn:
    """The samples, and what else is known of the window: `scored_days` and `keys` of `DriftEvidence`."""

    samples: Samples
    scored_days: tuple[date, ...] = ()
    keys: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Evidence per column, and Evidently's report: None where no column has enough values."""

    columns: dict[str, ColumnEvidence]
    report: Any


@dataclass(frozen=True)
class _Window:
    """The days to judge, and those of them that have features and predictions."""

    days: tuple[date, ...]
    features: tuple[date, ...]
    predictions: tuple[date, ...]


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
    window = _find_window(model, lake, day)
    inputs = _inputs(model, lake, window, reference)
    present = lake.intact(prefix, day)
    if present is not None and (present.inputs, present.code_version) == (inputs, run.code_version):
        verdict = DriftVerdict.model_validate(lake.read_json(prefix, day, VERDICT))
    else:
        with TemporaryDirectory() as folder:
            scratch = Path(folder)
            numeric = (*model.numeric, SCORE)
            drawn = _read_samples(model, lake, window, reference, scratch)
            clipped = clip(drawn.samples, numeric)
            comparison = compare(clipped, numeric, model.categorical, model.drift)
            verdict = decide(_evidence(model, window, drawn, comparison), model.drift)
            page = drift_page.render_drift(model, day, reference, verdict, drawn.samples, clipped)
            files = _write_files(verdict, page, comparison.report, scratch)
            lake.publish(prefix, day, files, run=run, inputs=inputs)
    warehouse.upsert(connection, TABLE, _warehouse_rows(model, day, verdict), key=("model", "dt", "column_name"))
    log.info("Drift of %s on %s: %s. %s", model.name, day, verdict.verdict, verdict.reason)
    return verdict


def compare(
    samples: Samples, numeric: Sequence[str], categorical: Sequence[str], policy: DriftPolicy
) -> Comparison:
    """Measure how far each column of the current sample lies from the reference, by their values that are there.

    The rates of those missing are evidence of their own. `samples` are clipped, see `clip`.
    """
    methods = dict.fromkeys(numeric, (policy.numeric_method, policy.numeric_threshold))
    methods |= dict.fromkeys(categorical, (policy.categorical_method, policy.categorical_threshold))
    counts = {name: (samples.reference[name].count(), samples.current[name].count()) for name in methods}
    comparable = [name for name in methods if min(counts[name]) >= policy.min_rows]
    report = _evidently(samples, {name: methods[name] for name in comparable}) if comparable else None
    distances = dict(_distances(report)) if report is not None else {}
    columns = {}
    for name, (method, threshold) in methods.items():
        distance, exceeded = distances.get(name, (None, False))
        columns[name] = ColumnEvidence(
            method=method,
            threshold=threshold,
            distance=distance,
            exceeded=exceeded,
            null_rate_reference=_null_rate(samples.reference[name]),
            null_rate_current=_null_rate(samples.current[name]),
            reference_rows=counts[name][0],
            current_rows=counts[name][1],
        )
    return Comparison(columns, report)


def _null_rate(column: pl.Series) -> float:
    return round(column.null_count() / max(len(column), 1), _DIGITS)


def _evidently(samples: Samples, methods: Mapping[str, tuple[str, float]]) -> Any:
    # Imported here because it takes seconds where the worker has not done it beforehand.
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    reference, current = samples.reference.select(*methods), samples.current.select(*methods)
    numeric = [name for name, dtype in reference.schema.items() if dtype.is_numeric()]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in methods if name not in numeric]
    )
    metrics = [
        ValueDrift(column=name, method=method, threshold=threshold)
        for name, (method, threshold) in methods.items()
    ]
    return Report(metrics, include_tests=True).run(
        Dataset.from_pandas(current.to_pandas(), data_definition=definition),
        Dataset.from_pandas(reference.to_pandas(), data_definition=definition),
    )


def _distances(report: Any) -> Iterator[tuple[str, tuple[float, bool]]]:
    content = report.dict()
    for metric, test in zip(content["metrics"], content["tests"], strict=True):
        distance = float(metric["value"])
        # scipy takes the root of a sum that can come out just below zero where both sides are alike.
        distance = 0.0 if math.isnan(distance) else round(distance, _DIGITS)
        yield metric["config"]["column"], (distance, test["status"].value == "FAIL")


def _find_window(model: ModelSpec, lake: Lake, day: date) -> _Window:
    days = tuple(model.dataset.calendar.days(day - timedelta(model.drift.window_days - 1), day))
    features, predictions = (
        tuple(sorted(set(days) & set(lake.days(prefix, days[0], day)))) if days else ()
        for prefix in (model.dataset.features_prefix, model.predictions_prefix)
    )
    return _Window(days, features, predictions)


def _inputs(model: ModelSpec, lake: Lake, window: _Window, reference: Reference) -> dict[str, str]:
    """What the report is made of: the partitions it reads, the champion, and what is compared how."""
    settings = json.dumps([reference.score_column, model.numeric, model.categorical, model.drift.model_dump()])
    return {
        **lake.digests(model.reference_prefix(reference.model_version), [reference.day]),
        **lake.digests(model.dataset.features_prefix, window.features),
        **lake.digests(model.predictions_prefix, window.predictions),
        f"models:/{model.name}": str(reference.model_version),
        "settings": hashlib.sha256(settings.encode()).hexdigest(),
    }


def _read_samples(model: ModelSpec, lake: Lake, window: _Window, reference: Reference, scratch: Path) -> _Drawn:
    numeric, on = (*model.numeric, SCORE), [*model.dataset.key, "dt"]
    columns = dict.fromkeys((*on, *numeric, *model.categorical))

    def sample(frame: pl.LazyFrame) -> pl.DataFrame:
        present, policy = frame.collect_schema(), model.drift
        known = frame.select(name for name in columns if name in present)
        return draw(known, model.dataset.key, policy.sample_rows, all_days=policy.all_days_of_a_key)

    # Keys that are features too keep their type until the scores are joined.
    def tidied(frame: pl.LazyFrame) -> pl.DataFrame:
        return tidy(frame, numeric, model.categorical).collect(engine="streaming")

    prefix = model.reference_prefix(reference.model_version)
    [path] = lake.download(prefix, reference.day, scratch, HOLDOUT)
    reference_rows = sample(pl.scan_parquet(path).with_columns(pl.col(reference.score_column).alias(SCORE)))
    holdout = tidied(reference_rows.lazy())
    if not window.features:
        return _Drawn(Samples(holdout, holdout.clear()))
    features = lake.scan(model.dataset.features_prefix, window.features, scratch)
    rows = sample(features).drop(SCORE, strict=False)
    unscored = rows.clear().lazy().select(*on, pl.lit(None, pl.Float64).alias(SCORE))
    scores = _read_scores(model, lake, window, reference, scratch)
    joined = rows.lazy().join(pl.concat([unscored, *scores.values()]), on=on, how="left", maintain_order="left")
    is_short = rows.height < model.drift.min_rows and not model.drift.all_days_of_a_key
    keys = _count_keys(features, model.dataset.key) if is_short else None
    return _Drawn(Samples(holdout, tidied(joined)), tuple(scores), keys)


def _count_keys(frame: pl.LazyFrame, key: Sequence[str]) -> int:
    return int(frame.select(key).unique().select(pl.len()).collect(engine="streaming").item())


def _read_scores(
    model: ModelSpec, lake: Lake, window: _Window, reference: Reference, scratch: Path
) -> dict[date, pl.LazyFrame]:
    """The champion's scores, by those days with features that have any.

    Those of other versions do not compare with its training.
    """
    found = {}
    for day in sorted({*window.features} & {*window.predictions}):
        predictions = pl.scan_parquet(lake.download(model.predictions_prefix, day, scratch, PARQUET))
        of_champion = predictions.filter(pl.col("model_version") == reference.model_version)
        scores = of_champion.select(*model.dataset.key, pl.lit(day).alias("dt"), pl.col(SCORE).cast(pl.Float64))
        if scores.select(pl.col(SCORE).is_finite().any()).collect(engine="streaming").item():
            found[day] = scores
    return found


def _evidence(model: ModelSpec, window: _Window, drawn: _Drawn, comparison: Comparison) -> DriftEvidence:
    samples = drawn.samples
    # A day without predictions has no scores: that is no gap in those of the others.
    scored = samples.current.filter(pl.col("dt").is_in(list(window.predictions)))
    columns = {
        name: column.model_copy(update={"outside": _outside(samples.reference[name], samples.current[name])})
        for name, column in comparison.columns.items()
    }
    score = columns[SCORE].model_copy(update={"null_rate_current": _null_rate(scored[SCORE])})
    return DriftEvidence(
        reference_rows=samples.reference.height,
        current_rows=samples.current.height,
        days=window.features,
        missing_days=tuple(day for day in window.days if day not in window.features),
        scored_days=drawn.scored_days,
        predicted_days=window.predictions,
        keys=drawn.keys,
        score=score,
        columns={name: columns[name] for name in model.features},
    )


def _outside(reference: pl.Series, current: pl.Series) -> float:
    before, now = reference.drop_nulls(), current.drop_nulls()
    if before.is_empty() or now.is_empty():
        return 0.0
    known = now.is_between(before.min(), before.max()) if now.dtype.is_numeric() else now.is_in(before.implode())
    return round(1 - int(known.sum()) / len(known), _DIGITS)


def _write_files(verdict: DriftVerdict, page: str, report: Any, scratch: Path) -> list[LocalFile]:
    texts = {"index.html": page, VERDICT: verdict.model_dump_json(indent=2)}
    if report is not None:
        html, content = report.get_html_str(as_iframe=False), json.loads(report.json())
        texts |= {"evidently.html": numbered_ids(html), "evidently.json": json.dumps(_rounded(content))}
    for name, text in texts.items():
        (scratch / name).write_text(text)
    return [LocalFile(scratch / name) for name in texts]


def numbered_ids(html: str) -> str:
    """Evidently's page with its random ids replaced by numbers, so that the same content has the same bytes."""
    numbers: dict[str, str] = {}
    return _RANDOM_ID.sub(lambda found: numbers.setdefault(found[0], f"evidently_{len(numbers)}"), html)


def _rounded(content: Any) -> Any:
    """JSON with its numbers rounded to the digits that do not change from process to process."""
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return round(content, _DIGITS) if isinstance(content, float) else content


def _warehouse_rows(model: ModelSpec, day: date, verdict: DriftVerdict) -> pl.DataFrame:
    columns = {SCORE: verdict.score, **verdict.columns}
    rows = [
        {"model": model.name, "dt": day, "column_name": name, **column.model_dump(exclude={"exceeded", "outside"})}
        for name, column in columns.items()
    ]
    return pl.DataFrame(rows, schema_overrides={"distance": pl.Float64}, infer_schema_length=None)
