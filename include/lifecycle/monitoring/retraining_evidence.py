"""What a decision about retraining rests on, from the ledger, the reports on the lake, and earlier requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl
from pydantic import ValidationError

from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import drift_verdict, performance, performance_verdict, retraining_requests
from include.lifecycle.monitoring.drift_verdict import DriftVerdict, has_new_gaps
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.estimate_verdict import Comparison, is_refuted
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.monitoring.retraining_policy import (
    DriftReport,
    EstimateReport,
    PerformanceReport,
    RetrainingEvidence,
)
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.actions import VERDICTS
from include.lifecycle.scoring.prediction_files import version_input
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LakeError

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

Fault = Callable[[int, str | None], str | None]
"""Says of a version, whose file has this SHA-256 by the ledger, why it cannot be used, or None."""


@dataclass(frozen=True)
class _Champion:
    """The version in force, and the last day that its training knew."""

    version: int
    trained_on: date


def gather(
    model: ModelSpec, lake: Lake, connection: extensions.connection, day: date, fault: Fault
) -> RetrainingEvidence:
    """What is known at the end of `day`. A report that is missing or cannot be read counts as none."""
    history = ledger.entries(connection, model.name)
    champion = _champion(history)
    judged = (entry.effective_from for entry in history if entry.action in VERDICTS)
    pending = retraining_requests.pending(connection, model.name)
    validated = _validated(model, lake, day)
    measured = _performance(model, lake, day, champion) if champion else None
    return RetrainingEvidence(
        model=model.name,
        day=day,
        champion=champion and champion.version,
        trained_on=champion and champion.trained_on,
        champion_fault=fault(champion.version, ledger.digest_of(history, champion.version)) if champion else None,
        last_training=max(judged, default=None),
        drift=_drift(model, lake, day, champion) if champion else (),
        performance=measured,
        estimate=_estimate(model, lake, day, champion, measured.digest) if champion and measured else None,
        validated_days=tuple(verdict.day for verdict in validated),
        rejected_days=tuple(verdict.day for verdict in validated if not verdict.accepted),
        pending=pending and pending.id,
        earlier=retraining_requests.made_since(connection, model.name, _reports_since(model, day)),
    )


def apart(days: Sequence[date], window_days: int, count: int) -> list[date]:
    """The newest `count` of days whose windows of so many days do not overlap, oldest first; the newest is one."""
    chosen: list[date] = []
    for day in reversed(days):
        if not chosen or (chosen[-1] - day).days >= window_days:
            chosen.append(day)
    return chosen[:count][::-1]


def _champion(history: Sequence[ledger.Entry]) -> _Champion | None:
    version = ledger.replay(history).champion
    if version is None:
        return None
    return _Champion(version, next(entry.effective_from for entry in history if entry.to_version == version))


def _reports_since(model: ModelSpec, day: date) -> date:
    return day - timedelta(model.retraining.report_days)


def _drift(model: ModelSpec, lake: Lake, day: date, champion: _Champion) -> tuple[DriftReport, ...]:
    """The newest reports on the champion: what another version was seen to do says nothing of it."""
    prefix, policy = model.report_prefix(drift_verdict.KIND), model.retraining
    days = lake.days(prefix, _reports_since(model, day), day)
    pinned, faults = lake.pin_readable(prefix, apart(days, model.drift.window_days, policy.reports))
    for fault in faults.values():
        log.warning("A drift report does not count: %s", fault)
    found = []
    for reported, manifest in pinned.manifests.items():
        if manifest.inputs.get(version_input(model)) != str(champion.version):
            continue
        try:
            verdict = DriftVerdict.model_validate(pinned.read_json(reported, drift_verdict.VERDICT))
        except (LakeError, ValidationError) as error:
            log.warning("The drift report of %s does not count: %s", reported, error)
            continue
        found.append(_of_verdict(model, reported, manifest.digest, verdict))
    return tuple(found)


def _of_verdict(model: ModelSpec, day: date, digest: str, verdict: DriftVerdict) -> DriftReport:
    return DriftReport(
        day=day,
        digest=digest,
        verdict=verdict.verdict,
        score_drifted=verdict.score.drifted,
        gaps_changed=has_new_gaps(verdict, model.drift),
    )


def _performance(model: ModelSpec, lake: Lake, day: date, champion: _Champion) -> PerformanceReport | None:
    """How good the champion's own predictions turned out; those of the versions before it are left out."""
    prefix = model.report_prefix(performance_verdict.KIND)
    with TemporaryDirectory() as folder:
        try:
            pinned = lake.pin(prefix, [day])
            [path] = pinned.download(day, Path(folder), OUTCOMES)
        except LakeError as error:
            log.warning("There is no performance to go by: %s", error)
            return None
        rows = pl.read_parquet(path)
    own = rows.filter(pl.col("model_version") == champion.version) if rows.height else rows
    weeks = _known_weeks(model, lake, day, champion)
    return PerformanceReport(
        day=day,
        digest=pinned.manifests[day].digest,
        verdict=performance_verdict.decide(performance.measured(model, _days(own), own), model).verdict,
        new_label_days=sum(model.matures_on(predicted) > champion.trained_on for predicted in _days(rows)),
        known_weeks=len(weeks),
        refuted_weeks=sum(is_refuted(week, model) for week in weeks),
    )


def _known_weeks(model: ModelSpec, lake: Lake, day: date, champion: _Champion) -> list[Comparison]:
    """What was estimated of the newest weeks whose outcomes the champion's training did not know, and the outcome.

    Whichever version made the predictions: as long as nothing has learnt from these outcomes, nothing speaks for a
    present champion that is of the same days as the one before it.
    """
    verdict, metric = _read_performance(model, lake, day), task_of(model).estimate_metric
    found = {
        week.reported: week.metrics[metric]
        for week in (verdict.estimated_weeks if verdict else ())
        if metric is not None and metric in week.metrics and model.matures_on(week.days[-1]) > champion.trained_on
    }
    known = sorted(reported for reported, week in found.items() if week.realised is not None)
    return [found[reported] for reported in apart(known, model.drift.window_days, model.retraining.reports)]


def _estimate(model: ModelSpec, lake: Lake, day: date, champion: _Champion, digest: str) -> EstimateReport | None:
    """What the report of the day estimates of the champion; None where it estimates nothing of this version."""
    verdict = _read_performance(model, lake, day)
    estimated = verdict.estimated if verdict else None
    if estimated is None or estimated.estimate is None or estimated.model_version != champion.version:
        return None
    return EstimateReport(day=day, digest=digest, verdict=estimated.verdict)


def _read_performance(model: ModelSpec, lake: Lake, day: date) -> PerformanceVerdict | None:
    """The verdict of the performance report of the day; None where it cannot be read."""
    try:
        return PerformanceVerdict.model_validate(
            lake.read_json(model.report_prefix(performance_verdict.KIND), day, performance_verdict.VERDICT)
        )
    except (LakeError, ValidationError) as error:
        log.warning("There is no estimate to go by: %s", error)
        return None


def _days(rows: pl.DataFrame) -> list[date]:
    return rows["dt"].unique().sort().to_list() if rows.height else []


def _validated(model: ModelSpec, lake: Lake, day: date) -> list[DayVerdict]:
    """The verdicts on the days of the window that ends on `day`; one that cannot be read counts as none."""
    dataset = model.dataset
    days = lake.days(dataset.validation_prefix, day - timedelta(model.drift.window_days - 1), day)
    found = (DayVerdict.find(lake, dataset, validated) for validated in days)
    return [verdict for verdict in found if verdict is not None]
