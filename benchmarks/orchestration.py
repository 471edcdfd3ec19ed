"""The churn chain of one day through Airflow, beside the same functions called in one warm Python process.

The chain: extract, validate, features, labels, train, push, gate, score, publish. Both sides work on the same
company and the same history, each on a lake of its own.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg2
from rich.console import Console
from rich.table import Table

from benchmarks.processes import free_port
from benchmarks.ratios import Ratio
from include.datasets.customers import CUSTOMERS
from include.lifecycle.ingestion import validation
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.ingestion.planning import chunks
from include.lifecycle.promotion import registry
from include.lifecycle.promotion.promotion import run_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.scoring import publishing, scorers, scoring
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training.record import MODEL_FILE, TrainingRequest
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import assemble
from include.models.churn import CHURN
from include.samples.database import ensure_history
from include.samples.settings import CompanySettings
from include.stack.airflow_api import AirflowApi
from include.stack.control import running
from include.stack.s3 import s3_client
from include.stack.settings import Ports, StackSettings

CUSTOMERS_COUNT = int(os.environ.get("BENCHMARK_CUSTOMERS", "100000"))
HISTORY_DAYS = 100
TRIALS = 10
SEED = 7
MAX_RATIO = 1.5
LAKE, WARM_LAKE = "ml-lake", "warm-lake"
SOURCE = {"kind": "postgres", "connection": "company"}


@dataclass(frozen=True)
class Chain:
    """The lifecycle's functions, called one after the other in this process."""

    settings: StackSettings
    bucket: str

    @property
    def lake(self) -> Lake:
        return Lake(s3_client(self.settings), self.bucket)

    @contextmanager
    def database(self, name: str) -> Iterator[Any]:
        with closing(psycopg2.connect(self.settings.postgres_dsn(name))) as connection:
            yield connection

    def make_features(self, days: Sequence[date], run: RunInfo) -> None:
        with self.database("company") as company:
            source = CUSTOMERS.make_source(SOURCE, lambda _: company)
            extract(CUSTOMERS, self.lake, source, days, run)
        validation.validate(CUSTOMERS, self.lake, days, run)
        build_features(CUSTOMERS, self.lake, days, run)

    def run(self, day: date, run: RunInfo) -> None:
        url = self.settings.mlflow_url
        self.make_features([day], run)
        # Another reason makes it another training for MLflow, which would otherwise have it already.
        request = TrainingRequest(day, TRIALS, SEED, run, reason="benchmark")
        assemble(CHURN, self.lake, request)
        staged = train(CHURN, self.lake, request)
        to_push = StagedTraining(CHURN, day, staged.digest)
        pushed = push_model(url, self.lake, to_push, run)
        with self.database("warehouse") as warehouse:
            run_gate(url, self.lake, warehouse, to_push, pushed.version, run)
            trained = staged.file(MODEL_FILE).sha256
            estimator = registry.load(url, CHURN.name, pushed.version, CHURN.trusted_types, trained)
            scoring.score(CHURN, self.lake, day, scorers.Scorer(estimator, pushed.version), run)
            publishing.publish(CHURN, self.lake, warehouse, day, run)


def through_airflow(api: AirflowApi, lake: Lake, day: date) -> None:
    """Trigger the chain as a person would, and wait for the predictions of `day`."""
    for dag_id, form in (
        ("customers_etl", {"day": day.isoformat()}),
        ("churn_training", {"day": day.isoformat(), "trials": TRIALS, "seed": SEED}),
    ):
        run_id = api.trigger(dag_id, form)
        while (state := api.run_state(dag_id, run_id)) in ("queued", "running"):
            time.sleep(0.2)
        if state != "success":
            raise RuntimeError(f"{dag_id} ended as {state}; its page is under {dag_id}/runs/{run_id}.")
    while day not in lake.days(CHURN.predictions_prefix):
        time.sleep(0.2)


def make_history(chain: Chain, customers: int, run: RunInfo) -> date:
    """Fill the company, and the lake for all its days but the last, which is returned."""
    day = run.started_at.date() - timedelta(days=1)
    company = CompanySettings(customers=customers, history_days=HISTORY_DAYS, seed=7)
    with chain.database("company") as connection:
        ensure_history(connection, company, day)
    history = [day - timedelta(days=back) for back in range(HISTORY_DAYS - 1, 0, -1)]
    for days in chunks(history, 5):
        chain.make_features(days, run)
    return day


def unpause(api: AirflowApi) -> None:
    """Let the DAGs of the chain run, and wait for the runs that were due."""
    for dag_id in ("churn_scoring", "churn_training", "customers_etl"):
        due = api.due_run(dag_id)
        api.unpause(dag_id)
        while due and not any(run["run_after"] == due and run["end_date"] for run in api.runs(dag_id)):
            time.sleep(0.5)


def measure(settings: StackSettings, api: AirflowApi, customers: int) -> tuple[float, float]:
    """Seconds through Airflow and in this process."""
    run = RunInfo("benchmark", datetime.now(UTC), "benchmark")
    chain = Chain(settings, LAKE)
    day = make_history(chain, customers, run)
    shutil.copytree(settings.s3_dir / LAKE, settings.s3_dir / WARM_LAKE)
    time.sleep(2)  # until the S3 server looks at its folder again

    unpause(api)
    start = time.perf_counter()
    through_airflow(api, chain.lake, day)
    orchestrated = time.perf_counter() - start
    start = time.perf_counter()
    Chain(settings, WARM_LAKE).run(day, run)
    return orchestrated, time.perf_counter() - start


def main(share: float = 1.0) -> list[Ratio]:
    customers = round(share * CUSTOMERS_COUNT)
    with TemporaryDirectory(prefix="orchestration-") as folder:
        ports = Ports(*(free_port() for _ in range(4)))
        settings = StackSettings(state_dir=Path(folder), ports=ports)
        with running(settings), AirflowApi(settings) as api:
            orchestrated, warm = measure(settings, api, customers)
    table = Table("", "seconds", "ratio", "limit", title=f"One day of {customers:,} customers, {TRIALS} trials")
    table.add_row("in one warm process", f"{warm:.1f}", "", "")
    table.add_row("through Airflow", f"{orchestrated:.1f}", f"{orchestrated / warm:.2f}", f"{MAX_RATIO:.2f}")
    Console().print(table)
    return [Ratio("through Airflow / in one warm process", orchestrated / warm, MAX_RATIO)]
