"""Maintenance finds all damage without being told where, and nothing else; on a real S3 server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.operations import maintenance
from include.lifecycle.operations.lake_listing import choose, list_partitions
from include.lifecycle.operations.maintenance_policy import Scope
from include.lifecycle.storage.lake import Lake, RunInfo, partition
from include.models.churn import CHURN
from tests.damage import DAMAGES, damage, delete
from tests.integration.maintenance.lakes import (
    AS_OF,
    CATALOG,
    DAILY,
    DAY,
    DAYS,
    LEARNT,
    WEEKLY,
    checked,
    judge,
    scope,
)


def _delete_partition(lake: Lake, prefix: str, day: date) -> None:
    for key in lake.keys(f"{partition(prefix, day)}/"):
        delete(lake, key)


def expected_wake(prefix: str, day: date) -> tuple[str, dict[str, Any]]:
    """The DAG that makes a partition, and the form that rebuilds it."""
    trained = {"day": str(AS_OF), "trials": 4, "seed": 7, "reason": "first life"}
    if prefix in (*LEARNT, CHURN.labels_prefix, CHURN.staging_prefix):
        return "churn_training", trained
    if prefix.startswith("reports/churn/"):
        return "churn_monitoring", {"day": str(day)}
    scored = prefix in (CHURN.predictions_prefix, CHURN.staged_scores_prefix)
    return "churn_scoring" if scored else "customers_etl", {"day": str(day), "last_day": str(day)}


def test_a_lake_in_order_wakes_nobody(lived_in: Lake, postgres: Any) -> None:
    evidence, decision = checked(lived_in, postgres)

    assert evidence.checked == evidence.partitions > len(DAILY) * len(DAYS)
    assert (evidence.damages, evidence.stray, evidence.unknown) == ((), (), ())
    assert (decision.wakes, decision.lost, decision.sweep) == ((), {}, ())


@pytest.mark.parametrize("kind", DAMAGES)
def test_any_damage_to_any_partition_is_found_and_wakes_who_rebuilds_it(
    lived_in: Lake, postgres: Any, kind: str
) -> None:
    whole = {key: lived_in.read_object(key) or b"" for key in lived_in.keys("")}
    places = [(prefix, DAY) for prefix in (*DAILY, *WEEKLY)]
    places += [(prefix, AS_OF) for prefix in (*LEARNT, CHURN.staging_prefix)]
    for prefix, day in places:
        path = partition(prefix, day)
        key = damage(lived_in, (prefix, day), kind)

        evidence, decision = checked(lived_in, postgres)

        assert {found.path for found in evidence.damages} == {path}, kind
        [wake] = decision.wakes
        assert (wake.dag_id, wake.form) == expected_wake(prefix, day)
        assert wake.heals == (path,)
        lived_in.write_object(key, whole[key])


@pytest.mark.parametrize("prefix", [name for name in DAILY if not name.startswith("staging/")])
def test_a_day_that_is_missing_as_a_whole_is_found_within_a_run_of_days(
    lived_in: Lake, postgres: Any, prefix: str
) -> None:
    _delete_partition(lived_in, prefix, DAY)

    evidence, decision = checked(lived_in, postgres)

    assert {found.path for found in evidence.damages} == {partition(prefix, DAY)}
    assert [(wake.dag_id, wake.form) for wake in decision.wakes] == [expected_wake(prefix, DAY)]


def test_days_of_a_backfill_wake_the_scoring_however_far_back_they_are(
    lived_in: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    first, backfilled = AS_OF - timedelta(days=900), AS_OF - timedelta(days=600)
    for prefix, day in ((CHURN.predictions_prefix, first), (CUSTOMERS.features_prefix, backfilled)):
        lived_in.publish_frame(prefix, day, pl.DataFrame({"x": [str(day)]}), run=run, scratch=tmp_path)

    evidence, _ = checked(lived_in, postgres)

    found = {damage.path for damage in evidence.damages if damage.prefix == CHURN.predictions_prefix}
    assert found == {partition(CHURN.predictions_prefix, backfilled)}


@pytest.mark.parametrize("prefix", ["features/customers", "features/customers/", "/features/", "features"])
def test_a_missing_day_is_found_by_its_prefix_however_its_slashes_are_written(
    lived_in: Lake, postgres: Any, prefix: str
) -> None:
    for layer in (CUSTOMERS.features_prefix, CUSTOMERS.validation_prefix):
        _delete_partition(lived_in, layer, DAY)
    judged = next(day for day in DAYS if day != DAY)
    _delete_partition(lived_in, CUSTOMERS.features_prefix, judged)

    evidence, _ = checked(lived_in, postgres, prefix=prefix)

    assert [found.path for found in evidence.damages] == [partition(CUSTOMERS.features_prefix, judged)]
    assert evidence.checked == evidence.partitions == len(DAYS) - 2


@pytest.mark.parametrize("prefix", [CUSTOMERS.features_prefix, CHURN.predictions_prefix])
def test_what_a_day_lacks_while_it_is_being_made_is_not_missing(
    lived_in: Lake, postgres: Any, prefix: str
) -> None:
    _delete_partition(lived_in, prefix, DAY)
    at_work = scope().model_copy(update={"started_at": datetime.now(UTC) + timedelta(minutes=50)})

    assert maintenance.gather(lived_in, postgres, CATALOG, at_work, "test").damages == ()
    assert len(maintenance.gather(lived_in, postgres, CATALOG, scope(), "test").damages) == 1


def test_a_day_that_never_was_is_not_missing(lived_in: Lake, postgres: Any) -> None:
    for prefix in (*DAILY, *WEEKLY):
        _delete_partition(lived_in, prefix, DAY)

    assert checked(lived_in, postgres)[0].damages == ()


def test_a_rejected_day_is_not_missing(lived_in: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> None:
    fault = CUSTOMERS.tables[0].name
    judge(lived_in, run, tmp_path, DAY, fault=fault)
    _delete_partition(lived_in, CUSTOMERS.raw(fault), DAY)
    for prefix in DAILY:
        if prefix.startswith(("clean/", "features/", "predictions/", "staging/")):
            _delete_partition(lived_in, prefix, DAY)

    assert checked(lived_in, postgres)[0].damages == ()


def test_a_table_is_not_missing_on_days_before_it_first_arrived(
    lived_in: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    newcomer = CUSTOMERS.tables[-1].name
    judge(lived_in, run, tmp_path, DAYS[0], lacks=newcomer)
    for layer in (CUSTOMERS.raw, CUSTOMERS.clean, CUSTOMERS.quarantine):
        _delete_partition(lived_in, layer(newcomer), DAYS[0])

    assert checked(lived_in, postgres)[0].damages == ()


def test_a_form_with_days_checks_these_alone(lived_in: Lake, postgres: Any) -> None:
    for day in DAYS:
        damage(lived_in, (CUSTOMERS.features_prefix, day), "a file changed")

    evidence, _ = checked(lived_in, postgres, days=(DAYS[1], DAYS[2]))

    assert [found.day for found in evidence.damages] == [DAYS[1], DAYS[2]]
    assert evidence.checked < evidence.partitions


def test_older_partitions_are_sampled_and_each_is_checked_sooner_or_later(lived_in: Lake) -> None:
    old = scope(recent_days=1, sample=25).started_at + timedelta(days=40)
    chosen = set()
    for number in range(30):
        until = AS_OF + timedelta(days=40 + number)
        wanted = Scope(until=until, started_at=old, recent_days=1, sample=25)
        partitions, _ = list_partitions(lived_in)
        taken = {partition(one.prefix, one.day) for one in chain(*choose(partitions, wanted))}
        assert len(taken) == 25
        chosen |= taken

    assert chosen == set(partitions)
