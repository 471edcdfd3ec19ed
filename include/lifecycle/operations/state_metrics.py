"""The metrics that follow from the lake and the ledger, whatever became of the tasks that made these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, get_args
from zoneinfo import ZoneInfo

from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.monitoring import drift_verdict, performance_verdict
from include.lifecycle.monitoring.drift_verdict import DriftVerdict
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.operations import maintenance, metrics
from include.lifecycle.operations.backup_store import Store, exists
from include.lifecycle.operations.maintenance_policy import REPORT
from include.lifecycle.operations.metrics import Metric, Sample
from include.lifecycle.operations.warehouse_check import unloaded_days
from include.lifecycle.promotion import ledger
from include.lifecycle.scoring.deadlines import overdue
from include.lifecycle.specs import DatasetSpec, ModelSpec
from include.lifecycle.storage.lake import Lake

if TYPE_CHECKING:
    from psycopg2 import extensions

WINDOW_DAYS = 30
# Days older than this are listed only where there are none younger.
_RECENT = timedelta(days=60)


def of_data(lake: Lake, dataset: DatasetSpec, now: datetime) -> Iterator[Sample]:
    """Rows and quarantine of the newest validated day, and how far the dataset is behind.

    Raises
    ------
    LakeError
        If the verdict of that day cannot be read.
    """
    yesterday = _today(dataset, now) - timedelta(days=1)
    labels = {"dataset": dataset.name}
    features = _newest(lake, dataset.features_prefix, now)
    if features is not None:
        yield Sample(metrics.FEATURES_LAG, (yesterday - features).days, labels)
    newest = _newest(lake, dataset.validation_prefix, now)
    if newest is not None:
        yield Sample(metrics.SOURCE_LAG, (yesterday - newest).days, labels)
        yield from of_verdict(dataset, DayVerdict.read(lake, dataset, newest))


def of_verdict(dataset: DatasetSpec, verdict: DayVerdict) -> Iterator[Sample]:
    """What the verdict of a day says of it and its tables."""
    yield Sample(metrics.DAY_ACCEPTED, verdict.accepted, {"dataset": dataset.name})
    for spec in dataset.tables:
        table = verdict.tables.get(spec.name)
        if table is None:
            continue
        values: Mapping[Metric, float] = {
            metrics.ROWS_READ: table.rows,
            metrics.ROWS_GOOD: table.good,
            metrics.ROWS_QUARANTINED: table.quarantined,
            metrics.QUARANTINE_SHARE: table.bad_share,
            metrics.QUARANTINE_LIMIT: spec.max_bad_share,
            metrics.QUARANTINE_UNUSUAL: table.has_unusually_many_bad_rows,
        }
        for metric, value in values.items():
            yield Sample(metric, value, {"dataset": dataset.name, "table": spec.name})


def of_predictions(
    lake: Lake, connection: extensions.connection, model: ModelSpec, now: datetime
) -> Iterator[Sample]:
    """The newest prediction file, the days that lack one, and those that the warehouse lacks."""
    labels = {"model": model.name}
    written = _written(lake, model.predictions_prefix, now)
    if written:
        newest = max(written)
        manifest = lake.usable_manifest(model.predictions_prefix, newest)
        if manifest is not None:
            yield Sample(metrics.PREDICTIONS_ROWS, manifest.rows, labels)
        yield Sample(metrics.PREDICTIONS_AGE, (now - written[newest]).total_seconds(), labels)
        late = overdue(model, newest, now).total_seconds()
        yield Sample(metrics.PREDICTIONS_OVERDUE, late, {**labels, "dataset": model.dataset.name})
    history = ledger.entries(connection, model.name)
    lacking = _days_without_predictions(lake, model, written, history, now)
    yield Sample(metrics.DAYS_WITHOUT_PREDICTIONS, len(lacking), labels)
    since = _window_start(model, now)
    recent = {day: moment for day, moment in written.items() if day >= since}
    yield Sample(metrics.DAYS_NOT_LOADED, len(unloaded_days(lake, connection, model, recent)), labels)


def of_champion(connection: extensions.connection, model: ModelSpec, now: datetime) -> Iterator[Sample]:
    """Which version is in force, since when, and how old its training is."""
    labels = {"model": model.name}
    since, entry = ledger.in_force(connection, model.name) or (None, None)
    yield Sample(metrics.CHAMPION, (entry and entry.to_version) or 0, labels)
    if since is not None and entry is not None:
        yield Sample(metrics.CHAMPION_AGE, (now - since).total_seconds(), labels)
        age = _today(model.dataset, now) - entry.effective_from
        yield Sample(metrics.CHAMPION_TRAINING_AGE, age.days, labels)


def of_monitoring(lake: Lake, model: ModelSpec, now: datetime) -> Iterator[Sample]:
    """What the newest drift and performance reports say.

    Raises
    ------
    LakeError, ValidationError
        If one of them cannot be read.
    """
    day = _newest(lake, model.report_prefix(drift_verdict.KIND), now)
    if day is not None:
        content = lake.read_json(model.report_prefix(drift_verdict.KIND), day, drift_verdict.VERDICT)
        yield Sample(metrics.DRIFT_AGE, (_today(model.dataset, now) - day).days, {"model": model.name})
        yield from of_drift(model, DriftVerdict.model_validate(content))
    day = _newest(lake, model.report_prefix(performance_verdict.KIND), now)
    if day is not None:
        content = lake.read_json(model.report_prefix(performance_verdict.KIND), day, performance_verdict.VERDICT)
        yield from of_performance(model, PerformanceVerdict.model_validate(content))


def of_drift(model: ModelSpec, verdict: DriftVerdict) -> Iterator[Sample]:
    """The verdict of a drift report, and the distances that it rests on."""
    if verdict.score.distance is not None:
        score = verdict.score.distance / verdict.score.threshold
        yield Sample(metrics.DRIFT_SCORE, score, {"model": model.name})
    if verdict.columns:
        share = len(verdict.drifted) / len(verdict.columns)
        yield Sample(metrics.DRIFT_SHARE, share, {"model": model.name})
    yield from _one_of(metrics.DRIFT_VERDICT, model, get_args(drift_verdict.VerdictName), verdict.verdict)


def of_performance(model: ModelSpec, verdict: PerformanceVerdict) -> Iterator[Sample]:
    """The verdict of a performance report, and its measures beside the baseline's."""
    for metric, measures in (
        (metrics.PERFORMANCE, verdict.measures),
        (metrics.PERFORMANCE_BASELINE, verdict.baseline_measures),
    ):
        for name, value in measures.items():
            yield Sample(metric, value, {"model": model.name, "measure": name})
    yield from _one_of(
        metrics.PERFORMANCE_VERDICT, model, get_args(performance_verdict.VerdictName), verdict.verdict
    )


