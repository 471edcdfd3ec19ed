"""A day costs what a day costs: scoring, reports and portfolio make the same requests after a longer history."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg2
import pytest

from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.modelling.model_files import dump
from include.lifecycle.monitoring import drift, performance
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.promotion import ledger
from include.lifecycle.scoring import planning, publishing
from include.lifecycle.scoring.scoring import Scorer, score
from include.lifecycle.storage.lake import MANIFEST, Lake, LocalFile, RunInfo, partition
from include.lifecycle.training.labels import publish_labels
from include.lifecycle.training.record import BASELINE, HOLDOUT
from include.models.churn import CHURN
from include.portfolio import inputs as portfolio_inputs
from include.portfolio import planning as portfolio_planning
from include.portfolio import publish as portfolio
from include.portfolio.inputs import PORTFOLIO, PRICES, REPORT, RETURNS, VOLATILITY
from tests.damage import delete
from tests.integration.test_portfolio import DAYS as SESSIONS
from tests.integration.test_portfolio import SETTINGS, closes, predict, publish_prices
from tests.requests_made import requests_made
from tests.specs import changed
from tests.unit.models.churn.customers import customers

MODEL = changed(
    CHURN,
    label={"horizon_days": 5, "delay_days": 1},
    drift={"outcome_days": 20, "window_days": 7, "min_rows": 50},
)
OUTCOMES = MODEL.dataset.clean(MODEL.label.table)
PREFIXES = (MODEL.dataset.features_prefix, OUTCOMES, MODEL.predictions_prefix, MODEL.labels_prefix)
LAST = date(2026, 3, 31)
HISTORY = 40
"""Days of the short history; the long one is ten times as long."""
LOOK_BACK = timedelta(days=15)
ROWS = 80
REFERENCE = Reference(LAST - timedelta(days=HISTORY), 1)


class Probability:
    """A classifier that gives each row the same probability."""

    def predict_proba(self, matrix: Any) -> Any:
        return np.tile([0.7, 0.3], (len(matrix), 1))


SCORER = Scorer(Probability(), 1)


@contextmanager
def short_listings(lake: Lake) -> Iterator[None]:
    """Twenty objects on a page, so that a long listing is many requests."""

    def shorten(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return params | {"MaxKeys": 20}

    lake.client.meta.events.register("provide-client-params.s3.ListObjectsV2", shorten)
    try:
        yield
    finally:
        lake.client.meta.events.unregister("provide-client-params.s3.ListObjectsV2", shorten)


def lengthen(lake: Lake, prefixes: Iterable[str], model: date, days: Iterable[date]) -> None:
    """Give the lake what it has of one day for other days as well."""
    copied = {
        key: lake.read_object(key) or b""
        for prefix in prefixes
        for key in lake.keys(f"{partition(prefix, model)}/")
    }
    bodies = [(key.replace(str(model), str(day)), body) for day in days for key, body in copied.items()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: lake.write_object(*pair), bodies))


def before(first: date, count: int) -> list[date]:
    return [first - timedelta(days=number) for number in range(1, count + 1)]


def features() -> pl.DataFrame:
    return customers(ROWS, seed=1)


def publish_outcomes(lake: Lake, run: RunInfo, scratch: Path, day: date, churned: Iterable[str]) -> None:
    names = list(churned)
    rows = {"customer_id": names, "churned_on": [day] * len(names), "recorded_on": [day] * len(names)}
    schema = {"customer_id": pl.String, "churned_on": pl.Date, "recorded_on": pl.Date}
    lake.publish_frame(OUTCOMES, day, pl.DataFrame(rows, schema=schema), run=run, scratch=scratch)


def extract_day(lake: Lake, run: RunInfo, scratch: Path, day: date) -> None:
    """Features of a day, and that one in twenty customers left, another one on each day."""
    rows = features()
    lake.publish_frame(MODEL.dataset.features_prefix, day, rows, run=run, scratch=scratch)
    left = [name for place, name in enumerate(rows["customer_id"]) if place % 20 == day.toordinal() % 20]
    publish_outcomes(lake, run, scratch, day, left)


def keep_reference(lake: Lake, run: RunInfo, scratch: Path) -> None:
    """The holdout and the baseline of version 1."""
    columns = {"label": pl.int_range(pl.len()) % 2, "candidate_score": pl.lit(0.3), "dt": pl.lit(REFERENCE.day)}
    rows = features().with_columns(**columns)
    rows.write_parquet(scratch / HOLDOUT)
    baseline = MODEL.baseline(7).fit(to_matrix(rows, MODEL), rows["label"].to_numpy())
    dump(baseline, scratch / BASELINE, MODEL.trusted_types)
    files = [LocalFile(scratch / HOLDOUT, rows.height), LocalFile(scratch / BASELINE)]
    lake.publish(MODEL.reference_prefix(1), REFERENCE.day, files, run=run)


@dataclass(frozen=True)
class World:
    """A lake and a warehouse."""

    lake: Lake
    connection: Any


@pytest.fixture
def make_world(
    s3_client: Any, postgres_server: Any, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], World]:
    """Makes a world with a history of HISTORY days, and so many before them, whose reports are a week old."""
    monkeypatch.setattr(planning, "LOOK_BACK", LOOK_BACK)

    def make(earlier_days: int) -> World:
        lake, connection = new_lake(s3_client), new_database(postgres_server)
        first = LAST - timedelta(days=HISTORY - 1)
        champion_since = first - timedelta(days=earlier_days)
        entry = ledger.Entry("churn", "promote", 1, None, 1, champion_since, "gate", "Better.", {}, "first")
        ledger.record(connection, entry)
        keep_reference(lake, run, tmp_path)
        for number in range(HISTORY):
            day = first + timedelta(days=number)
            extract_day(lake, run, tmp_path, day)
            score(MODEL, lake, day, SCORER, run)
            publishing.publish(MODEL, lake, connection, day, run)
        lengthen(lake, PREFIXES, first, before(first, earlier_days))
        performance.monitor(MODEL, lake, connection, LAST - timedelta(days=7), run, REFERENCE)
        return World(lake, connection)

    return make


@pytest.fixture
def world(make_world: Callable[[int], World]) -> World:
    return make_world(0)


def new_lake(s3_client: Any) -> Lake:
    lake = Lake(s3_client, f"lake-{uuid.uuid4().hex[:12]}")
    s3_client.create_bucket(Bucket=lake.bucket)
    return lake


def new_database(server: Any) -> Any:
    name = f"test_{uuid.uuid4().hex[:12]}"
    connection = psycopg2.connect(server.get_uri())
    connection.autocommit = True
    connection.cursor().execute(f'create database "{name}"')
    connection.close()
    return psycopg2.connect(server.get_uri(database=name))


def a_days_requests(world: World, run: RunInfo, scratch: Path) -> dict[str, Counter[str]]:
    """By step, how often the work on the day after the last makes each kind of request."""
    lake, connection, day = world.lake, world.connection, LAST + timedelta(days=1)
    extract_day(lake, run, scratch, day)
    steps: dict[str, Callable[[], Any]] = {
        "plan": lambda: planning.plan(MODEL, lake, connection, None),
        "score": lambda: score(MODEL, lake, day, SCORER, run, connection),
        "publish": lambda: publishing.publish(MODEL, lake, connection, day, run),
        "drift": lambda: drift.monitor(MODEL, lake, connection, day, run, REFERENCE),
        "performance": lambda: performance.monitor(MODEL, lake, connection, day, run, REFERENCE),
    }
    counts = {}
    with short_listings(lake):
        for name, work in steps.items():
            with requests_made(lake) as made:
                work()
            counts[name] = Counter(operation for operation, _ in made)
    return counts


def test_scoring_and_monitoring_a_day_make_the_same_requests_after_ten_times_the_history(
    make_world: Callable[[int], World], run: RunInfo, tmp_path: Path
) -> None:
    short, long = (a_days_requests(make_world(earlier), run, tmp_path) for earlier in (0, 9 * HISTORY))

    assert long == short


def test_only_the_day_that_is_new_is_planned_after_a_long_history(
    make_world: Callable[[int], World], run: RunInfo, tmp_path: Path
) -> None:
    world, day = make_world(2 * HISTORY), LAST + timedelta(days=1)
    extract_day(world.lake, run, tmp_path, day)

    assert planning.plan(MODEL, world.lake, world.connection, None) == {day: 1}


def test_where_the_oldest_day_that_is_looked_at_is_not_done_all_of_the_history_is_looked_at(
    world: World, run: RunInfo, tmp_path: Path
) -> None:
    """The ETL renews all days back to one long before the look, as after a split of a stock."""
    days = [LAST - timedelta(days=number) for number in reversed(range(HISTORY - 5))]
    for day in days:
        rows = features().head(ROWS - 1)
        world.lake.publish_frame(MODEL.dataset.features_prefix, day, rows, run=run, scratch=tmp_path)

    assert list(planning.plan(MODEL, world.lake, world.connection, None)) == days


def labelled_days(lake: Lake) -> list[date]:
    return lake.days(MODEL.labels_prefix)


def test_a_report_on_known_labels_reads_no_outcome_again(world: World, run: RunInfo) -> None:
    with requests_made(world.lake) as made:
        performance.monitor(MODEL, world.lake, world.connection, LAST - timedelta(days=7), run, REFERENCE)

    read = [path for operation, path in made if operation == "GetObject"]
    written = [path for operation, path in made if operation == "PutObject"]
    assert [path for path in read if f"/{MODEL.labels_prefix}/" in path]
    assert [path for path in read if f"/{OUTCOMES}/" in path] == []
    assert [path for path in written if f"/{MODEL.labels_prefix}/" in path] == []


@pytest.mark.parametrize("monitor", [drift.monitor, performance.monitor])
def test_no_manifest_of_an_input_is_read_twice_by_a_report(world: World, run: RunInfo, monitor: Any) -> None:
    prefixes = (MODEL.dataset.features_prefix, OUTCOMES, MODEL.predictions_prefix, "references")

    with requests_made(world.lake) as made:
        monitor(MODEL, world.lake, world.connection, LAST, run, REFERENCE)

    read = Counter(path for operation, path in made if operation == "GetObject" and path.endswith(MANIFEST))
    of_inputs = {path: count for path, count in read.items() if any(f"/{one}/" in path for one in prefixes)}
    assert of_inputs
    assert set(of_inputs.values()) == {1}


def test_labels_of_outcomes_that_were_corrected_are_made_again_and_no_others(
    world: World, run: RunInfo, tmp_path: Path
) -> None:
    # given
    lake = world.lake
    labels = {day: lake.manifest(MODEL.labels_prefix, day) for day in labelled_days(lake)}
    corrected = max(labels) + timedelta(days=3)
    publish_outcomes(lake, run, tmp_path, corrected, features()["customer_id"])

    # when
    performance.monitor(MODEL, lake, world.connection, LAST - timedelta(days=7), run, REFERENCE)

    # then
    again = {day for day in labels if lake.manifest(MODEL.labels_prefix, day) != labels[day]}
    assert again == {day for day in labels if day <= corrected <= MODEL.matures_on(day)}
    rows = pl.read_parquet(lake.download(MODEL.labels_prefix, max(again), tmp_path / "labels"))
    assert rows["label"].to_list() == [1] * rows.height


def test_labels_that_are_lost_are_made_again_with_the_same_bytes(
    world: World, run: RunInfo, tmp_path: Path
) -> None:
    lake, day = world.lake, labelled_days(world.lake)[0]
    made = lake.manifest(MODEL.labels_prefix, day)
    for key in lake.keys(f"{partition(MODEL.labels_prefix, day)}/"):
        delete(lake, key)

    windows = {day: MODEL.label_window(day, lake.days(OUTCOMES))}
    features_of_day = lake.pin(MODEL.dataset.features_prefix, windows)
    again = publish_labels(MODEL, lake, windows, features_of_day, run, tmp_path)

    assert again.manifests == {day: made}


@pytest.fixture
def market(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Prices, predictions of the newest half, and portfolios of these days but for the last."""
    for module in (portfolio_inputs, portfolio_planning):
        monkeypatch.setattr(module, "LOOK_BACK", LOOK_BACK)
    series = closes()
    for number, day in enumerate(SESSIONS):
        publish_prices(lake, run, tmp_path, day, {name: prices[number] for name, prices in series.items()})
    for day in SESSIONS[-25:]:
        predict(lake, run, tmp_path, day)
    for day in SESSIONS[-25:-1]:
        portfolio.make(lake, postgres, day, SETTINGS, run)
    return lake


