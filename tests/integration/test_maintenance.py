"""Maintenance finds all damage without being told where, and wakes who rebuilds it; on a real S3 server."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.ingestion.verdicts import DayVerdict, TableVerdict
from include.lifecycle.operations import maintenance, maintenance_policy
from include.lifecycle.operations.lake_listing import choose, list_partitions
from include.lifecycle.operations.maintenance_page import render_maintenance, verdict_of
from include.lifecycle.operations.maintenance_policy import Catalog, Decision, Evidence, Scope, StrayFile
from include.lifecycle.scoring.prediction_files import predictions_table
from include.lifecycle.storage import latest, warehouse
from include.lifecycle.storage.lake import MANIFEST, Lake, LocalFile, RunInfo, partition
from include.models.churn import CHURN
from tests.damage import DAMAGES, damage, delete, flip
from tests.training_records import training_record

DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(4)]
DAY, AS_OF = DAYS[1], DAYS[3]
VERSION = "/version=1"
TABLE = predictions_table(CHURN)
DAILY = [
    *(layer(table.name) for table in CUSTOMERS.tables for layer in (CUSTOMERS.raw, CUSTOMERS.clean)),
    *(CUSTOMERS.quarantine(table.name) for table in CUSTOMERS.tables),
    CUSTOMERS.features_prefix,
    CUSTOMERS.validation_prefix,
    CHURN.predictions_prefix,
    CHURN.staged_scores_prefix,
]
WEEKLY = [CHURN.report_prefix("drift"), CHURN.report_prefix("performance"), CHURN.labels_prefix]
LEARNT = [f"references/churn{VERSION}", CHURN.report_prefix("model_card") + VERSION]
CATALOG = Catalog([CUSTOMERS], [CHURN], maintenance_policy.makers([CUSTOMERS], [CHURN]))


def scope(**changes: Any) -> Scope:
    """A run two hours from now: nothing counts as being in the making."""
    started_at = datetime.now(UTC) + timedelta(hours=2)
    return Scope(until=AS_OF, started_at=started_at, **changes)


@pytest.fixture
def lived_in(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with a partition of each kind, and a warehouse that was loaded from its predictions."""
    tables = [prefix for prefix in DAILY if prefix != CUSTOMERS.validation_prefix]
    places = [(prefix, day) for prefix in tables for day in DAYS] + [(prefix, DAY) for prefix in WEEKLY]
    for prefix, day in [*places, *((prefix, AS_OF) for prefix in LEARNT)]:
        lake.publish_frame(prefix, day, pl.DataFrame({"x": [prefix, str(day)]}), run=run, scratch=tmp_path)
    for day in DAYS:
        judge(lake, run, tmp_path, day)
    stage(lake, run, tmp_path, seed=7)
    write_latest(lake)
    load(lake, postgres, DAYS)
    return lake


def load(lake: Lake, postgres: Any, days: Iterable[date]) -> None:
    """Load days of predictions into the warehouse as publishing does."""
    written = lake.written(CHURN.predictions_prefix)
    for day in days:
        manifest = lake.manifest(CHURN.predictions_prefix, day)
        rows = pl.LazyFrame({"customer_id": ["C1"]})
        with warehouse.replacing(postgres, TABLE, day, rows, key=CUSTOMERS.key) as cursor:
            found = warehouse.Load(manifest.digest, written[day])
            warehouse.note_load(cursor, TABLE, day, found, manifest.model_dump_json())


def stage(lake: Lake, run: RunInfo, folder: Path, *, seed: int, version: int | None = None) -> None:
    """Stage a training as of AS_OF, and keep its record for the version that it became."""
    record = folder / "training.json"
    training_record(as_of=AS_OF, trials_budget=4, reason="first life", seed=seed).write(record)
    model = folder / "model.skops"
    model.write_bytes(f"a model of seed {seed}".encode())
    lake.publish(CHURN.staging_prefix, AS_OF, [LocalFile(model), LocalFile(record)], run=run)
    if version is not None:
        lake.publish(CHURN.reference_prefix(version), AS_OF, [LocalFile(record)], run=run)


def judge(lake: Lake, run: RunInfo, folder: Path, day: date, *, lacks: str = "", fault: str = "") -> None:
    """Publish a day's verdict: on all tables but `lacks`, rejected if `fault` could not be extracted."""
    facts = dict.fromkeys(("lines", "rows", "good", "good_lines", "quarantined", "quarantined_lines"), 0)
    tables = {
        table.name: TableVerdict(
            counted=0,
            **facts,
            rules={},
            problems=(f"{fault} could not be extracted.",) if table.name == fault else (),
            warnings=(),
        )
        for table in CUSTOMERS.tables
        if table.name != lacks
    }
    verdict = folder / "verdict.json"
    verdict.write_text(DayVerdict(day=day, accepted=not fault, stale=False, tables=tables).model_dump_json())
    read = {partition(CUSTOMERS.raw(name), day): "a" for name in tables if name != fault}
    lake.publish(CUSTOMERS.validation_prefix, day, [LocalFile(verdict)], run=run, inputs=read)


