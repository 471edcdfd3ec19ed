"""How often the loop brings a model back after the world has changed, and how often it trains without need.

Worlds of several seeds, each once with the competitor's offer and once without: 26 weeks of the sample company
through the functions that the DAGs' tasks call, with trainings only where a monitoring asks for one. What the
first champion would have scored stands beside it, in the same worlds.

It takes hours of processor time with many customers, so it is not among the benchmarks that run by themselves:
`python -m benchmarks.closed_loop --customers 6000 --seeds 10 --processes 2`.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import polars as pl
import psycopg2
from rich.console import Console
from rich.table import Table

from benchmarks import scheduled_week
from benchmarks.s3_folder import FolderClient
from benchmarks.scheduled_week import World
from benchmarks.scoring import BUCKET, services
from include.datasets.customers import CUSTOMERS
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import retraining_policy, retraining_requests
from include.lifecycle.monitoring.retraining_evidence import gather
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.promotion.actions import WINS
from include.lifecycle.promotion.promotion import REASON_SEPARATOR
from include.lifecycle.specs import Spec
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training.fitting import fit_again
from include.lifecycle.training.record import RECORD, TrainingRecord
from include.lifecycle.training.split_rows import all_rows
from include.lifecycle.training.training_set import TrainingSet
from include.models.churn import CHURN
from include.samples.company import Company
from include.samples.database import write_days
from include.samples.settings import BadRows, CompanySettings, Drift
from include.time_lapse.figures import COMPARED_WEEKS, NEAR, Recovery, measure, recovery
from include.time_lapse.weeks import Decision, Span, Training, Week, live

FIRST = date(2025, 1, 1)
HORIZON_WEEKS = 5
OUTCOME_DAYS = CHURN.label.horizon_days + CHURN.label.delay_days
RUN = RunInfo("closed loop", datetime(2025, 1, 1, tzinfo=UTC), "benchmark")


class Life(Spec):
    """What became of one world.

    Attributes
    ----------
    loop, stale : average precision before and after, with retraining and with the first champion alone.
    asked : by week, why a training took place, and the gate's verdict on it.
    refits : by week of a promotion, 0 for the first, the average precision of the weeks after it: of the version
        that was judged, and of the same fitted once more, on the holdout as well.
    """

    seed: int
    drifts: bool
    seconds: float
    loop: Recovery
    stale: Recovery
    asked: dict[int, tuple[str, str]]
    weekly: tuple[float, ...]
    refits: dict[int, tuple[float, float]]


class Functions:
    """The stages as plain functions, in one process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def extract(self, first: date, last: date) -> None:
        """`customers_etl`."""
        scheduled_week.run_etl(self._world, CUSTOMERS, last, (first, last))

    def train(self, day: date) -> Training:
        """`churn_training`."""
        connection, run = self._world.connection, replace(RUN, run_id=f"training {day}")
        request = retraining_requests.take(connection, CHURN.name, run.run_id, day)
        scheduled_week.run_training(replace(self._world, run=run), CHURN, day)
        entry = ledger.entries(connection, CHURN.name)[-1]
        if request is not None:
            retraining_requests.finish(connection, request.id, entry.action)
        return Training(
            verdict=entry.action,
            reasons=tuple(entry.reason.split(REASON_SEPARATOR)),
            champion=entry.to_version or 0,
        )

    def score(self, day: date) -> None:
        """`churn_scoring`."""
        scheduled_week.run_scoring(self._world, CHURN)

    def monitor(self, day: date) -> Decision:
        """`churn_monitoring`, but for the rollback."""
        scheduled_week.run_drift(self._world, CHURN, day)
        scheduled_week.run_performance(self._world, CHURN, day)
        evidence = gather(CHURN, self._world.lake, self._world.connection, day, self._fault)
        decision = retraining_policy.decide(evidence, CHURN.retraining)
        is_open = decision.action == "train" and retraining_requests.make(self._world.connection, decision)
        return Decision(action=decision.action, reasons=decision.reasons, is_open=is_open)

    def _fault(self, version: int, digest: str | None) -> str | None:
        return registry.fault(self._world.tracking_uri, CHURN, version, digest)


