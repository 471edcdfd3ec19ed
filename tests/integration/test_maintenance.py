"""Maintenance finds all damage without being told where, and wakes who makes it again; on a real S3 server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle import maintenance
from include.lifecycle.lake import MANIFEST, Lake, LocalFile, Manifest, RunInfo, partition
from include.lifecycle.maintenance import Catalog, Decision, Evidence, Scope
from include.models.churn import CHURN

DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(4)]
DAY, AS_OF = DAYS[1], DAYS[3]
VERSION = "/version=1"
DAILY = [
    *(layer(table.name) for table in CUSTOMERS.tables for layer in (CUSTOMERS.raw, CUSTOMERS.clean)),
    *(CUSTOMERS.quarantine(table.name) for table in CUSTOMERS.tables),
    CUSTOMERS.features_prefix,
    CUSTOMERS.validation_prefix,
    CHURN.predictions_prefix,
    f"{CHURN.staging_prefix}_scores",
]
WEEKLY = [CHURN.report_prefix("drift"), CHURN.report_prefix("performance"), CHURN.labels_prefix]
LEARNT = [f"references/churn{VERSION}", CHURN.report_prefix("model_card") + VERSION]
CATALOG = Catalog([CUSTOMERS], [CHURN], maintenance.makers([CUSTOMERS], [CHURN]))
TRAINING = {"trials_budget": 4, "seed": 7, "reason": "first life", "code_version": "test", "data": {}}


def scope(**changes: Any) -> Scope:
    """A run a quarter of an hour from now: nothing counts as being in the making."""
    started_at = datetime.now(UTC) + timedelta(minutes=15)
    return Scope(until=AS_OF, started_at=started_at, **changes)


@pytest.fixture
def lived_in(lake: Lake, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with a partition of each kind."""
    places = [(prefix, day) for prefix in DAILY for day in DAYS] + [(prefix, DAY) for prefix in WEEKLY]
    for prefix, day in [*places, *((prefix, AS_OF) for prefix in LEARNT)]:
        lake.publish_frame(prefix, day, pl.DataFrame({"x": [prefix, str(day)]}), run=run, scratch=tmp_path)
    record = tmp_path / "training.json"
    record.write_text(json.dumps({"as_of": str(AS_OF), **TRAINING}))
    model = tmp_path / "model.skops"
    model.write_bytes(b"a model")
    lake.publish(CHURN.staging_prefix, AS_OF, [LocalFile(model), LocalFile(record)], run=run)
    write_latest(lake)
    return lake


def write_latest(lake: Lake) -> None:
    manifest = lake.manifest(CHURN.predictions_prefix, DAYS[-1])
    content = {
        "day": str(DAYS[-1]),
        "manifest": f"{partition(CHURN.predictions_prefix, DAYS[-1])}/{MANIFEST}",
        "files": [file.model_dump() for file in manifest.files],
    }
    lake.write_object(f"{CHURN.predictions_prefix}/latest.json", json.dumps(content).encode())


def checked(lake: Lake, **changes: Any) -> tuple[Evidence, Decision]:
    evidence = maintenance.gather(lake, CATALOG, scope(**changes), "test")
    return evidence, maintenance.decide(evidence, CATALOG, scope(**changes))


def _delete(lake: Lake, key: str) -> None:
    lake.client.delete_object(Bucket=lake.bucket, Key=key)


def _flip(lake: Lake, key: str) -> None:
    body = lake.read_object(key) or b""
    lake.write_object(key, bytes([body[0] ^ 1]) + body[1:])


def _file(manifest: Manifest) -> str:
    return manifest.files[0].name


DAMAGES: dict[str, tuple[Callable[[Lake, str], None], Callable[[Manifest], str]]] = {
    "a file deleted": (_delete, _file),
    "a file changed, same length": (_flip, _file),
    "the manifest deleted": (_delete, lambda _: MANIFEST),
    "the manifest changed": (_flip, lambda _: MANIFEST),
}


