"""A scheduled week, in S3 requests and seconds, after a quarter of a year, a year and ten years of history.

A day costs what a day costs: the week after the longest history may cost little more than that after the shortest.
`made_history` says what of the history is synthetic, `scheduled_week` what a week is. Maintenance is left out: it
lists the whole lake, by its purpose.

Requests are those that boto3 sends, and do not depend on the machine. Seconds are judged by the processor time of
the process that does the work, which other processes hardly disturb. The local S3 server is not in it: it reads a
whole folder for each page that it lists, as no other does. The time that passed is shown beside it.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
from rich.console import Console
from rich.table import Table

from benchmarks import made_history
from benchmarks.made_history import SYMBOLS, WEEK, LongSource
from benchmarks.processes import in_a_new_process
from benchmarks.ratios import Ratio
from benchmarks.s3_folder import KINDS, Cost, FolderClient, Meter
from benchmarks.scheduled_week import (
    World,
    due,
    models_of,
    run_drift,
    run_etl,
    run_performance,
    run_portfolio,
    run_scoring,
    run_training,
)
from benchmarks.scoring import BUCKET, lake_at, services
from include.catalog import DATASETS, MODELS
from include.datasets.customers import CUSTOMERS
from include.datasets.market import MARKET
from include.lifecycle.storage.lake import Lake, RunInfo

HISTORIES = (90, 365, 3650)
TABLE_WIDTH = 150
MAX_RATIO = 1.2
TRAININGS = {dataset.name: f"{dataset.name} training" for dataset in DATASETS.values()}
STAGES = ("ETL", "scoring", "portfolio", *TRAININGS.values(), "drift", "performance")
RUN = RunInfo("benchmark", datetime(2026, 3, 9, tzinfo=UTC), "benchmark")


def measure(history: int) -> dict[str, Cost]:
    """What each stage of the week costs after so many days."""
    with (
        TemporaryDirectory() as name,
        services(folder := Path(name)) as (endpoint, dsn),
        closing(psycopg2.connect(dsn)) as connection,
    ):
        world = _world(folder, connection, history)
        made_history.fill_databases(world, history)
        made_history.make(world, history, folder)
        world = replace(world, lake=lake_at(endpoint))
        # What making the history has left in memory would be looked through in the week, too, over and over.
        gc.collect()
        gc.freeze()
        meter = Meter(world.lake.client)
        for day in WEEK:
            _spend_day(world, meter, day)
        _end_week(world, meter, WEEK[-1])
        return meter.costs


def _world(folder: Path, connection: psycopg2.extensions.connection, history: int) -> World:
    """The services of a history that is still to be made: its lake is the folder of the S3 server."""
    settings = {"kind": "postgres", "connection": "company", "symbols": SYMBOLS}
    first = made_history.first_day(history)
    return World(
        lake=Lake(FolderClient(folder / "s3"), BUCKET),
        connection=connection,
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        sources={
            CUSTOMERS.name: lambda: LongSource(
                CUSTOMERS.make_source({"kind": "postgres", "connection": "company"}, lambda _: connection), first
            ),
            MARKET.name: lambda: MARKET.make_source(settings, lambda _: connection),
        },
        run=RUN,
    )


def _spend_day(world: World, meter: Meter, day: date) -> None:
    """The runs of the night after a day: the ETL wakes the scoring, and this the portfolio."""
    for dataset in due(day):
        with meter.stage("ETL"):
            run_etl(world, dataset, day)
        with meter.stage("scoring"):
            for model in models_of(dataset):
                if day not in run_scoring(world, model):
                    raise ValueError(f"{model.title} did not score {day}: the benchmark's week is no usual one.")
    if MARKET in due(day):
        with meter.stage("portfolio"):
            run_portfolio(world)


def _end_week(world: World, meter: Meter, day: date) -> None:
    """The runs of a Monday morning."""
    for model in MODELS.values():
        with meter.stage(TRAININGS[model.dataset.name]):
            run_training(world, model, day)
        with meter.stage("scoring"):
            run_scoring(world, model)
        with meter.stage("drift"):
            run_drift(world, model, day)
        with meter.stage("performance"):
            run_performance(world, model, day)


def _table(costs: Mapping[int, Mapping[str, Cost]]) -> Table:
    table = Table(
        *("stage", "days before", *KINDS, "requests", "ratio", "processor s", "ratio", "passed s"),
        title="A scheduled week, by the days of history before it",
    )
    for stage in (*STAGES, "week"):
        first = None
        for history, by_stage in costs.items():
            cost = _sum(by_stage) if stage == "week" else by_stage[stage]
            first = first or cost
            table.add_row(
                stage if cost is first else "",
                f"{history:,}",
                *(f"{cost.requests[kind]:,}" for kind in KINDS),
                f"{cost.total:,}",
                f"{cost.total / first.total:.2f}",
                f"{cost.processor:.1f}",
                f"{cost.processor / first.processor:.2f}",
                f"{cost.passed:.1f}",
            )
        table.add_section()
    table.caption = (
        "ratio = beside the same after the shortest history. The market begins with five years of prices, and its "
        "trainings look back ten: they learn from more after a longer history, until these are full."
    )
    return table


def _sum(by_stage: Mapping[str, Cost]) -> Cost:
    whole = Cost()
    for cost in by_stage.values():
        whole.requests.update(cost.requests)
        whole.processor += cost.processor
        whole.passed += cost.passed
    return whole


def main(share: float = 1.0) -> list[Ratio]:
    histories = sorted({max(min(HISTORIES), round(share * history)) for history in HISTORIES})
    costs = {history: in_a_new_process(measure, history) for history in histories}
    # In a log, rich would cut the twelve columns to 80 characters.
    Console(width=TABLE_WIDTH).print(_table(costs))
    first, last = (_sum(costs[history]) for history in (histories[0], histories[-1]))
    what = f"a week after {histories[-1]:,} days / after {histories[0]:,}"
    return [
        Ratio(f"S3 requests of {what}", last.total / first.total, MAX_RATIO),
        Ratio(f"processor seconds of {what}", last.processor / first.processor, MAX_RATIO),
    ]
