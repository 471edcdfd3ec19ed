"""A lake with a history of so many days, made in a few minutes, as the DAGs would have left it day by day.

Real are the newest 190 days at most, and what makes them: the sample company and the sample market in PostgreSQL,
the ETL's own functions, a training, scores, a portfolio. Of the market there are five years of prices and
features before the first day, as it is started with. What is older than the real days is synthetic: partitions of
the company, of predictions and of portfolios are copies of real ones under other days, so their manifests name
the days that they were made of. The market's prices and features are its own on every day, since portfolios look
at all of them. What no scheduled run looks at is not made: old raw and quarantined prices, old reports, old
predictions in the warehouse.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import mlflow
import polars as pl

from benchmarks.market_day import accepted, names
from benchmarks.scheduled_week import SEED, TRIALS, World, run_etl, run_performance, run_scoring, stage_training
from benchmarks.scoring import BUCKET
from include.catalog import DATASETS, MODELS
from include.datasets.customers import CUSTOMERS
from include.datasets.market import MARKET
from include.datasets.market.calendar import NEW_YORK
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.ingestion.planning import chunks, plan
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.push import push_model
from include.lifecycle.scoring.prediction_files import predictions_table
from include.lifecycle.specs import Extracted, ModelSpec, Source
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import LocalFile, partition
from include.lifecycle.training.record import TrainingRequest
from include.lifecycle.training.training_set import assemble
from include.portfolio import planning, publish
from include.portfolio.inputs import PORTFOLIO, REPORT
from include.portfolio.settings import PortfolioSettings
from include.samples.company import Company
from include.samples.database import write_days
from include.samples.market import MarketSettings, ensure_market
from include.samples.settings import BadRows, CompanySettings

LAST = date(2026, 3, 1)
"""The last day of the history, a Sunday; the week after it has five sessions."""
WEEK = tuple(LAST + timedelta(days=number) for number in range(1, 8))
MOST_REAL_DAYS = 190
SESSIONS_BEFORE = 1260
CUSTOMERS_COUNT, SYMBOLS = 1000, names(5)
_WRITTEN = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
_ORDER = ("raw", "quarantine", "clean", "reports/customers", "reports/market", "features", "predictions")


class LongSource:
    """The sample company, which has a folder of days from before it opened; none of them is extracted again."""

    def __init__(self, source: Source, first: date) -> None:
        self.source, self.first = source, first
        self.max_lag_days = source.max_lag_days

    def days(self) -> list[date]:
        """All days since the first."""
        days = self.source.days()
        return [*_days(self.first, min(days) - timedelta(days=1)), *days]

    def faults(self) -> list[str]:
        """Those of the source."""
        return self.source.faults()

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """A table's rows of a day, of those that the sample company has."""
        return self.source.extract(table, day, file)


def fill_databases(world: World, history: int) -> None:
    """Write the company of the real days, and the whole market, and the week to come of both."""
    settings = CompanySettings(customers=CUSTOMERS_COUNT, bad_rows=BadRows(rate=0))
    opened = _real_days(history)[0]
    write_days(world.connection, Company(settings, opened), _days(opened, WEEK[-1]))
    sessions = SESSIONS_BEFORE + len(NEW_YORK.days(first_day(history), WEEK[-1]))
    ensure_market(world.connection, MarketSettings(symbols=SYMBOLS, history_days=sessions, halts=()), WEEK[-1])


def make(world: World, history: int, scratch: Path) -> None:
    """Fill the lake until `LAST`, and the ledger, MLflow and the warehouse with what belongs to it.

    Parameters
    ----------
    world : with a lake on a `FolderClient`.
    """
    root = world.lake.client.root / BUCKET
    first, real = first_day(history), _real_days(history)
    older = _days(first, real[0] - timedelta(days=1))
    _fill_market(world, scratch)
    for dataset in DATASETS.values():
        run_etl(world, dataset, LAST, (real[0], LAST))
    for prefix in _customers_prefixes():
        _repeat(root / prefix, real, older)
    mlflow.set_tracking_uri(world.tracking_uri)  # the registry of a database asks for it
    for model in MODELS.values():
        mlflow.MlflowClient().create_experiment(model.name, str(scratch / "artifacts"))
        _make_champion(world, model, first)
        run_scoring(world, model, (real[0], LAST))
        days = model.dataset.calendar.days(first, LAST)
        scored = [day for day in days if day >= real[0]]
        _repeat(root / model.predictions_prefix, scored, days[: -len(scored)])
    _date_back(root)
    _make_portfolios(world, first)
    for model in MODELS.values():
        _note_loads(world, model)
        # What the training set notes of the lake is of the times of writing that there are now.
        assemble(model, world.lake, TrainingRequest(LAST, TRIALS, SEED, world.run))
        run_performance(world, model, LAST)
    for dataset in DATASETS.values():  # yesterday's run has noted until when all is dealt with
        plan(dataset, world.lake, world.sources[dataset.name](), None, LAST)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _real_days(history: int) -> list[date]:
    return _days(first_day(history), LAST)[-MOST_REAL_DAYS:]