def portfolio_requests(lake: Lake, connection: Any, run: RunInfo) -> dict[str, Counter[str]]:
    """By step, how often the portfolio of the last day takes each kind of request; it is taken away again."""
    counts = {}
    with requests_made(lake) as made:
        assert portfolio_planning.plan(lake, None, SETTINGS) == [SESSIONS[-1]]
    counts["plan"] = Counter(operation for operation, _ in made)
    with requests_made(lake) as made:
        portfolio.make(lake, connection, SESSIONS[-1], SETTINGS, run)
    counts["make"] = Counter(operation for operation, _ in made)
    for prefix in (PORTFOLIO, REPORT):
        for key in lake.keys(f"{partition(prefix, SESSIONS[-1])}/"):
            delete(lake, key)
    portfolio.make(lake, connection, SESSIONS[-2], SETTINGS, run)
    return counts


def test_a_portfolio_takes_the_same_requests_after_ten_times_the_history(
    market: Lake, postgres: Any, run: RunInfo
) -> None:
    with short_listings(market):
        short = portfolio_requests(market, postgres, run)
        old = before(SESSIONS[0], 9 * len(SESSIONS))
        lengthen(market, (PRICES, RETURNS, VOLATILITY, PORTFOLIO, REPORT), SESSIONS[-2], old)
        long = portfolio_requests(market, postgres, run)

    assert long == short
    assert short["make"].total() < 60