def expected_wake(prefix: str, day: date) -> tuple[str, dict[str, Any]]:
    """The DAG that makes a partition, and the form that makes it again."""
    trained = {"day": str(AS_OF), "trials": 4, "seed": 7, "reason": "first life"}
    if prefix in (*LEARNT, CHURN.labels_prefix, CHURN.staging_prefix):
        return "churn_training", trained
    if prefix.startswith("reports/churn/"):
        return "churn_monitoring", {"day": str(day)}
    scored = prefix in (CHURN.predictions_prefix, f"{CHURN.staging_prefix}_scores")
    return "churn_scoring" if scored else "customers_etl", {"day": str(day), "last_day": str(day)}


def test_a_lake_in_order_wakes_nobody(lived_in: Lake) -> None:
    evidence, decision = checked(lived_in)

    assert evidence.checked == evidence.partitions > len(DAILY) * len(DAYS)
    assert (evidence.damages, evidence.stray, evidence.unknown) == ((), (), ())
    assert (decision.wakes, decision.lost, decision.sweep) == ((), {}, ())


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_to_any_kind_of_partition_is_found_and_wakes_who_makes_it(lived_in: Lake, damage: str) -> None:
    whole = {key: lived_in.read_object(key) or b"" for key in lived_in.keys("")}
    places = [(prefix, DAY) for prefix in (*DAILY, *WEEKLY)]
    places += [(prefix, AS_OF) for prefix in (*LEARNT, CHURN.staging_prefix)]
    harm, choose = DAMAGES[damage]
    for prefix, day in places:
        path = partition(prefix, day)
        key = f"{path}/{choose(lived_in.manifest(prefix, day))}"
        harm(lived_in, key)

        evidence, decision = checked(lived_in)

        assert {found.path for found in evidence.damages} == {path}, damage
        [wake] = decision.wakes
        assert (wake.dag_id, wake.form) == expected_wake(prefix, day)
        assert wake.heals == (path,)
        lived_in.write_object(key, whole[key])


@pytest.mark.parametrize("prefix", [name for name in DAILY if not name.startswith("staging/")])
def test_a_day_that_is_missing_as_a_whole_is_found_within_a_run_of_days(lived_in: Lake, prefix: str) -> None:
    for key in lived_in.keys(partition(prefix, DAY)):
        _delete(lived_in, key)

    evidence, decision = checked(lived_in)

    assert {found.path for found in evidence.damages} == {partition(prefix, DAY)}
    assert [(wake.dag_id, wake.form) for wake in decision.wakes] == [expected_wake(prefix, DAY)]


def test_a_rejected_day_is_not_missing(lived_in: Lake) -> None:
    for prefix in DAILY:
        if prefix.startswith(("clean/", "features/", "predictions/", "staging/")):
            for key in lived_in.keys(partition(prefix, DAY)):
                _delete(lived_in, key)

    assert checked(lived_in)[0].damages == ()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"day": "2026-03-01"}', None])
def test_a_damaged_latest_wakes_the_scoring_of_the_newest_day(lived_in: Lake, body: bytes | None) -> None:
    key = f"{CHURN.predictions_prefix}/latest.json"
    _delete(lived_in, key) if body is None else lived_in.write_object(key, body)

    evidence, decision = checked(lived_in)

    assert ["latest.json does not name" in found.problem for found in evidence.damages] == [True]
    assert [(wake.dag_id, wake.form["day"]) for wake in decision.wakes] == [("churn_scoring", str(DAYS[-1]))]
    write_latest(lived_in)
    assert maintenance.remaining(lived_in, CATALOG, scope(), evidence.damages) == []


def test_damaged_days_that_follow_each_other_are_one_run_and_the_etl_comes_first(lived_in: Lake) -> None:
    for prefix, day in (
        (CHURN.predictions_prefix, DAYS[0]),
        (CUSTOMERS.features_prefix, DAYS[0]),
        (CUSTOMERS.validation_prefix, DAYS[1]),
        (CUSTOMERS.features_prefix, DAYS[3]),
    ):
        _delete(lived_in, f"{partition(prefix, day)}/{MANIFEST}")

    _, decision = checked(lived_in)

    assert [(wake.dag_id, wake.form) for wake in decision.wakes] == [
        ("customers_etl", {"day": str(DAYS[0]), "last_day": str(DAYS[1])}),
        ("customers_etl", {"day": str(DAYS[3]), "last_day": str(DAYS[3])}),
        ("churn_scoring", {"day": str(DAYS[0]), "last_day": str(DAYS[0])}),
    ]


