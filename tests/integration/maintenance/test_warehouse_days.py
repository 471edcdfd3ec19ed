"""Maintenance finds days that the warehouse lacks or has as they were; on real servers."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.operations import maintenance, maintenance_policy
from include.lifecycle.operations.maintenance_page import verdict_of
from include.lifecycle.storage.lake import MANIFEST, Lake, RunInfo, partition
from include.models.churn import CHURN
from tests.integration.maintenance.lakes import AS_OF, CATALOG, DAYS, checked, load, scope


def test_days_that_the_warehouse_lacks_or_has_as_they_were_wake_the_scoring(
    lived_in: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    """As after the databases alone were restored: the last day is missing, and one before was scored again."""
    # given
    with postgres, postgres.cursor() as cursor:
        cursor.execute("delete from ml.loads where dt = %s", [DAYS[3]])
    frame = pl.DataFrame({"x": ["scored again"]})
    lived_in.publish_frame(CHURN.predictions_prefix, DAYS[1], frame, run=run, scratch=tmp_path)

    # when
    evidence, decision = checked(lived_in, postgres)

    # then
    assert [(found.day, found.table) for found in evidence.damages] == [
        (DAYS[1], "ml.churn_predictions"),
        (DAYS[3], "ml.churn_predictions"),
    ]
    assert [(wake.dag_id, wake.form) for wake in decision.wakes] == [
        ("churn_scoring", {"day": str(day), "last_day": str(day)}) for day in (DAYS[1], DAYS[3])
    ]
    load(lived_in, postgres, [DAYS[1]])
    left = maintenance.remaining(lived_in, postgres, CATALOG, scope(), evidence.damages)
    assert [found.day for found in left] == [DAYS[3]]
    verdict = verdict_of(
        scope(), evidence, decision, maintenance_policy.conclude(evidence, decision, left, 0, AS_OF)
    )
    assert verdict.headline == "1 day of predictions is still missing or old in the warehouse"


@pytest.mark.parametrize(
    ("statement", "harmed"),
    [
        ("delete from ml.churn_predictions where dt = '2026-03-02' and customer_id = 'C1'", [DAYS[1]]),
        ("insert into ml.churn_predictions (dt, customer_id) values ('2026-03-02', 'D')", [DAYS[1]]),
        ("truncate ml.churn_predictions", DAYS),
        ("drop table ml.churn_predictions", DAYS),
    ],
)
def test_rows_that_somebody_deleted_or_added_wake_the_scoring(
    lived_in: Lake, postgres: Any, statement: str, harmed: list[date]
) -> None:
    with postgres, postgres.cursor() as cursor:
        cursor.execute(statement)

    evidence, decision = checked(lived_in, postgres)

    assert [(found.day, found.table) for found in evidence.damages] == [
        (day, "ml.churn_predictions") for day in harmed
    ]
    assert "has another number of rows than s3://" in evidence.damages[0].problem
    [wake] = decision.wakes
    assert wake.form == {"day": str(harmed[0]), "last_day": str(harmed[-1])}
    load(lived_in, postgres, harmed)
    assert maintenance.remaining(lived_in, postgres, CATALOG, scope(), evidence.damages) == []


def test_files_that_were_written_again_with_the_same_bytes_are_those_that_the_warehouse_has(
    lived_in: Lake, postgres: Any
) -> None:
    """As after the files alone were restored."""
    for day in DAYS:
        key = f"{partition(CHURN.predictions_prefix, day)}/{MANIFEST}"
        lived_in.write_object(key, lived_in.read_object(key) or b"")

    assert checked(lived_in, postgres)[0].damages == ()


@pytest.mark.parametrize("asked", [{"prefix": "features"}, {"days": (DAYS[0], DAYS[2])}])
def test_only_days_of_the_scope_are_compared_with_the_warehouse(
    lived_in: Lake, postgres: Any, asked: dict[str, Any]
) -> None:
    with postgres, postgres.cursor() as cursor:
        cursor.execute("delete from ml.loads where dt = %s", [DAYS[3]])

    assert checked(lived_in, postgres, **asked)[0].damages == ()
    assert len(checked(lived_in, postgres, prefix=CHURN.predictions_prefix)[0].damages) == 1
