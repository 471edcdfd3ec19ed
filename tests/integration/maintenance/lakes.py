"""A lake with a partition of each kind, what to change of it, and what maintenance then says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from include.datasets.customers import CUSTOMERS
from include.lifecycle.ingestion.verdicts import DayVerdict, TableVerdict
from include.lifecycle.operations import maintenance, maintenance_policy
from include.lifecycle.operations.maintenance_policy import Catalog, Decision, Evidence, Scope
from include.lifecycle.scoring.prediction_files import predictions_table
from include.lifecycle.storage import latest, warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo, partition
from include.models.churn import CHURN
from tests.training_records import training_record

DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(4)]
DAY, AS_OF = DAYS[1], DAYS[3]
VERSION = "/version=1"
TABLE = predictions_table(CHURN)
DAILY = [
    *(layer(table.name) for table in CUSTOMERS.tables for layer in (CUSTOMERS.raw, CUSTOMERS.clean)),
    *(CUSTOMERS.quarantine(table.name) for table in CUSTOMERS.tables),
    CUSTOMERS.features_prefix,
    CUSTOMERS.validation_prefix,
    CHURN.predictions_prefix,
    CHURN.staged_scores_prefix,
]
WEEKLY = [CHURN.report_prefix("drift"), CHURN.report_prefix("performance"), CHURN.labels_prefix]
LEARNT = [f"references/churn{VERSION}", CHURN.report_prefix("model_card") + VERSION]
CATALOG = Catalog([CUSTOMERS], [CHURN], maintenance_policy.makers([CUSTOMERS], [CHURN]))


def scope(**changes: Any) -> Scope:
    """A run two hours from now: nothing counts as being in the making."""
    started_at = datetime.now(UTC) + timedelta(hours=2)
    return Scope(until=AS_OF, started_at=started_at, **changes)


def load(lake: Lake, postgres: Any, days: Iterable[date]) -> None:
    """Load days of predictions into the warehouse as publishing does."""
    written = lake.written(CHURN.predictions_prefix)
    for day in days:
        manifest = lake.manifest(CHURN.predictions_prefix, day)
        rows = pl.LazyFrame({"customer_id": [f"C{number}" for number in range(manifest.rows)]})
        with warehouse.replacing(postgres, TABLE, day, rows, key=CUSTOMERS.key) as cursor:
            found = warehouse.Load(manifest.digest, written[day])
            warehouse.note_load(cursor, TABLE, day, found, manifest.model_dump_json())


def stage(lake: Lake, run: RunInfo, folder: Path, *, seed: int, version: int | None = None) -> None:
    """Stage a training as of AS_OF, and keep its record for the version that it became."""
    record = folder / "training.json"
    training_record(as_of=AS_OF, trials_budget=4, reason="first life", seed=seed).write(record)
    model = folder / "model.skops"
    model.write_bytes(f"a model of seed {seed}".encode())
    lake.publish(CHURN.staging_prefix, AS_OF, [LocalFile(model), LocalFile(record)], run=run)
    if version is not None:
        lake.publish(CHURN.reference_prefix(version), AS_OF, [LocalFile(record)], run=run)


def judge(lake: Lake, run: RunInfo, folder: Path, day: date, *, lacks: str = "", fault: str = "") -> None:
    """Publish a day's verdict: on all tables but `lacks`, rejected if `fault` could not be extracted."""
    facts = dict.fromkeys(("lines", "rows", "good", "good_lines", "quarantined", "quarantined_lines"), 0)
    tables = {
        table.name: TableVerdict(
            counted=0,
            **facts,
            rules={},
            problems=(f"{fault} could not be extracted.",) if table.name == fault else (),
            warnings=(),
        )
        for table in CUSTOMERS.tables
        if table.name != lacks
    }
    verdict = folder / "verdict.json"
    verdict.write_text(DayVerdict(day=day, accepted=not fault, stale=False, tables=tables).model_dump_json())
    read = {partition(CUSTOMERS.raw(name), day): "a" for name in tables if name != fault}
    lake.publish(CUSTOMERS.validation_prefix, day, [LocalFile(verdict)], run=run, inputs=read)


def write_latest(lake: Lake) -> None:
    manifest = lake.manifest(CHURN.predictions_prefix, DAYS[-1])
    named = latest.Latest.of(CHURN.predictions_prefix, DAYS[-1], manifest, manifest.files[0].plain_name)
    lake.write_object(latest.key(CHURN.predictions_prefix), named.model_dump_json().encode())


def checked(lake: Lake, postgres: Any, **changes: Any) -> tuple[Evidence, Decision]:
    evidence = maintenance.gather(lake, postgres, CATALOG, scope(**changes), "test")
    return evidence, maintenance_policy.decide(evidence, CATALOG, scope(**changes))