def of_lake(lake: Lake, now: datetime) -> Iterator[Sample]:
    """What the newest maintenance found and did not heal.

    Raises
    ------
    LakeError, ValidationError
        If its report cannot be read.
    """
    day = _newest(lake, REPORT, now)
    if day is not None:
        report = maintenance.read_report(lake, REPORT, day)
        yield Sample(metrics.DAMAGED, len({damage.path for damage in report.damages if not damage.table}))
        yield Sample(metrics.MAINTENANCE_AGE, (now.date() - day).days)


def of_backups(store: Store | None, now: datetime) -> Iterator[Sample]:
    """How old the newest backup is; without a store, none is made."""
    moments = store.moments() if store and exists(store.bucket) else []
    age = (now - moments[-1]).total_seconds() if moments else math.inf
    yield Sample(metrics.BACKUP_AGE, age)


def _days_without_predictions(
    lake: Lake, model: ModelSpec, predicted: Iterable[date], history: Iterable[ledger.Entry], now: datetime
) -> list[date]:
    known = list(history)
    lacking = [
        day
        for day in lake.days(model.dataset.features_prefix, _window_start(model, now))
        if day not in set(predicted) and ledger.champion_as_of(known, day) is not None
    ]
    manifests = ((day, lake.usable_manifest(model.dataset.features_prefix, day)) for day in lacking)
    return [day for day, manifest in manifests if manifest is None or manifest.rows]


def _one_of(metric: Metric, model: ModelSpec, verdicts: Iterable[str], given: str) -> Iterator[Sample]:
    for verdict in verdicts:
        yield Sample(metric, verdict == given, {"model": model.name, "verdict": verdict})


def _written(lake: Lake, prefix: str, now: datetime) -> dict[date, datetime]:
    return lake.written(prefix, now.date() - _RECENT) or lake.written(prefix)


def _newest(lake: Lake, prefix: str, now: datetime) -> date | None:
    return max(_written(lake, prefix, now), default=None)


def _window_start(model: ModelSpec, now: datetime) -> date:
    return _today(model.dataset, now) - timedelta(days=WINDOW_DAYS)


def _today(dataset: DatasetSpec, now: datetime) -> date:
    return now.astimezone(ZoneInfo(dataset.timezone)).date()