def live_once(seed: int, drifts: bool, customers: int) -> Life:
    """One world, from its first day until all outcomes are known."""
    logging.disable(logging.WARNING)
    began = time.monotonic()
    span = Span(first=FIRST, outcome_days=OUTCOME_DAYS)
    with _world(seed, span, drifts, customers) as world:
        weeks = list(live(Functions(world), span, with_loop=True, show=lambda *_: None))
        figures = measure(CHURN, world.lake, span)
        stale = _first_champion(world, span)
        refits = dict(_refits(world, span, weeks))
    loop = recovery(figures, span.drift_week or 0, HORIZON_WEEKS)
    return Life(
        seed=seed,
        drifts=drifts,
        seconds=time.monotonic() - began,
        loop=loop,
        stale=Recovery(before=loop.before, after=stale),
        asked={week.number: _told(week) for week in weeks if week.training},
        weekly=tuple(week.average_precision for week in figures),
        refits=refits,
    )


def _told(week: Week) -> tuple[str, str]:
    """Why a week's training took place, in its shortest form, and what came of it."""
    by_age = any("days ago; the limit is" in reason for reason in week.decision.reasons)
    by_weeks = any("than the scores had promised" in reason for reason in week.decision.reasons)
    by_drift = any(reason.startswith("Of the last") for reason in week.decision.reasons)
    named = {"age": by_age, "outcomes": by_weeks, "drift": by_drift}
    return " ".join(name for name, is_it in named.items() if is_it), week.training.verdict if week.training else ""


def _first_champion(world: World, span: Span) -> float:
    """The average precision of the last weeks, had the first champion scored them."""
    version = ledger.entries(world.connection, CHURN.name)[0].to_version or 0
    return _average_precision(world, _version(world, version), _last_weeks(span, span.weeks))


def _refits(world: World, span: Span, weeks: Sequence[Week]) -> Iterator[tuple[int, tuple[float, float]]]:
    """What each champion did in the weeks after its training, and what its refit would have done."""
    first = ledger.entries(world.connection, CHURN.name)[0].to_version or 0
    champions = [(0, span.start, first)] + [
        (week.number, week.last, week.training.champion)
        for week in weeks[:-1]
        if week.training is not None and week.training.verdict in WINS
    ]
    for number, day, version in champions:
        with TemporaryDirectory() as folder:
            record = TrainingRecord.model_validate(world.lake.read_json(CHURN.staging_prefix, day, RECORD))
            rows = all_rows(CHURN, TrainingSet.read(CHURN, world.lake, day, Path(folder)), record.seed)
        after = _last_weeks(span, min(number + COMPARED_WEEKS, span.weeks), number)
        judged, refitted = _version(world, version), fit_again(CHURN, record, rows)
        yield number, (_average_precision(world, judged, after), _average_precision(world, refitted, after))


def _last_weeks(span: Span, last: int, after: int = 0) -> list[list[date]]:
    """The days of the weeks that are compared, up to one of them."""
    return [span.days_of(number) for number in range(max(last - COMPARED_WEEKS, after) + 1, last + 1)]


def _version(world: World, version: int) -> Any:
    digest = ledger.digest_of(ledger.entries(world.connection, CHURN.name), version)
    return registry.load(world.tracking_uri, CHURN.name, version, CHURN.trusted_types, digest)


def _average_precision(world: World, estimator: Any, weeks: Sequence[Sequence[date]]) -> float:
    """The mean over weeks of what an estimator's scores of their days come to."""
    found = []
    with TemporaryDirectory() as folder:
        churns = _scan(world, CUSTOMERS.clean(CHURN.label.table), None, folder)
        for days in weeks:
            frames = []
            for day in days:
                features = _scan(world, CUSTOMERS.features_prefix, [day], folder)
                scored = features.select("customer_id", "dt", score=pl.Series(predict(estimator, features, CHURN)))
                frames.append(scored.join(CHURN.label.make(day, features, churns.lazy()), on="customer_id"))
            rows = pl.concat(frames).with_columns(baseline_score=0.0)
            found.append(task_of(CHURN).measure(rows, "score")["average_precision"])
    return sum(found) / len(found)