def write_latest(lake: Lake) -> None:
    manifest = lake.manifest(CHURN.predictions_prefix, DAYS[-1])
    named = latest.Latest.of(CHURN.predictions_prefix, DAYS[-1], manifest, manifest.files[0].plain_name)
    lake.write_object(latest.key(CHURN.predictions_prefix), named.model_dump_json().encode())


def checked(lake: Lake, postgres: Any, **changes: Any) -> tuple[Evidence, Decision]:
    evidence = maintenance.gather(lake, postgres, CATALOG, scope(**changes), "test")
    return evidence, maintenance_policy.decide(evidence, CATALOG, scope(**changes))


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


def test_a_prefix_that_nothing_has_is_no_whole_lake(lived_in: Lake, postgres: Any, run: RunInfo) -> None:
    wanted = scope(prefix="features/custom")
    evidence = maintenance.gather(lived_in, postgres, CATALOG, wanted, "test")

    verdict = maintenance.publish(
        lived_in, wanted, evidence, maintenance_policy.decide(evidence, CATALOG, wanted), None, run
    )

    assert (verdict.status, verdict.headline) == ("neutral", "Nothing was checked")


@pytest.mark.parametrize("prefix", [CUSTOMERS.features_prefix, CHURN.predictions_prefix])
def test_what_a_day_lacks_while_it_is_being_made_is_not_missing(
    lived_in: Lake, postgres: Any, prefix: str
) -> None:
    _delete_partition(lived_in, prefix, DAY)
    at_work = scope().model_copy(update={"started_at": datetime.now(UTC) + timedelta(minutes=50)})

    assert maintenance.gather(lived_in, postgres, CATALOG, at_work, "test").damages == ()
    assert len(maintenance.gather(lived_in, postgres, CATALOG, scope(), "test").damages) == 1


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


def test_unreferenced_files_are_swept_once_they_are_old_and_nothing_else(lived_in: Lake, postgres: Any) -> None:
    folder = partition(CUSTOMERS.features_prefix, DAY)
    broken = partition(CUSTOMERS.features_prefix, DAYS[0])
    lived_in.write_object(f"{folder}/part-0123456789abcdef.parquet", b"12345")
    lived_in.write_object(f"{broken}/part-0123456789abcdef.parquet", b"12345")
    lived_in.write_object(f"{broken}/{MANIFEST}", b"{")
    lived_in.write_object("notes/mine.txt", b"mine")
    before = set(lived_in.keys(""))

    assert checked(lived_in, postgres)[1].sweep == ()
    in_a_month = scope().model_copy(update={"started_at": scope().started_at + timedelta(days=20)})
    evidence = maintenance.gather(lived_in, postgres, CATALOG, in_a_month, "test")
    decision = maintenance_policy.decide(evidence, CATALOG, in_a_month)
    freed = maintenance.sweep(lived_in, decision.sweep)

    assert evidence.unknown == ("notes/mine.txt",)
    gone = before - set(lived_in.keys(""))
    staged = {key for key in before if key.startswith("staging/")}
    assert gone == {f"{folder}/part-0123456789abcdef.parquet"} | staged
    assert freed == sum(file.bytes for file in decision.sweep)


def test_a_file_that_was_written_again_or_is_named_by_now_is_not_swept(lived_in: Lake) -> None:
    path, now, day = partition(CUSTOMERS.features_prefix, DAY), datetime.now(UTC), timedelta(days=1)
    named = f"{path}/{lived_in.manifest(CUSTOMERS.features_prefix, DAY).files[0].name}"
    lived_in.write_object(f"{path}/again.bin", b"new")

    freed = maintenance.sweep(
        lived_in,
        [
            StrayFile(key=f"{path}/again.bin", bytes=3, written=now - day),
            StrayFile(key=named, bytes=3, written=now + day),
        ],
    )

    assert freed == 0
    assert {named, f"{path}/again.bin"} <= set(lived_in.keys(path))


def test_a_form_with_days_checks_these_alone(lived_in: Lake, postgres: Any) -> None:
    for day in DAYS:
        damage(lived_in, (CUSTOMERS.features_prefix, day), "a file changed")

    evidence, _ = checked(lived_in, postgres, days=(DAYS[1], DAYS[2]))

    assert [found.day for found in evidence.damages] == [DAYS[1], DAYS[2]]
    assert evidence.checked < evidence.partitions