def first_day(history: int) -> date:
    """The first day of a history of so many days."""
    return LAST - timedelta(days=history - 1)


def _fill_market(world: World, scratch: Path) -> None:
    """Clean prices, verdicts and features of all sessions."""
    query = "select * from market.prices order by date, symbol"
    found = pl.read_database(query, world.connection, infer_schema_length=None)
    rows = found.cast(pl.Schema(MARKET.table("prices").columns)).filter(pl.col("date") <= LAST)
    by_day = {day: frame for (day,), frame in rows.partition_by("date", as_dict=True).items()}
    verdict = scratch / "verdict.json"
    for day, prices in by_day.items():
        world.lake.publish_frame(MARKET.clean("prices"), day, prices, run=world.run, scratch=scratch)
        verdict.write_text(accepted(day, prices.height).model_dump_json())
        world.lake.publish(MARKET.validation_prefix, day, [LocalFile(verdict)], run=world.run)
    for days in chunks(list(by_day), MARKET.chunk_days):
        build_features(MARKET, world.lake, days, world.run)


def _make_champion(world: World, model: ModelSpec, since: date) -> None:
    """Train as of the last day, and put the baseline in force since the first one."""
    staged = stage_training(world, model, LAST)
    pushed = push_model(world.tracking_uri, world.lake, staged, world.run, "baseline")
    entry = ledger.Entry(
        model=model.name,
        action="baseline",
        candidate=pushed.version,
        from_version=None,
        to_version=pushed.version,
        effective_from=since,
        actor="benchmark",
        reason="The history's champion.",
        evidence={},
        run_id=world.run.run_id,
    )
    ledger.record(world.connection, entry)


def _make_portfolios(world: World, first: date) -> None:
    """Make the newest portfolio, and copy it to all days since the first one."""
    root, days = world.lake.client.root / BUCKET, NEW_YORK.days(first, LAST)
    publish.make(world.lake, world.connection, days[-1], PortfolioSettings(), world.run)
    for prefix in (PORTFOLIO, REPORT):
        _repeat(root / prefix, days[-1:], days[:-1])
    start = _WRITTEN + 3600 * (len(_ORDER) + 1)
    _set_times([root / planning.SETTINGS], start)
    for number, day in enumerate(days, start=1):
        _set_times((root / partition(PORTFOLIO, day)).iterdir(), start + 10 * number)
        _set_times((root / partition(REPORT, day)).iterdir(), start + 10 * number + 5)


def _customers_prefixes() -> list[str]:
    tables = [table.name for table in CUSTOMERS.tables]
    of_tables = [
        prefix(name) for prefix in (CUSTOMERS.raw, CUSTOMERS.quarantine, CUSTOMERS.clean) for name in tables
    ]
    return [*of_tables, CUSTOMERS.validation_prefix, CUSTOMERS.features_prefix]


def _repeat(folder: Path, real: Sequence[date], older: Sequence[date]) -> None:
    """Copy the partitions of the real days, again and again, to the older ones."""
    for number, day in enumerate(older):
        copied = folder / f"dt={real[number % len(real)]}"
        if copied.exists():
            shutil.copytree(copied, folder / f"dt={day}")


def _date_back(root: Path) -> None:
    """Let each stage's files be an hour younger than those that they were made of."""
    for hour, prefix in enumerate(_ORDER):
        _set_times((root / prefix).rglob("*"), _WRITTEN + 3600 * hour)


def _set_times(paths: Iterable[Path], moment: float) -> None:
    for path in paths:
        os.utime(path, (moment, moment))


def _note_loads(world: World, model: ModelSpec) -> None:
    """Note in the warehouse that it was loaded from all predictions that there are."""
    table = predictions_table(model)
    with world.connection, world.connection.cursor() as cursor:
        for day, written in world.lake.written(model.predictions_prefix).items():
            manifest = world.lake.manifest(model.predictions_prefix, day)
            load = warehouse.Load(manifest.digest, written)
            warehouse.note_load(cursor, table, day, load, manifest.model_dump_json())
