"""Performance: how good published predictions turned out, as their outcomes become known.

Predictions are joined with the labels of their day, once these have matured, and measured as in training, beside
the naive baseline of the version that is at work. Labels are published once, and read from then on. What follows
from the measures is a pure function (see `performance_verdict`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from include.lifecycle.modelling.intervals import COVERAGE, HIGH, LOW
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import (
    ab_test_outcomes,
    earlier_outcomes,
    estimated_performance,
    performance_page,
    shadow_comparison,
)
from include.lifecycle.monitoring.champion import Champion
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.performance_verdict import (
    KIND,
    VERDICT,
    PerformanceEvidence,
    PerformanceVerdict,
    decide,
)
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.promotion import ledger
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, Pinned, RunInfo
from include.lifecycle.training.labels import Windows, label_version, publish_labels
from include.lifecycle.training.listings import list_partitions, noted
from include.lifecycle.training.snapshots import matured_days, missing_outcomes

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

TABLE = "performance"
_COLUMNS = {
    "model": pl.String,
    "dt": pl.Date,
    "measure": pl.String,
    "value": pl.Float64,
    "baseline_value": pl.Float64,
    "rows": pl.Int64,
}


def monitor(
    model: ModelSpec,
    lake: Lake,
    connection: extensions.connection,
    day: date,
    run: RunInfo,
    reference: Reference,
) -> PerformanceVerdict:
    """Measure the predictions whose outcomes are known by the end of `day`, and publish the report.

    Looks at the predictions of `model.drift.outcome_days` days. Publishes `index.html`, `verdict.json` and
    `outcomes.parquet` (a row per prediction: key, `dt`, `score`, `baseline_score`, `label`), and upserts the
    measures and the estimates into the warehouse table `ml.performance`.

    Raises
    ------
    PartitionNotFoundError
        If the version's training left no baseline.
    """
    predicted = _predicted_days(model, lake, day)
    windows = _label_windows(model, lake, day, predicted)
    next_outcomes_on = min((due for other in predicted if (due := model.matures_on(other)) > day), default=None)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        champion = Champion.pin(model, lake, reference, scratch)
        listing, method = list_partitions(model, lake, windows, model.predictions_prefix), label_version(model)
        earlier = earlier_outcomes.find(model, lake, day, listing.marks(method), champion.left, run)
        new = {other: window for other, window in windows.items() if other not in earlier.days}
        read = _pin(champion, lake, new, run)
        rows = _in_order(windows, {**earlier.rows, **_outcomes(champion, read)})
        estimates = estimated_performance.look(lake, day, champion, rows)
        shadow = shadow_comparison.compare(champion, lake, connection, rows)
        split = ab_test_outcomes.look(model, lake, day, ledger.entries(connection, model.name), rows)
        further = {
            "next_outcomes_on": next_outcomes_on,
            "estimated": estimates.verdict,
            "estimated_weeks": estimates.weeks,
            "shadow": shadow.comparison,
            "ab_test": split.result,
        }
        verdict = decide(measured(model, list(windows), rows).model_copy(update=further), model)
        files = _write_files(model, day, verdict, rows, scratch)
        marks = listing.with_published(read.labels).marks(method)
        inputs = {**earlier.inputs, **read.inputs, **estimates.inputs, **shadow.inputs, **split.inputs}
        lake.publish(model.report_prefix(KIND), day, files, run=run, inputs=inputs | noted(marks))
    # Also without rows: whoever looks finds an empty table.
    warehouse.upsert(connection, TABLE, _warehouse_rows(model, day, verdict), key=("model", "dt", "measure"))
    log.info("Performance of %s on %s: %s. %s", model.name, day, verdict.verdict, verdict.reason)
    return verdict


def _predicted_days(model: ModelSpec, lake: Lake, day: date) -> list[date]:
    return lake.days(model.predictions_prefix, day - timedelta(days=model.drift.outcome_days), day)


def _label_windows(model: ModelSpec, lake: Lake, day: date, predicted: list[date]) -> dict[date, list[date]]:
    """By predicted day whose outcomes are known by the end of `day`, the days of outcomes of its labels."""
    outcome_days = _outcome_days(model, lake, day - timedelta(days=model.drift.outcome_days), day)
    matured = matured_days(predicted, outcome_days, day, model.matures_on)
    gaps = missing_outcomes(matured, outcome_days, model)
    return {other: model.label_window(other, outcome_days) for other in matured if other not in gaps}


def _outcome_days(model: ModelSpec, lake: Lake, first: date, last: date) -> list[date]:
    """The days of outcomes from `first` to `last`, or all of them where these are fewer than two.

    One single day of outcomes says all (see `matured_days`), but only if there is no other one at any time.
    """
    prefix = model.dataset.clean(model.label.table)
    days = lake.days(prefix, first, last)
    return days if len(days) > 1 else lake.days(prefix)


@dataclass(frozen=True)
class _Read:
    """What a report is made of, as it is read: of the judged days, and of the version's training."""

    reference: Pinned
    features: Pinned
    predictions: Pinned
    labels: Pinned

    @property
    def inputs(self) -> dict[str, str]:
        """As the report's manifest names them."""
        return {
            **self.reference.inputs,
            **self.features.inputs,
            **self.predictions.inputs,
            **self.labels.inputs,
        }


