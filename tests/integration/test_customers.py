"""The customers dataset from source to features, on a real database and a real lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest

from include.datasets.customers import CUSTOMERS
from include.datasets.customers.features import NUMERIC
from include.datasets.customers.sources import make_source
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.ingestion.planning import plan
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.specs import Source
from include.lifecycle.storage.lake import Lake, RunInfo
from include.samples.company import Company
from include.samples.database import write_days
from include.samples.poison import PoisonKind, poison, restore
from include.samples.settings import BadRows, CompanySettings
from tests.data_files import MADE_UP_TELCO, REAL_TELCO, where_present

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(12)]
LAST = DAYS[-1]
TABLES = [table.name for table in CUSTOMERS.tables]


def sample_company(connection: Any) -> Any:
    """A company of 400 customers, with 2 % bad rows."""
    write_days(connection, Company(CompanySettings(customers=400, bad_rows=BadRows(rate=0.02)), FIRST), DAYS)
    return connection


@pytest.fixture
def database(postgres: Any) -> Any:
    return sample_company(postgres)


@dataclass(frozen=True)
class Done:
    """A lake on which the ETL has done all days of a database."""

    lake: Lake
    database: Any
    run: RunInfo
    verdicts: Sequence[DayVerdict]


@pytest.fixture(scope="module")
def done(s3_client: Any, postgres_server: Any) -> Iterator[Done]:
    lake = Lake(s3_client, "customers-done")
    s3_client.create_bucket(Bucket=lake.bucket)
    run = RunInfo("first_run", datetime(2026, 3, 13, tzinfo=UTC), "test")
    with closing(psycopg2.connect(postgres_server.get_uri())) as connection:
        database = sample_company(connection)
        yield Done(lake, database, run, etl(lake, source_of(database), DAYS, run))


def source_of(connection: Any) -> Source:
    return make_source({"kind": "postgres", "connection": "company_db"}, lambda _: connection)


def etl(lake: Lake, source: Source, days: Sequence[date], run: RunInfo) -> list[DayVerdict]:
    """What the DAG does with a chunk of days."""
    extracted = extract(CUSTOMERS, lake, source, days, run)
    verdicts = validate(CUSTOMERS, lake, days, run, extracted.faults)
    build_features(CUSTOMERS, lake, [verdict.day for verdict in verdicts if verdict.accepted], run)
    return verdicts


def objects(lake: Lake) -> dict[str, tuple[str, str]]:
    pages = lake.client.get_paginator("list_objects_v2").paginate(Bucket=lake.bucket)
    return {item["Key"]: (item["ETag"], str(item["LastModified"])) for page in pages for item in page["Contents"]}


def test_every_row_is_good_or_quarantined_and_every_good_customer_has_features(done: Done, tmp_path: Path) -> None:
    lake, verdicts = done.lake, done.verdicts

    assert [verdict.day for verdict in verdicts if verdict.accepted] == DAYS
    for table in TABLES:
        landed = {day: lake.manifest(CUSTOMERS.raw(table), day).rows for day in DAYS}
        kept = {
            day: lake.manifest(CUSTOMERS.clean(table), day).rows
            + lake.manifest(CUSTOMERS.quarantine(table), day).rows
            for day in DAYS
        }
        assert kept == landed
    assert sum(verdict.tables["customers"].quarantined for verdict in verdicts) > 20
    clean, features = (
        lake.scan(prefix, DAYS, tmp_path).select("dt", "customer_id").collect().rows()
        for prefix in (CUSTOMERS.clean("customers"), CUSTOMERS.features_prefix)
    )
    assert features == clean
    assert len(set(features)) == len(features)


def test_the_bad_rows_of_the_sample_company_meet_their_rules(done: Done) -> None:
    broken = {rule for verdict in done.verdicts for table in verdict.tables.values() for rule in table.rules}

    assert broken >= {
        "customers.contract.known",
        "customers.age.range",
        "customers.monthly_charges.range",
        "customers.signup_date.not_in_the_future",
        "customers.customer_id.present",
        "customers.customer_id.copy",
        "usage_daily.data_mb.range",
        "invoices.due_on.after_issue",
    }


def test_usage_and_invoices_reach_the_features(done: Done, tmp_path: Path) -> None:
    features = done.lake.scan(CUSTOMERS.features_prefix, [LAST], tmp_path).collect()

    known = features.select(pl.col(NUMERIC).is_not_null().mean()).row(0, named=True)
    assert {name for name, share in known.items() if share < 0.9} <= {"data_trend", "call_trend"}
    assert known["data_trend"] > 0.5
    assert features["late_share_90d"].mean() == pytest.approx(0.1, abs=0.08)


def test_doing_days_again_in_other_chunks_changes_no_byte(done: Done) -> None:
    before = objects(done.lake)

    again = RunInfo("another_run", done.run.started_at + timedelta(days=400), "test")
    etl(done.lake, source_of(done.database), DAYS[5:8], again)
    etl(done.lake, source_of(done.database), DAYS[8:], again)

    assert objects(done.lake) == before


@pytest.mark.parametrize("kind", ["half_broken", "empty", "missing_column"])
def test_a_poisoned_newest_day_is_rejected_and_the_restored_one_passes(
    lake: Lake, database: Any, run: RunInfo, kind: PoisonKind
) -> None:
    poison(database, LAST, kind)
    assert LAST in plan(CUSTOMERS, lake, source_of(database), None, until=LAST)

    (verdict,) = etl(lake, source_of(database), [LAST], run)

    assert not verdict.accepted
    assert "usage_daily" in verdict.problems[0]
    assert lake.find_manifest(CUSTOMERS.clean("customers"), LAST) is None
    assert LAST not in lake.days(CUSTOMERS.features_prefix)
    assert LAST not in plan(CUSTOMERS, lake, source_of(database), None, until=LAST)
    restore(database)
    requested = plan(CUSTOMERS, lake, source_of(database), (LAST, LAST), until=LAST)
    assert etl(lake, source_of(database), requested, run)[0].accepted
    assert LAST in lake.days(CUSTOMERS.features_prefix)


@pytest.mark.parametrize("file", where_present(MADE_UP_TELCO, REAL_TELCO))
def test_a_telco_file_goes_through(file: Path, lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    settings = {"kind": "csv", "path": str(file), "day": "2026-10-01"}
    rows = pl.read_csv(file, infer_schema=False)

    (verdict,) = etl(lake, make_source(settings, lambda _: None), [date(2026, 10, 1)], run)

    assert verdict.accepted
    assert (verdict.tables["customers"].good, verdict.tables["customers"].quarantined) == (rows.height, 0)
    features = lake.scan(CUSTOMERS.features_prefix, [date(2026, 10, 1)], tmp_path).collect()
    assert features.height == rows.height
    in_first_month = rows.filter(pl.col("tenure") == "0").height
    assert in_first_month
    assert features.filter(pl.col("tenure") == 0)["total_charges"].to_list() == [0.0] * in_first_month
    assert features.filter(pl.col("total_charges").is_null()).is_empty()
    assert verdict.tables["churns"].good == rows.filter(pl.col("Churn") == "Yes").height