def _scan(world: World, prefix: str, days: Sequence[date] | None, folder: str) -> pl.DataFrame:
    """Rows of the days of a prefix; None: of all."""
    return world.lake.scan(prefix, days or world.lake.days(prefix), Path(folder)).collect()


@contextmanager
def _world(seed: int, span: Span, drifts: bool, customers: int) -> Iterator[World]:
    """A company with all of its days, and the services of its lifecycle."""
    drift = Drift(kind="competitor_offer", start=span.drift_starts) if drifts and span.drift_starts else None
    settings = CompanySettings(customers=customers, seed=seed, drift=drift, bad_rows=BadRows(rate=0))
    days = [span.first + timedelta(number) for number in range((span.last - span.first).days + 1)]
    with (
        TemporaryDirectory() as name,
        services(folder := Path(name)) as (_, dsn),
        closing(psycopg2.connect(dsn)) as connection,
    ):
        write_days(connection, Company(settings, span.first), days)
        world = World(
            lake=Lake(FolderClient(folder / "s3"), BUCKET),
            connection=connection,
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
            sources={
                CUSTOMERS.name: lambda: CUSTOMERS.make_source(
                    {"kind": "postgres", "connection": "company"}, lambda _: connection
                )
            },
            run=RUN,
        )
        mlflow.set_tracking_uri(world.tracking_uri)
        mlflow.MlflowClient().create_experiment(CHURN.name, str(folder / "artifacts"))
        yield world


def table_of(lives: Sequence[Life]) -> Table:
    """A row for each world."""
    table = Table("seed", "drift", "before", "with the loop", "without", "trainings", "minutes")
    for life in sorted(lives, key=lambda life: (not life.drifts, life.seed)):
        trainings = "; ".join(f"week {week}: {why}, {verdict}" for week, (why, verdict) in life.asked.items())
        figures = (f"{value:.3f}" for value in (life.loop.before, life.loop.after, life.stale.after))
        table.add_row(str(life.seed), str(life.drifts), *figures, trainings or "none", f"{life.seconds / 60:.1f}")
    return table


def sentences(lives: Sequence[Life]) -> Iterator[str]:
    """What the worlds say together."""
    drifting = [life for life in lives if life.drifts]
    steady = [life for life in lives if not life.drifts]
    returned = sum(life.loop.has_returned for life in drifting)
    stayed = sum(not life.stale.has_returned for life in drifting)
    yield (
        f"Of {len(drifting)} worlds that drifted, {returned} came back to within {NEAR} of before with the loop; "
        f"without it, {stayed} did not."
    )
    trainings = [len(life.asked) for life in steady]
    yield f"In {len(steady)} worlds without drift, there were {trainings} trainings."
    gains = [refitted - judged for life in lives for judged, refitted in life.refits.values()]
    if gains:
        yield (
            f"Fitted on the holdout as well, {len(gains)} champions would have had an average precision in the "
            f"next weeks that differs by {mean(gains):+.3f} (from {min(gains):+.3f} to {max(gains):+.3f})."
        )


def main(arguments: Sequence[str]) -> int:
    """0 where the model came back in every world, and none trained more than once without drift."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closed_loop", description=__doc__)
    parser.add_argument("--customers", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args(arguments)
    worlds = [(seed, drifts) for seed in range(1, asked.seeds + 1) for drifts in (True, False)]
    lives: list[Life] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, context, max_tasks_per_child=1) as pool:
        started = [pool.submit(live_once, seed, drifts, asked.customers) for seed, drifts in worlds]
        for done in as_completed(started):
            lives.append(done.result())
            print(lives[-1].model_dump_json(), flush=True)
    console = Console(width=160)
    console.print(table_of(lives))
    for sentence in sentences(lives):
        console.print(sentence)
    came_back = all(life.loop.has_returned for life in lives if life.drifts)
    return int(not (came_back and all(len(life.asked) <= 1 for life in lives if not life.drifts)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