def _pin(champion: Champion, lake: Lake, windows: Windows, run: RunInfo) -> _Read:
    """What there is of the judged days; labels that are missing or outdated are published first."""
    model = champion.model
    features = lake.pin(model.dataset.features_prefix, windows)
    return _Read(
        reference=champion.left,
        features=features,
        predictions=lake.pin(model.predictions_prefix, windows),
        labels=publish_labels(model, lake, windows, features, run, champion.scratch),
    )


def _outcomes(champion: Champion, read: _Read) -> dict[date, pl.DataFrame]:
    """By day, a row for each prediction whose label is known."""
    key, found = champion.model.dataset.key, {}
    for day in read.labels.days:
        labels = pl.read_parquet(read.labels.download(day, champion.scratch)).select(*key, "label")
        rows = champion.read_scores(read.features, read.predictions, day)
        found[day] = rows.join(labels, on=key).sort(key)
    return found


def _in_order(windows: Windows, by_day: Mapping[date, pl.DataFrame]) -> pl.DataFrame:
    frames = [by_day[day] for day in windows if day in by_day]
    return pl.concat(frames, how="diagonal_relaxed").rechunk() if frames else pl.DataFrame()


def _write_files(
    model: ModelSpec, day: date, verdict: PerformanceVerdict, rows: pl.DataFrame, scratch: Path
) -> list[LocalFile]:
    texts = {
        "index.html": performance_page.render_performance(model, day, verdict, rows),
        VERDICT: verdict.model_dump_json(indent=2),
    }
    for name, text in texts.items():
        (scratch / name).write_text(text)
    rows.write_parquet(scratch / OUTCOMES, statistics=False)
    return [*(LocalFile(scratch / name) for name in texts), LocalFile(scratch / OUTCOMES, rows.height)]


def measured(model: ModelSpec, days: list[date], rows: pl.DataFrame) -> PerformanceEvidence:
    """The measures of predictions of these days; `rows` are as `outcomes.parquet` has them."""
    task = task_of(model)
    shortage = task.label_shortfall(rows["label"]) if rows.height else "no rows"
    has_interval = LOW in rows.columns and rows[LOW].count() > 0
    return PerformanceEvidence(
        days=tuple(days),
        rows=rows.height,
        shortage=shortage,
        measures={} if shortage else task.measure(rows, "score"),
        baseline_measures={} if shortage else task.measure(rows, "baseline_score"),
        coverage=_share(rows["label"].is_between(rows[LOW], rows[HIGH])) if has_interval else None,
        promised=_share(rows[COVERAGE]) if has_interval else None,
    )


def _share(values: pl.Series) -> float:
    return float(values.mean())  # type: ignore[arg-type]


def _warehouse_rows(model: ModelSpec, day: date, verdict: PerformanceVerdict) -> pl.DataFrame:
    values = {**verdict.measures, **({"coverage": verdict.coverage} if verdict.coverage is not None else {})}
    rows = [
        {
            "model": model.name,
            "dt": day,
            "measure": name,
            "value": value,
            "baseline_value": verdict.baseline_measures.get(name),
            "rows": verdict.rows,
        }
        for name, value in values.items()
    ]
    estimated = estimated_performance.warehouse_rows(model, verdict.estimated_weeks)
    return pl.concat([pl.DataFrame(rows, schema=_COLUMNS), estimated], how="diagonal")
