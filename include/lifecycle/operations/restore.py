"""Restoring a backup: databases as they were, and of the lake and the model files what is missing or damaged.

Nothing that is intact is overwritten in the lake; the databases are loaded beside those that are there, and take
their place when all of them are loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from include.lifecycle.operations import dumps
from include.lifecycle.operations.backup_records import (
    Backup,
    BackupError,
    Content,
    Copy,
    File,
    PartitionCopy,
    fingerprint,
)
from include.lifecycle.operations.backup_store import Store, create
from include.lifecycle.operations.dumps import PostgresServer
from include.lifecycle.storage.lake import Lake, partition_of

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with what is restored, how much of it is done, and how much there is."""

_CONNECTIONS = 8


def check(store: Store, backup: Backup, wanted: Iterable[Content]) -> None:
    """Refuse a backup of which something is missing, before anything is changed.

    Raises
    ------
    BackupError
        If a copy is missing, or has another size.
    """
    sizes = store.sizes()
    missing = sorted({one.object_key for one in wanted if sizes.get(one.sha256) != one.bytes})
    if missing:
        raise BackupError(
            f"The backup of {backup.name} is incomplete: {len(missing)} of its copies are missing or truncated, "
            f"such as {store.bucket.uri(missing[0])}. Take another one."
        )


def check_key(backup: Backup, fernet_keys: str) -> None:
    """Refuse a backup whose passwords none of Airflow's keys (with commas between them) decrypts.

    Raises
    ------
    BackupError
        If it was made with another key.
    """
    if backup.fernet and backup.fernet not in map(fingerprint, fernet_keys.split(",")):
        raise BackupError(
            f"The backup of {backup.name} was made with another Fernet key (fingerprint {backup.fernet}), so "
            "Airflow could not read its connections: put back the secrets file of the stack that was backed up."
        )


def check_empty(server: PostgresServer, databases: Iterable[str]) -> None:
    """Refuse a stack that has data.

    Raises
    ------
    BackupError
        If a database has tables.
    """
    found = {name: dumps.tables(server, name) for name in databases}
    if any(found.values()):
        counts = ", ".join(f"{name} ({count})" for name, count in found.items() if count)
        raise BackupError(
            f"This stack has data: there are tables in {counts}. Restore into an empty stack, or say with "
            "REPLACE=1 that these databases are to be replaced by those of the backup."
        )


def restore_databases(store: Store, backup: Backup, server: PostgresServer, progress: Progress) -> None:
    """Put the databases of the backup in the place of those of the same names, if there are any."""
    with TemporaryDirectory() as folder:
        for done, (name, content) in enumerate(backup.databases.items()):
            progress("databases", done, len(backup.databases))
            dumps.load(server, name, store.fetch(content, Path(folder)))
    dumps.swap_in(server, list(backup.databases))
    progress("databases", len(backup.databases), len(backup.databases))


def restore_lake(store: Store, backup: Backup, lake: Lake, progress: Progress) -> int:
    """Put back what the lake lacks, and partitions that are damaged; returns the number of objects.

    Manifests follow their files, in the order in which they were written: which of two partitions is the younger
    one says whether one was made of the other.
    """
    create(lake)
    present = set(lake.keys(""))
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        wanted = list(pool.map(lambda one: _wanted(lake, one, present), backup.partitions))
    files = [file for some in wanted for file in some if isinstance(file, File)]
    manifests = [copy for some in wanted for copy in some if isinstance(copy, Copy)]
    manifests += [copy for copy in backup.others if copy.key not in present]
    total = len(files) + len(manifests)
    done = _put_all(store, lake, files, lambda count: progress("files of the lake", count, total))
    for copy in sorted(manifests, key=lambda copy: copy.written):
        _put(store, lake, copy)
        done += 1
        progress("files of the lake", done, total)
    return total


def restore_artifacts(store: Store, backup: Backup, bucket: Lake, progress: Progress) -> int:
    """Put back the model files that are missing or others now; returns their number."""
    create(bucket)
    present = {item["Key"]: (item["Size"], item["ETag"]) for item in bucket.objects("")}
    wanted = [copy for copy in backup.artifacts if present.get(copy.key) != (copy.bytes, copy.etag)]
    return _put_all(store, bucket, wanted, lambda count: progress("model files", count, len(wanted)))


def _wanted(lake: Lake, one: PartitionCopy, present: Collection[str]) -> list[File | Copy]:
    """What a partition needs: nothing where it is intact, its manifest alone where its files were left out."""
    if one.manifest.key in present:
        place = partition_of(one.manifest.key)
        if not one.has_files or (place is not None and lake.intact(place.prefix, place.day) is not None):
            return []
    return [*(one.files if one.has_files else ()), one.manifest]


def _put_all(store: Store, bucket: Lake, wanted: Collection[File | Copy], progress: Callable[[int], None]) -> int:
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for count, _ in enumerate(pool.map(lambda one: _put(store, bucket, one), wanted), 1):
            progress(count)
    return len(wanted)


def _put(store: Store, bucket: Lake, one: File | Copy) -> None:
    with TemporaryDirectory() as folder:
        bucket.upload(store.fetch(one, Path(folder)), one.key)
