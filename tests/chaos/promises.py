"""What holds after every failure, and what a reader may see meanwhile."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from botocore.exceptions import BotoCoreError, ClientError
from mlflow import MlflowClient

from include.catalog import MODELS
from include.datasets.customers import CUSTOMERS
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.operations import maintenance
from include.lifecycle.operations.maintenance_policy import Damage, Scope
from include.lifecycle.promotion import ledger
from include.lifecycle.storage.lake import Lake, partition
from include.models.churn import CHURN
from ml_lifecycle.lake_maintenance import catalog
from tests.chaos.stack import Stack
from tests.chaos.work import PREDICTIONS

MOMENT = "scored_at"


@dataclass
class Reader:
    """Somebody who reads partitions all the time; `faults` are those that were there and not whole."""

    lake: Lake
    prefixes: Sequence[str]
    days: Sequence[date]
    faults: list[str] = field(default_factory=list)
    reads: int = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._read, args=[over], daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)

    def _read(self, over: threading.Event) -> None:
        while not over.is_set():
            for prefix in self.prefixes:
                try:
                    self._look(prefix)
                except (BotoCoreError, ClientError):  # the server is away
                    over.wait(0.5)
                except Exception as error:  # whatever a reader meets is a finding
                    self.faults.append(repr(error))
            over.wait(0.05)

    def _look(self, prefix: str) -> None:
        for day in self.lake.days(prefix, min(self.days), max(self.days))[-3:]:
            self.reads += 1
            if self.lake.intact(prefix, day) is None:
                self.faults.append(f"{partition(prefix, day)} was there and not whole")
        latest = self.lake.read_object(f"{prefix}/latest.json")
        if latest is not None:
            named = json.loads(latest)
            folder = partition(prefix, date.fromisoformat(named["day"]))
            for file in named["files"]:
                body = self.lake.read_object(f"{folder}/{file['name']}")
                if hashlib.sha256(body or b"").hexdigest() != file["sha256"]:
                    self.faults.append(f"{prefix}/latest.json named {file['name']}, which was not whole")


def content(stack: Stack, prefixes: Sequence[str], days: Sequence[date]) -> dict[str, object]:
    """What each partition holds: the hashes of its files, or its rows where they note when they were made."""
    found: dict[str, object] = {}
    for prefix in prefixes:
        for day in stack.lake.days(prefix, min(days), max(days)):
            manifest = stack.lake.intact(prefix, day)
            path = partition(prefix, day)
            if prefix in (CHURN.predictions_prefix, CHURN.staged_scores_prefix):
                found[path] = predictions(stack.lake, prefix, day).drop(MOMENT).rows()
            else:
                found[path] = manifest and manifest.digest
    return found


def predictions(lake: Lake, prefix: str, day: date) -> pl.DataFrame:
    with TemporaryDirectory() as folder:
        files = lake.download(prefix, day, Path(folder))
        return pl.read_parquet([file for file in files if file.suffix == ".parquet"])


def damages(stack: Stack, days: Sequence[date] = ()) -> tuple[Damage, ...]:
    """What maintenance would find two hours from now, when nothing counts as being made any more."""
    now = datetime.now(UTC)
    asked = (min(days), max(days)) if days else None
    scope = Scope(until=now.date(), started_at=now + timedelta(hours=2), days=asked, sample=10_000)
    with stack.database("warehouse") as connection:
        return maintenance.gather(stack.lake, connection, catalog(), scope, "").damages


def lost_rows(stack: Stack, days: Sequence[date]) -> list[str]:
    """Tables of which good and quarantined rows are not those that came in, as verdicts and as files have them."""
    wrong = []
    for day in days:
        verdict = DayVerdict.read(stack.lake, CUSTOMERS, day)
        for name, table in verdict.tables.items():
            good, bad = (
                stack.lake.manifest(layer(name), day).rows for layer in (CUSTOMERS.clean, CUSTOMERS.quarantine)
            )
            raw = stack.lake.manifest(CUSTOMERS.raw(name), day).rows
            if not raw == table.rows == table.good + table.quarantined or (good, bad) != (
                table.good,
                table.quarantined,
            ):
                wrong.append(f"{name} {day}: {raw} rows in, {good} good, {bad} quarantined; {table}")
    return wrong


def warehouse_differences(stack: Stack, days: Sequence[date]) -> list[str]:
    """Days of which the warehouse and the prediction file do not say the same."""
    wrong = []
    with stack.database("warehouse") as connection, connection.cursor() as cursor:
        for day in days:
            file = predictions(stack.lake, CHURN.predictions_prefix, day)
            columns = ["customer_id", "score", "model_version", MOMENT]
            cursor.execute(f"select {', '.join(columns)} from ml.{PREDICTIONS} where dt = %s", [day])
            if Counter(cursor.fetchall()) != Counter(file.select(columns).rows()):
                wrong.append(f"{day}: {file.height} rows in the file")
    return wrong


@dataclass(frozen=True)
class Versions:
    """A model's versions in the registry, its aliases there, and its ledger."""

    registered: list[int]
    champion: int | None
    replayed: int | None
    judged: list[int]


def versions(stack: Stack, model: str) -> Versions:
    client = MlflowClient(stack.services.mlflow_url, stack.services.mlflow_url)
    found = client.search_model_versions(f"name = '{model}'")
    champion = client.get_registered_model(model).aliases.get("champion")
    with stack.database("warehouse") as connection:
        entries = ledger.entries(connection, model)
    return Versions(
        sorted(int(each.version) for each in found),
        champion and int(champion),
        ledger.replay(entries).champion,
        [entry.candidate for entry in entries],
    )


def registry_differences(stack: Stack) -> list[str]:
    """Models whose registry is not what a replay of the ledger leads to."""
    found = {model: versions(stack, model) for model in MODELS}
    return [f"{model}: {each}" for model, each in found.items() if each.champion != each.replayed]
