"""What a backup has, what it copies, and how long it stays: real PostgreSQL, and a real S3 server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.operations import backup, restore
from include.lifecycle.operations.backup import Origin, expired
from include.lifecycle.operations.backup_records import OBJECTS, name_of
from include.lifecycle.operations.backup_store import BACKUPS, Store
from include.lifecycle.storage.lake import MANIFEST, Lake, RunInfo, partition
from tests.damage import delete, flip
from tests.integration.backup.stacks import DAYS, FEATURES, NOW, RAW, contents, elsewhere, publish, silent, wanted


def test_a_second_backup_copies_only_what_is_new(
    origin: Origin, store: Store, run: RunInfo, tmp_path: Path
) -> None:
    # given
    first = backup.back_up(origin, store, wanted(), NOW)
    copied = contents(store.bucket)
    publish(origin.lake, FEATURES, DAYS[-1] + timedelta(days=1), run, tmp_path)
    written: list[str] = []
    origin.lake.client.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: written.append(params["url_path"]), unique_id="written"
    )

    # when
    second = backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    # then: a file, its manifest, and of what the backup consists
    origin.lake.client.meta.events.unregister("before-call.s3.PutObject", unique_id="written")
    assert len(written) == 3
    assert len(contents(store.bucket)) == len(copied) + 3
    assert set(first.partitions) < set(second.partitions)


def test_half_a_backup_is_none(origin: Origin, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    whole = backup.back_up(origin, store, wanted(), NOW)
    monkeypatch.setattr(Lake, "write_object", _die_at_the_manifest(Lake.write_object))

    # when
    with pytest.raises(OSError, match="killed"):
        backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    # then
    assert store.newest() == whole
    assert store.moments() == [NOW]


def _die_at_the_manifest(write: Any) -> Any:
    def write_object(lake: Lake, key: str, body: bytes) -> None:
        if key.startswith(BACKUPS):
            raise OSError("killed")
        write(lake, key, body)

    return write_object


def test_a_copy_that_is_lost_is_made_again(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)
    delete(store.bucket, made.partitions[3].manifest.object_key)
    delete(store.bucket, made.artifacts[0].object_key)

    again = backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    restore.check(store, again, again.contents())


def test_raw_files_are_kept_only_when_told_and_all_manifests_always(origin: Origin, store: Store) -> None:
    # when
    made = backup.back_up(origin, store, wanted(), NOW)
    told = backup.back_up(origin, store, wanted(data_days={"raw": 4}), NOW + timedelta(hours=1))

    # then
    assert len(made.partitions) == 2 * len(DAYS)
    kept = {one.manifest.key for one in made.partitions if one.has_files}
    assert kept == {f"{partition(FEATURES, day)}/{MANIFEST}" for day in DAYS}
    also = {one.manifest.key for one in told.partitions if one.has_files} - kept
    assert also == {f"{partition(RAW, day)}/{MANIFEST}" for day in DAYS[-3:]}

    # and then
    new = elsewhere(origin)
    restore.restore_lake(store, made, new.lake, silent)
    assert new.lake.days(RAW) == DAYS
    assert new.lake.intact(RAW, DAYS[0]) is None


def test_what_is_damaged_is_taken_from_the_backup_before_or_left_out_and_the_backup_says_so(
    origin: Origin, store: Store, run: RunInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    lake = origin.lake
    before = backup.back_up(origin, store, wanted(), NOW)
    new_day = DAYS[-1] + timedelta(days=1)
    publish(lake, FEATURES, new_day, run, tmp_path)
    flip(lake, next(key for key in lake.keys(partition(FEATURES, new_day)) if not key.endswith(MANIFEST)))
    lake.write_object(f"{partition(FEATURES, DAYS[0])}/{MANIFEST}", b"{")

    # when
    made = backup.back_up(origin, store, wanted(), NOW + timedelta(days=1))

    # then
    assert set(made.partitions) == set(before.partitions)
    [sentence] = made.left_out
    assert sentence.endswith("is missing or damaged.")
    assert str(new_day) in sentence
    [taken] = made.taken_over
    assert taken.endswith(f"{partition(FEATURES, DAYS[0])}/{MANIFEST} cannot be read as a manifest.")
    assert f"Left out of the backup: {sentence}" in caplog.messages
    assert f"Taken from the backup before: {taken}" in caplog.messages


@pytest.mark.parametrize(
    ("ages", "deleted"),
    [
        ([], []),
        ([0], []),
        ([400], []),  # the last one stays, however old
        ([400, 40], [400]),
        ([40, 30, 29, 0], [40]),
        ([30], []),
        ([31, 31, 1], [31, 31]),
    ],
)
def test_backups_are_deleted_by_age_but_never_the_last_one(ages: list[int], deleted: list[int]) -> None:
    moments = [NOW - timedelta(days=age) for age in ages]

    assert expired(moments, NOW, keep_days=30) == [NOW - timedelta(days=age) for age in deleted]


def test_copies_that_no_backup_names_are_deleted_and_all_others_stay(origin: Origin, store: Store) -> None:
    # given
    now = datetime.now(UTC) + timedelta(days=60)
    old = backup.back_up(origin, store, wanted(), now - timedelta(days=31))
    origin.lake.write_object("predictions/churn/latest.json", b'{"day": "2026-03-10"}')
    made = backup.back_up(origin, store, wanted(), now)

    # when
    gone = backup.prune(store, now, keep_days=30)

    # then
    assert gone == [old.moment]
    assert store.moments() == [made.moment]
    assert set(store.sizes()) == {content.sha256 for content in made.contents()}


def test_what_is_no_backup_does_not_hide_those_that_are(origin: Origin, store: Store) -> None:
    made = backup.back_up(origin, store, wanted(), NOW)
    for name in ("read me.txt", "2026-13-45.json"):
        store.bucket.write_object(f"backups/{name}", b"?")

    assert store.moments() == [made.moment]


def test_where_a_backup_cannot_be_read_no_copy_is_deleted(origin: Origin, store: Store) -> None:
    now = datetime.now(UTC) + timedelta(days=60)
    backup.back_up(origin, store, wanted(), now)
    store.bucket.write_object(f"{BACKUPS}{name_of(now + timedelta(days=1))}.json", b"{")
    store.bucket.write_object(f"{OBJECTS}{'0' * 64}", b"of the one that cannot be read")

    backup.prune(store, now, keep_days=30)

    assert "0" * 64 in store.sizes()
