"""Performance: how good published predictions turned out, as their outcomes become known.

Predictions are joined with the labels of their day, once these have matured, and measured as in training, beside
the naive baseline of the version that is at work. What follows from it is a pure function (see
`performance_verdict`).
"""

from __future__ import annotations

import logging
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.intervals import COVERAGE, HIGH, LOW
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import performance_page
from include.lifecycle.monitoring.performance_verdict import (
    KIND,
    VERDICT,
    PerformanceEvidence,
    PerformanceVerdict,
    decide,
)
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.lifecycle.training.record import BASELINE
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
    measures into the warehouse table `ml.performance`.

    Raises
    ------
    PartitionNotFoundError
        If the version's training left no baseline.
    """
    prefix, predicted = model.report_prefix(KIND), _predicted_days(model, lake, day)
    days = _judged_days(model, lake, day, predicted)
    next_outcomes_on = min((due for other in predicted if (due := model.matures_on(other)) > day), default=None)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        rows = _outcomes(model, lake, days, reference, scratch)
        evidence = _evidence(model, days, rows).model_copy(update={"next_outcomes_on": next_outcomes_on})
        verdict = decide(evidence, model)
        files = {
            "index.html": performance_page.render_performance(model, day, verdict, rows),
            VERDICT: verdict.model_dump_json(indent=2),
        }
        for name, text in files.items():
            (scratch / name).write_text(text)
        rows.write_parquet(scratch / "outcomes.parquet", statistics=False)
        lake.publish(
            prefix,
            day,
            [*(LocalFile(scratch / name) for name in files), LocalFile(scratch / "outcomes.parquet", rows.height)],
            run=run,
            inputs={
                **lake.digests(model.reference_prefix(reference.model_version), [reference.day]),
                **lake.digests(model.predictions_prefix, days),
                **lake.digests(model.dataset.features_prefix, days),
                **_outcome_digests(model, lake, days),
            },
        )
    # Also without rows: whoever looks finds an empty table.
    warehouse.upsert(connection, TABLE, _warehouse_rows(model, day, verdict), key=("model", "dt", "measure"))
    log.info("Performance of %s on %s: %s. %s", model.name, day, verdict.verdict, verdict.reason)
    return verdict


def _predicted_days(model: ModelSpec, lake: Lake, day: date) -> list[date]:
    return lake.days(model.predictions_prefix, day - timedelta(days=model.drift.outcome_days), day)


def _judged_days(model: ModelSpec, lake: Lake, day: date, predicted: list[date]) -> list[date]:
    outcome_days = _outcome_days(model, lake, day - timedelta(days=model.drift.outcome_days), day)
    matured = matured_days(predicted, outcome_days, day, model.matures_on)
    gaps = missing_outcomes(matured, outcome_days, model)
    return [other for other in matured if other not in gaps]


def _outcome_days(model: ModelSpec, lake: Lake, first: date, last: date) -> list[date]:
    """The days of outcomes from `first` to `last`, or all of them where these are fewer than two.

    One single day of outcomes says all (see `matured_days`), but only if there is no other one at any time.
    """
    prefix = model.dataset.clean(model.label.table)
    days = lake.days(prefix, first, last)
    return days if len(days) > 1 else lake.days(prefix)


def _outcome_digests(model: ModelSpec, lake: Lake, days: list[date]) -> dict[str, str]:
    """Path and digest of the clean outcomes within the label windows of `days`."""
    if not days:
        return {}
    prefix = model.dataset.clean(model.label.table)
    last = model.matures_on(days[-1])
    return lake.digests(prefix, lake.days(prefix, days[0], last))


def _outcomes(model: ModelSpec, lake: Lake, days: list[date], reference: Reference, scratch: Path) -> pl.DataFrame:
    """A row for each prediction whose label is known."""
    key = model.dataset.key
    outcomes = model.dataset.clean(model.label.table)
    prefix = model.reference_prefix(reference.model_version)
    [file] = lake.download(prefix, reference.day, scratch, BASELINE)
    baseline = model_files.load_trusted(file, model.trusted_types, f"the baseline of {model.name!r}")
    known = lake.days(outcomes, days[0], model.matures_on(days[-1])) if days else []
    found = []
    for day in days:
        window = model.label_window(day, known)
        features = lake.scan(model.dataset.features_prefix, [day], scratch).collect()
        labels = model.label.make(day, features, lake.scan(outcomes, window, scratch)).select(*key, "label")
        files = lake.download(model.predictions_prefix, day, scratch, PARQUET)
        predictions = pl.read_parquet(files)
        kept = [name for name in ("score", LOW, HIGH, COVERAGE, "model_version") if name in predictions.columns]
        scored = features.with_columns(baseline_score=predict(baseline, features, model))
        rows = predictions.select(*key, *kept).join(scored.select(*key, "dt", "baseline_score"), on=key)
        found.append(rows.join(labels, on=key).sort(key))
    return pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame()


def _evidence(model: ModelSpec, days: list[date], rows: pl.DataFrame) -> PerformanceEvidence:
    task = task_of(model)
    shortage = task.label_shortfall(rows["label"]) if rows.height else "no rows"
    has_interval = LOW in rows.columns
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
    return pl.DataFrame(rows, schema=_COLUMNS)