def test_a_sweep_that_was_cut_short_is_finished_by_the_next_one(lived_in: Lake, postgres: Any) -> None:
    in_a_month = scope().model_copy(update={"started_at": scope().started_at + timedelta(days=20)})
    delete(lived_in, f"{partition(CHURN.staging_prefix, AS_OF)}/{MANIFEST}")

    evidence = maintenance.gather(lived_in, postgres, CATALOG, in_a_month, "test")
    decision = maintenance_policy.decide(evidence, CATALOG, in_a_month)
    maintenance.sweep(lived_in, decision.sweep)

    assert (evidence.damages, decision.wakes) == ((), ())
    assert lived_in.keys("staging/") == []


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


@pytest.mark.parametrize("asked", [{"prefix": "features"}, {"days": (DAY, DAY)}, {"dry_run": True}])
def test_a_report_that_somebody_asked_for_does_not_replace_that_on_the_whole_lake(
    lived_in: Lake, postgres: Any, run: RunInfo, asked: dict[str, Any]
) -> None:
    maintenance.publish(lived_in, scope(), *checked(lived_in, postgres), None, run)
    whole_lake = lived_in.manifest(maintenance_policy.REPORT, AS_OF)

    maintenance.publish(lived_in, scope(**asked), *checked(lived_in, postgres, **asked), None, run)

    assert lived_in.manifest(maintenance_policy.REPORT, AS_OF) == whole_lake
    assert (
        maintenance.read_report(lived_in, scope(**asked).report, AS_OF).scope.report != maintenance_policy.REPORT
    )


def test_a_run_that_compared_nothing_does_not_call_the_lake_good(lived_in: Lake, postgres: Any) -> None:
    never = scope(days=(date(2001, 1, 1), date(2001, 1, 1)))
    evidence = maintenance.gather(lived_in, postgres, CATALOG, never, "test")
    decision = maintenance_policy.decide(evidence, CATALOG, never)

    verdict = verdict_of(never, evidence, decision, None)

    assert (verdict.status, verdict.headline) == ("neutral", "Nothing was checked")


def test_a_dry_run_does_not_claim_to_have_done_anything(lived_in: Lake, postgres: Any) -> None:
    flip(lived_in, f"{partition(CUSTOMERS.features_prefix, DAY)}/{MANIFEST}")
    lived_in.write_object(f"{partition(CUSTOMERS.validation_prefix, DAY)}/stray.txt", b"x")
    dry = scope(dry_run=True).model_copy(update={"started_at": datetime.now(UTC) + timedelta(days=8)})
    evidence = maintenance.gather(lived_in, postgres, CATALOG, dry, "test")
    decision = maintenance_policy.decide(evidence, CATALOG, dry)

    verdict = verdict_of(dry, evidence, decision, None)
    html = render_maintenance(dry, verdict, evidence, decision, None)

    assert "Dry run: nothing was done; it would have started 1 run for 1 of them." in verdict.reason
    assert "would rebuild it." in html
    assert "would be deleted" in html


def test_the_page_says_the_verdict_first(lived_in: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> None:
    flip(lived_in, f"{partition(CUSTOMERS.features_prefix, DAY)}/{MANIFEST}")
    evidence, decision = checked(lived_in, postgres)

    maintenance.publish(lived_in, scope(), evidence, decision, None, run)

    [page] = lived_in.download(maintenance_policy.REPORT, AS_OF, tmp_path, "index.html")
    text = page.read_text()
    assert "1 partition is damaged or missing" in text
    assert "rebuilds it" in text


@pytest.mark.parametrize(
    ("number", "headline"),
    [
        (1, "The damaged or missing partition was healed"),
        (2, "All 2 damaged or missing partitions were healed"),
    ],
)
def test_the_page_says_how_many_partitions_were_healed(
    lived_in: Lake, postgres: Any, run: RunInfo, number: int, headline: str
) -> None:
    for prefix in (CUSTOMERS.features_prefix, CUSTOMERS.clean("invoices"))[:number]:
        flip(lived_in, f"{partition(prefix, DAY)}/{MANIFEST}")
    evidence, decision = checked(lived_in, postgres)
    outcome = maintenance_policy.conclude(evidence, decision, [], 0, AS_OF)

    verdict = maintenance.publish(lived_in, scope(), evidence, decision, outcome, run)

    assert verdict.headline == headline
    published = maintenance.read_report(lived_in, maintenance_policy.REPORT, AS_OF)
    assert (published.verdict, published.decision, published.outcome) == (verdict, decision, outcome)
