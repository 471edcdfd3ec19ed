"""Backups: databases, lake and model files, copied to another bucket so that they can come back."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from include.lifecycle.operations.backup_records import (
    OBJECTS,
    Backup,
    BackupError,
    BackupSettings,
    Content,
    Copy,
    File,
    PartitionCopy,
    fingerprint,
)
from include.lifecycle.operations.backup_store import Store, backup_key, create
from include.lifecycle.operations.dumps import PostgresServer, dump
from include.lifecycle.storage.lake import (
    MANIFEST,
    CorruptFileError,
    Lake,
    LakeError,
    Manifest,
    file_sha256,
    partition_of,
)

log = logging.getLogger(__name__)

_CONNECTIONS = 8
_ATTEMPTS = 3
# What a backup that is at work has copied is not named by any yet.
_IN_THE_MAKING = timedelta(days=1)


@dataclass(frozen=True)
class Origin:
    """What is backed up. `artifacts` is the bucket of MLflow's, `fernet_key` Airflow's own."""

    lake: Lake
    artifacts: Lake
    server: PostgresServer
    fernet_key: str = field(repr=False)
    code_version: str


def back_up(origin: Origin, store: Store, settings: BackupSettings, now: datetime) -> Backup:
    """Copy all that is not copied yet, then write of what the backup consists.

    The databases come first: what they name is in the lake and among the artifacts by then. What is damaged is
    left out, or taken from the backup before.

    Raises
    ------
    ConnectionError, psycopg2.OperationalError, botocore's errors
        If a service is out of reach.
    DumpError
        If a database cannot be dumped.
    """
    moment = now.astimezone(UTC).replace(microsecond=0)
    create(store.bucket)
    work = _Work(store, settings, moment.date(), store.newest(), store.sizes())
    databases = work.dumps(origin.server)
    partitions, others = work.lake(origin.lake)
    made = Backup(
        moment=moment,
        code_version=origin.code_version,
        fernet=fingerprint(origin.fernet_key),
        databases=databases,
        partitions=tuple(copy for copy, _ in partitions if copy),
        others=others,
        artifacts=work.bucket(origin.artifacts, work.before.artifacts if work.before else ()),
        left_out=tuple(problem for copy, problem in partitions if problem and not copy),
        taken_over=tuple(problem for copy, problem in partitions if problem and copy),
    )
    store.bucket.write_object(backup_key(moment), made.model_dump_json().encode())
    for sentence in made.left_out:
        log.warning("Left out of the backup: %s", sentence)
    for sentence in made.taken_over:
        log.warning("Taken from the backup before: %s", sentence)
    return made


def expired(moments: Sequence[datetime], now: datetime, keep_days: int) -> list[datetime]:
    """The backups that are older than `keep_days`, but never the last one."""
    return [moment for moment in sorted(moments)[:-1] if now - moment > timedelta(days=keep_days)]


def prune(store: Store, now: datetime, keep_days: int) -> list[datetime]:
    """Delete expired backups, and what no backup names any more; returns their moments.

    Where a backup cannot be read, what it names is not known: then no copy is deleted.
    """
    gone = expired(store.moments(), now, keep_days)
    for moment in gone:
        _delete(store.bucket, backup_key(moment))
    try:
        named = {one.object_key for moment in store.moments() for one in store.read(moment).contents()}
    except BackupError as error:
        log.warning("No copy is deleted: %s", error)
        return gone
    for item in list(store.bucket.objects(OBJECTS)):
        if item["Key"] not in named and now - item["LastModified"] > _IN_THE_MAKING:
            _delete(store.bucket, item["Key"])
    return gone


@dataclass(frozen=True)
class _Work:
    """A backup in the making: `before` is the one before it, `copied` the bytes by hash of what is copied."""

    store: Store
    settings: BackupSettings
    today: date
    before: Backup | None
    copied: dict[str, int]

    def dumps(self, server: PostgresServer) -> dict[str, Content]:
        """Dump the databases and copy the dumps."""
        with TemporaryDirectory() as folder:
            files = dump(server, self.settings.databases, Path(folder))
            return {name: self.put(file) for name, file in files.items()}

    def lake(self, lake: Lake) -> tuple[list[tuple[PartitionCopy | None, str]], tuple[Copy, ...]]:
        """Copy partitions, each with what is wrong with it in the lake, if anything, and what lies beside them."""
        before = {one.manifest.key: one for one in self.before.partitions} if self.before else {}
        listed = list(lake.objects(""))
        manifests = [item for item in listed if item["Key"].endswith(f"/{MANIFEST}") and partition_of(item["Key"])]
        singles = [item for item in listed if partition_of(item["Key"]) is None]
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            copies = list(pool.map(lambda item: self._partition(lake, item, before.get(item["Key"])), manifests))
        return copies, self._objects(lake, singles, self.before.others if self.before else ())

    def bucket(self, bucket: Lake, before: Iterable[Copy]) -> tuple[Copy, ...]:
        """Copy all objects of a bucket."""
        return self._objects(bucket, list(bucket.objects("")), before)

    def put(self, path: Path) -> Content:
        """Copy a file unless its bytes are there."""
        content = Content(bytes=path.stat().st_size, sha256=file_sha256(path))
        if not self.has(content):
            self.store.bucket.upload(path, content.object_key)
            self.copied[content.sha256] = content.bytes
        return content

    def has(self, content: Content) -> bool:
        """Whether these bytes are copied."""
        return self.copied.get(content.sha256) == content.bytes

    def _objects(
        self, bucket: Lake, items: Sequence[Mapping[str, Any]], before: Iterable[Copy]
    ) -> tuple[Copy, ...]:
        known = {copy.key: copy for copy in before}
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            copies = pool.map(lambda item: self._object(bucket, item, known.get(item["Key"])), items)
            return tuple(copy for copy in copies if copy is not None)

    def _object(self, bucket: Lake, item: Mapping[str, Any], before: Copy | None) -> Copy | None:
        if before is not None and before.is_of(item) and self.has(before):
            return before
        with TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            return self._copy(item, path) if bucket.save(item["Key"], path, item["Size"]) else None

    def _copy(self, item: Mapping[str, Any], path: Path) -> Copy:
        content = self.put(path)
        seen = {"key": item["Key"], "etag": item["ETag"], "written": item["LastModified"]}
        return Copy(**content.model_dump(), **seen)

    def _partition(
        self, lake: Lake, item: Mapping[str, Any], before: PartitionCopy | None
    ) -> tuple[PartitionCopy | None, str]:
        """Copy a partition, else take the copy of the backup before; and say what is wrong with it in the lake.

        What is gone by now has no copy, and nothing is wrong.
        """
        place = partition_of(item["Key"])
        assert place is not None  # the caller chose such
        has_files = self.settings.keeps_files(place.prefix, place.day, self.today)
        if before is not None and before.manifest.is_of(item):
            again = before.model_copy(update={"has_files": has_files})
            if all(map(self.has, again.contents())):
                return again, ""
        problem = ""
        for _ in range(_ATTEMPTS):
            # It may be published again meanwhile, and its old files swept.
            try:
                return self._read_partition(lake, item, has_files=has_files), ""
            except LakeError as error:
                problem = str(error)
        is_kept = before is not None and all(map(self.has, before.contents()))
        return (before if is_kept else None), problem

    def _read_partition(self, lake: Lake, item: Mapping[str, Any], *, has_files: bool) -> PartitionCopy | None:
        key = item["Key"]
        folder = key.removesuffix(MANIFEST)
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / MANIFEST
            if not lake.save(key, path, item["Size"]):
                return None
            manifest = _manifest(path, lake.uri(key))
            files = tuple(
                File(key=folder + entry.name, bytes=entry.bytes, sha256=entry.sha256) for entry in manifest.files
            )
            for file in files if has_files else ():
                if not self.has(file):
                    self._copy_file(lake, file, Path(scratch) / "file")
            return PartitionCopy(manifest=self._copy(item, path), files=files, has_files=has_files)

    def _copy_file(self, lake: Lake, file: File, path: Path) -> None:
        if not lake.save(file.key, path, file.bytes) or file_sha256(path) != file.sha256:
            raise CorruptFileError(f"{lake.uri(file.key)} is missing or damaged.")
        self.put(path)


def _manifest(path: Path, uri: str) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CorruptFileError(f"{uri} cannot be read as a manifest.") from error


def _delete(bucket: Lake, key: str) -> None:
    bucket.client.delete_object(Bucket=bucket.bucket, Key=key)
