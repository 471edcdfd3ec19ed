"""What no manifest names is deleted once it is old, and nothing else; on a real S3 server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from include.datasets.customers import CUSTOMERS
from include.lifecycle.operations import maintenance, maintenance_policy
from include.lifecycle.operations.maintenance_policy import StrayFile
from include.lifecycle.storage.lake import MANIFEST, Lake, partition
from include.models.churn import CHURN
from tests.damage import delete
from tests.integration.maintenance.lakes import AS_OF, CATALOG, DAY, DAYS, checked, scope


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


def test_a_sweep_that_was_cut_short_is_finished_by_the_next_one(lived_in: Lake, postgres: Any) -> None:
    in_a_month = scope().model_copy(update={"started_at": scope().started_at + timedelta(days=20)})
    delete(lived_in, f"{partition(CHURN.staging_prefix, AS_OF)}/{MANIFEST}")

    evidence = maintenance.gather(lived_in, postgres, CATALOG, in_a_month, "test")
    decision = maintenance_policy.decide(evidence, CATALOG, in_a_month)
    maintenance.sweep(lived_in, decision.sweep)

    assert (evidence.damages, decision.wakes) == ((), ())
    assert lived_in.keys("staging/") == []
