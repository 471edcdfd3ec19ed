"""Where a model and a dataset stand, by the ledger, the requests for trainings and the summaries.

Nothing here looks at the lake. A record that cannot be read is a sentence in `faults`; everything else is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.monitoring import drift_verdict, performance_verdict, retraining_requests
from include.lifecycle.monitoring.drift_verdict import DriftVerdict
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.monitoring.retraining_requests import Request
from include.lifecycle.operations.maintenance_policy import REPORT, MaintenanceReport
from include.lifecycle.overview.summaries import Kept, Summaries, Summary
from include.lifecycle.promotion import ledger
from include.lifecycle.specs import DatasetSpec, ModelSpec

if TYPE_CHECKING:
    from psycopg2 import extensions

RECENT_DAYS = 90
"""So far back the overview looks for the first of a row of bad days or reports."""

_VERDICT = "verdict.json"

Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class Dated(Generic[Record]):
    """What the record of a day says."""

    day: date
    record: Record


@dataclass(frozen=True)
class Champion:
    """The version in force, since when, and the entry by which it came into force."""

    version: int
    since: datetime
    entry: ledger.Entry


@dataclass(frozen=True)
class ModelState:
    """Where a model stands. Reports are those of the last `RECENT_DAYS`, or else the newest one; oldest first."""

    model: ModelSpec
    history: Sequence[ledger.Entry]
    champion: Champion | None
    predictions: Summary | None
    drift: Sequence[Dated[DriftVerdict]]
    performance: Sequence[Dated[PerformanceVerdict]]
    request: Request | None
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class DatasetState:
    """Where a dataset stands. Verdicts are those of the last `RECENT_DAYS`, or else the newest; oldest first."""

    dataset: DatasetSpec
    verdicts: Sequence[Dated[DayVerdict]]
    features: Summary | None
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class LakeState:
    """What the newest maintenance found."""

    maintenance: Dated[MaintenanceReport] | None
    faults: Sequence[str] = ()


def kept_of_dataset(dataset: DatasetSpec) -> tuple[Kept, ...]:
    """What the summaries keep of a dataset."""
    return Kept(dataset.validation_prefix, (_VERDICT,)), Kept(dataset.features_prefix)


def kept_of_model(model: ModelSpec) -> tuple[Kept, ...]:
    """What the summaries keep of a model."""
    reports = (model.report_prefix(kind) for kind in (drift_verdict.KIND, performance_verdict.KIND))
    return Kept(model.predictions_prefix), *(Kept(prefix, (_VERDICT,)) for prefix in reports)


KEPT_OF_LAKE = (Kept(REPORT, (_VERDICT,)),)


def model_state(connection: extensions.connection, model: ModelSpec, today: date) -> ModelState:
    """Where a model stands on a day."""
    summaries, faults = Summaries(connection), list[str]()
    in_force = ledger.in_force(connection, model.name)
    champion = None
    if in_force is not None and in_force[1].to_version is not None:
        champion = Champion(in_force[1].to_version, *in_force)
    read = _Reader(summaries, today, faults)
    return ModelState(
        model,
        ledger.entries(connection, model.name),
        champion,
        summaries.newest(model.predictions_prefix),
        read.recent(model.report_prefix(drift_verdict.KIND), DriftVerdict.model_validate),
        read.recent(model.report_prefix(performance_verdict.KIND), PerformanceVerdict.model_validate),
        retraining_requests.pending(connection, model.name),
        faults,
    )


def dataset_state(connection: extensions.connection, dataset: DatasetSpec, today: date) -> DatasetState:
    """Where a dataset stands on a day."""
    summaries, faults = Summaries(connection), list[str]()
    verdicts = _Reader(summaries, today, faults).recent(dataset.validation_prefix, DayVerdict.model_validate)
    return DatasetState(dataset, verdicts, summaries.newest(dataset.features_prefix), faults)


def lake_state(connection: extensions.connection, today: date) -> LakeState:
    """What the newest maintenance found."""
    faults = list[str]()
    reports = _Reader(Summaries(connection), today, faults).recent(REPORT, MaintenanceReport.model_validate)
    return LakeState(reports[-1] if reports else None, faults)


@dataclass(frozen=True)
class _Reader:
    """Reads records of recent days, and notes in `faults` those that cannot be read."""

    summaries: Summaries
    today: date
    faults: list[str]

    def recent(self, prefix: str, parse: Callable[[object], Record]) -> list[Dated[Record]]:
        since = self.today - timedelta(days=RECENT_DAYS)
        found = self.summaries.between(prefix, since)
        if not found and (newest := self.summaries.newest(prefix)):
            found = [newest]
        dated = ((summary.day, self._parsed(summary, parse)) for summary in found)
        return [Dated(day, record) for day, record in dated if record is not None]

    def _parsed(self, summary: Summary, parse: Callable[[object], Record]) -> Record | None:
        if summary.fault is not None:
            self.faults.append(summary.fault)
            return None
        try:
            return parse(summary.records[_VERDICT])
        except ValidationError as error:
            self.faults.append(f"The record of {summary.prefix} on {summary.day} cannot be read: {error}")
            return None
