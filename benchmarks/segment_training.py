"""A model of its own for each symbol, fitted by mapped tasks through Airflow: one at a time, and side by side.

The stack has four workers, and its pool lets as many heavy tasks run at a time as a small machine has cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.processes import free_port
from benchmarks.ratios import Ratio
from include.datasets.market import MARKET
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.storage.lake import Lake, RunInfo
from include.samples.market import MarketSettings, generate
from include.stack.airflow_api import AirflowApi
from include.stack.control import running
from include.stack.s3 import s3_client
from include.stack.services import HEAVY_TASKS
from include.stack.settings import Ports, StackSettings

SYMBOLS = int(os.environ.get("SEGMENT_SYMBOLS", "200"))
SESSIONS = 1260
LAST = date(2025, 12, 31)
TRIALS = 60
SIDE_BY_SIDE = (1, HEAVY_TASKS)
MIN_RATIO = 1.7
DAG, POOL = "volatility_training", "heavy"
RUN = RunInfo("benchmark", datetime(2026, 1, 1, tzinfo=UTC), "benchmark")


def fill_lake(lake: Lake, scratch: Path, symbols: int) -> None:
    """Clean prices and features of the generated market."""
    names = tuple(f"S{number:04d}" for number in range(symbols))
    sessions = MARKET.calendar.days(date(2020, 1, 1), LAST)[-SESSIONS:]
    prices = generate(MarketSettings(symbols=names, halts=()), sessions)
    rows = prices.cast(pl.Schema(MARKET.table("prices").columns)).sort("date", "symbol")
    for (day,), frame in rows.partition_by("date", as_dict=True).items():
        lake.publish_frame(MARKET.clean("prices"), day, frame, run=RUN, scratch=scratch)
    build_features(MARKET, lake, sessions, RUN)


def train(api: AirflowApi, slots: int) -> tuple[float, float]:
    """Train with so many heavy tasks side by side; seconds of fitting the symbols, and of the whole run.

    Fitting is all between the end of what batches the symbols and the end of the last batch, so that Airflow's
    scheduling counts.
    """
    api.patch(f"/pools/{POOL}", {"name": POOL, "slots": slots, "include_deferred": False})
    run_id = api.trigger(DAG, {"day": LAST.isoformat(), "trials": TRIALS, "reason": f"{slots} side by side"})
    while (state := api.run_state(DAG, run_id)) in ("queued", "running"):
        time.sleep(1)
    if state != "success":
        raise RuntimeError(f"{DAG} ended as {state}; its page is under {DAG}/runs/{run_id}.")
    instances = api.task_instances(DAG, run_id)
    [batched] = [end_of(instance) for instance in instances if instance["task_id"] == "batch_segments"]
    fitted = [end_of(instance) for instance in instances if instance["task_id"] == "fit_segments"]
    starts = [datetime.fromisoformat(instance["start_date"]) for instance in instances]
    whole = max(end_of(instance) for instance in instances) - min(starts)
    return (max(fitted) - batched).total_seconds(), whole.total_seconds()


def end_of(instance: dict[str, str]) -> datetime:
    """When a task instance ended."""
    return datetime.fromisoformat(instance["end_date"])


def measure(symbols: int) -> Sequence[tuple[float, float]]:
    """Seconds of fitting, and of the whole run, for each number of tasks side by side."""
    with TemporaryDirectory(prefix="segments-") as folder:
        settings = StackSettings(state_dir=Path(folder), ports=Ports(*(free_port() for _ in range(4))))
        with running(settings), AirflowApi(settings) as api:
            fill_lake(Lake(s3_client(settings), "ml-lake"), Path(folder), symbols)
            api.unpause(DAG)
            return [train(api, slots) for slots in SIDE_BY_SIDE]


def main(share: float = 1.0) -> list[Ratio]:
    symbols = round(share * SYMBOLS)
    measured = measure(symbols)
    table = Table(
        "side by side",
        "fitting the symbols, s",
        "times faster",
        "at least",
        "whole training, s",
        title=f"{symbols} symbols, {TRIALS} trials, as mapped tasks on {os.cpu_count()} cores",
    )
    (alone, _), *_ = measured
    for slots, (fitting, whole) in zip(SIDE_BY_SIDE, measured, strict=True):
        limit = f"{MIN_RATIO}" if slots > 1 else ""
        table.add_row(str(slots), f"{fitting:.1f}", f"{alone / fitting:.2f}", limit, f"{whole:.1f}")
    Console().print(table)
    faster = alone / measured[-1][0]
    return [Ratio(f"times faster with {SIDE_BY_SIDE[-1]} tasks side by side", faster, MIN_RATIO, at_least=True)]