def test_a_healing_that_did_not_help_is_not_tried_again_unless_somebody_asks(lived_in: Lake, run: RunInfo) -> None:
    path = partition(CUSTOMERS.features_prefix, DAY)
    _delete(lived_in, f"{path}/{MANIFEST}")
    evidence, decision = checked(lived_in)
    left = maintenance.remaining(lived_in, CATALOG, scope(), evidence.damages)

    outcome = maintenance.conclude(evidence, decision, left, 0, AS_OF)
    verdict = maintenance.publish(lived_in, scope(), evidence, decision, outcome, run)

    assert verdict.status == "bad"
    assert outcome.tried == {path: AS_OF}
    later = checked(lived_in)[1]
    assert later.wakes == ()
    assert f"was run for it on {AS_OF} and did not help" in later.lost[path]
    assert [wake.dag_id for wake in checked(lived_in, prefix="features/")[1].wakes] == ["customers_etl"]


def test_what_the_code_at_work_would_make_otherwise_is_not_made_again(lived_in: Lake) -> None:
    path = partition(LEARNT[0], AS_OF)
    _delete(lived_in, f"{path}/{MANIFEST}")

    evidence = maintenance.gather(lived_in, CATALOG, scope(), "newer")
    decision = maintenance.decide(evidence, CATALOG, scope())

    assert decision.wakes == ()
    assert "made by code test; the code at work, newer, would make another model" in decision.lost[path]


def test_unreferenced_files_are_swept_once_they_are_old_and_nothing_else(lived_in: Lake) -> None:
    folder = partition(CUSTOMERS.features_prefix, DAY)
    broken = partition(CUSTOMERS.features_prefix, DAYS[0])
    lived_in.write_object(f"{folder}/part-0123456789abcdef.parquet", b"12345")
    lived_in.write_object(f"{broken}/part-0123456789abcdef.parquet", b"12345")
    lived_in.write_object(f"{broken}/{MANIFEST}", b"{")
    lived_in.write_object("notes/mine.txt", b"mine")
    before = set(lived_in.keys(""))

    assert checked(lived_in)[1].sweep == ()
    in_a_month = scope().model_copy(update={"started_at": scope().started_at + timedelta(days=20)})
    evidence = maintenance.gather(lived_in, CATALOG, in_a_month, "test")
    decision = maintenance.decide(evidence, CATALOG, in_a_month)
    freed = maintenance.sweep(lived_in, decision.sweep)

    assert evidence.unknown == ("notes/mine.txt",)
    gone = before - set(lived_in.keys(""))
    staged = {key for key in before if key.startswith("staging/")}
    assert gone == {f"{folder}/part-0123456789abcdef.parquet"} | staged
    assert freed == sum(file.bytes for file in decision.sweep)


def test_older_partitions_are_sampled_and_all_have_their_turn(lived_in: Lake) -> None:
    old = scope(recent_days=1, sample=25).started_at + timedelta(days=40)
    chosen = set()
    for number in range(30):
        until = AS_OF + timedelta(days=40 + number)
        wanted = Scope(until=until, started_at=old, recent_days=1, sample=25)
        partitions, _ = maintenance._listed(lived_in, wanted)
        taken = {partition(one.prefix, one.day) for one in maintenance._chosen(partitions, wanted)}
        assert len(taken) == 25
        chosen |= taken

    assert chosen == set(partitions)


def test_the_page_says_the_verdict_first(lived_in: Lake, run: RunInfo, tmp_path: Path) -> None:
    _flip(lived_in, f"{partition(CUSTOMERS.features_prefix, DAY)}/{MANIFEST}")
    evidence, decision = checked(lived_in)

    maintenance.publish(lived_in, scope(), evidence, decision, None, run)

    [page] = lived_in.download(maintenance.REPORT, AS_OF, tmp_path, "index.html")
    text = page.read_text()
    assert "1 partition is damaged or missing" in text
    assert "makes it again" in text
