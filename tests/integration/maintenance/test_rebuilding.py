"""Maintenance wakes who rebuilds what is damaged, with the form that does; on a real S3 server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.operations import maintenance, maintenance_policy
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import MANIFEST, Lake, RunInfo, partition
from include.models.churn import CHURN
from tests.damage import delete
from tests.integration.maintenance.lakes import (
    AS_OF,
    CATALOG,
    DAY,
    DAYS,
    LEARNT,
    checked,
    scope,
    stage,
    write_latest,
)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"day": "2026-03-01"}', None])
def test_a_damaged_latest_wakes_the_scoring_of_the_newest_day(
    lived_in: Lake, postgres: Any, body: bytes | None
) -> None:
    key = latest.key(CHURN.predictions_prefix)
    delete(lived_in, key) if body is None else lived_in.write_object(key, body)

    evidence, decision = checked(lived_in, postgres)

    assert ["latest.json does not name" in found.problem for found in evidence.damages] == [True]
    assert [(wake.dag_id, wake.form["day"]) for wake in decision.wakes] == [("churn_scoring", str(DAYS[-1]))]
    write_latest(lived_in)
    assert maintenance.remaining(lived_in, postgres, CATALOG, scope(), evidence.damages) == []


def test_damaged_days_that_follow_each_other_are_one_run_and_the_etl_comes_first(
    lived_in: Lake, postgres: Any
) -> None:
    for prefix, day in (
        (CHURN.predictions_prefix, DAYS[0]),
        (CUSTOMERS.features_prefix, DAYS[0]),
        (CUSTOMERS.validation_prefix, DAYS[1]),
        (CUSTOMERS.features_prefix, DAYS[3]),
    ):
        delete(lived_in, f"{partition(prefix, day)}/{MANIFEST}")

    _, decision = checked(lived_in, postgres)

    assert [(wake.dag_id, wake.form) for wake in decision.wakes] == [
        ("customers_etl", {"day": str(DAYS[0]), "last_day": str(DAYS[1])}),
        ("customers_etl", {"day": str(DAYS[3]), "last_day": str(DAYS[3])}),
        ("churn_scoring", {"day": str(DAYS[0]), "last_day": str(DAYS[0])}),
    ]


def test_a_rebuild_that_did_not_help_is_not_tried_again_unless_somebody_asks(
    lived_in: Lake, postgres: Any, run: RunInfo
) -> None:
    path = partition(CUSTOMERS.features_prefix, DAY)
    delete(lived_in, f"{path}/{MANIFEST}")
    evidence, decision = checked(lived_in, postgres)
    left = maintenance.remaining(lived_in, postgres, CATALOG, scope(), evidence.damages)

    outcome = maintenance_policy.conclude(evidence, decision, left, 0, AS_OF)
    verdict = maintenance.publish(lived_in, scope(), evidence, decision, outcome, run)

    assert verdict.status == "bad"
    assert outcome.tried == {path: AS_OF}
    later = checked(lived_in, postgres)[1]
    assert later.wakes == ()
    assert f"was run for it on {AS_OF} and did not help" in later.lost[path]
    assert [wake.dag_id for wake in checked(lived_in, postgres, prefix="features/")[1].wakes] == ["customers_etl"]


@pytest.mark.parametrize("damaged", ["model.skops", "training.json", MANIFEST])
@pytest.mark.parametrize("seeds", [(7, 8, 9), (9, 8, 7), (8, 9, 7, 8)])
def test_of_several_trainings_of_a_day_the_one_that_is_staged_is_repeated(
    lived_in: Lake, postgres: Any, run: RunInfo, tmp_path: Path, seeds: tuple[int, ...], damaged: str
) -> None:
    for seed in seeds:
        stage(lived_in, run, tmp_path, seed=seed, version=seed)
        time.sleep(0.05)  # The server's clock tells which training came last.
    path = partition(CHURN.staging_prefix, AS_OF)
    names = {file.plain_name: file.name for file in lived_in.manifest(CHURN.staging_prefix, AS_OF).files}
    delete(lived_in, f"{path}/{names.get(damaged, damaged)}")

    _, decision = checked(lived_in, postgres)

    [wake] = decision.wakes
    assert (wake.heals, wake.form["seed"]) == ((path,), seeds[-1])


def test_what_the_code_at_work_would_build_otherwise_is_not_rebuilt(lived_in: Lake, postgres: Any) -> None:
    path = partition(LEARNT[0], AS_OF)
    delete(lived_in, f"{path}/{MANIFEST}")

    evidence = maintenance.gather(lived_in, postgres, CATALOG, scope(), "newer")
    decision = maintenance_policy.decide(evidence, CATALOG, scope())

    assert decision.wakes == ()
    assert "built by code test; the code at work, newer, would give another model" in decision.lost[path]
