"""Backups: databases, lake and model files, copied to another bucket so that they can come back.

The bucket has `objects/<sha256>`, what was copied, once however many backups name it, and
`backups/<moment>.json`, of what each backup consists. That is written last, so that half a backup is none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import ClientError
from pydantic import Field, ValidationError, field_validator

from include.lifecycle.operations.dumps import PostgresServer, dump
from include.lifecycle.specs import Spec
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

BACKUPS, OBJECTS = "backups/", "objects/"
_MOMENT = "%Y-%m-%dT%H%M%SZ"
_CONNECTIONS = 8
_ATTEMPTS = 3
# What a backup that is at work has copied is not named by any yet.
_IN_THE_MAKING = timedelta(days=1)


class BackupError(LakeError):
    """A backup does not exist, is not whole, or does not fit."""


class BackupSettings(Spec):
    """What is backed up, and for how long.

    Attributes
    ----------
    artifacts : the bucket of MLflow's artifacts, on the lake's S3 server.
    databases : names of databases on the warehouse's server; a text has blanks between them.
    keep_days : age at which a backup is deleted; the last one never is.
    data_days : zone of the lake to how many last days' files are kept; of a zone that is not named, all are. The
        manifests of all days are kept of each zone.
    """

    databases: tuple[str, ...]
    artifacts: str
    keep_days: int = Field(30, ge=1)
    data_days: Mapping[str, int] = Field(default_factory=lambda: {"raw": 0})

    @field_validator("databases", mode="before")
    @classmethod
    def _split(cls, databases: Any) -> Any:
        return tuple(databases.split()) if isinstance(databases, str) else databases

    def keeps_files(self, prefix: str, day: date, today: date) -> bool:
        """Whether the files of a partition are part of a backup made on `today`."""
        days = self.data_days.get(prefix.split("/")[0])
        return days is None or day > today - timedelta(days=days)


class Content(Spec):
    """Bytes by their number and hash."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def object_key(self) -> str:
        """Where they lie in the backup bucket."""
        return f"{OBJECTS}{self.sha256}"


class Copy(Content):
    """An object of a bucket; `etag` and `written` say whether it is still the same."""

    key: str
    etag: str
    written: datetime

    def is_of(self, item: Mapping[str, Any]) -> bool:
        """Whether the object is as it was when it was copied."""
        return (self.bytes, self.etag, self.written) == (item["Size"], item["ETag"], item["LastModified"])


class File(Content):
    """A file of a partition."""

    key: str


class PartitionCopy(Spec):
    """A partition: its manifest, and the files that this names, which may have been left out."""

    manifest: Copy
    files: tuple[File, ...]
    has_files: bool

    def contents(self) -> Iterator[Content]:
        """What of it is copied."""
        yield self.manifest
        yield from self.files if self.has_files else ()


class Backup(Spec):
    """Of what a backup consists.

    Attributes
    ----------
    moment : when the databases were as they are in the dumps. code_version : of the code at work.
    fernet : fingerprint of the key with which Airflow has encrypted passwords; empty where there is none.
    databases : dumps by database. partitions, others : the objects of the lake. artifacts : MLflow's.
    left_out : what was damaged and could not be copied, in sentences. taken_over : what was damaged and is here as
        it was in the backup before, likewise.
    """

    moment: datetime
    code_version: str
    fernet: str
    databases: Mapping[str, Content]
    partitions: tuple[PartitionCopy, ...]
    others: tuple[Copy, ...]
    artifacts: tuple[Copy, ...]
    left_out: tuple[str, ...]
    taken_over: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call it by: its moment, e.g. 2026-11-21T030500Z."""
        return name_of(self.moment)

    def contents(self) -> Iterator[Content]:
        """All that it consists of."""
        yield from self.databases.values()
        yield from self.others
        yield from self.artifacts
        for one in self.partitions:
            yield from one.contents()


@dataclass(frozen=True)
class Origin:
    """What is backed up. `artifacts` is the bucket of MLflow's, `fernet_key` Airflow's own."""

    lake: Lake
    artifacts: Lake
    server: PostgresServer
    fernet_key: str = field(repr=False)
    code_version: str


@dataclass(frozen=True)
class Store:
    """The backup bucket."""

    bucket: Lake

    def moments(self) -> list[datetime]:
        """When backups were made, oldest first. What else lies among them is left alone."""
        found = []
        for key in self.bucket.keys(BACKUPS):
            try:
                found.append(moment_of(key.removeprefix(BACKUPS).removesuffix(".json")))
            except BackupError as error:
                log.warning("%s is ignored: %s", self.bucket.uri(key), error)
        return sorted(found)

    def read(self, moment: datetime) -> Backup:
        """Of what a backup consists.

        Raises
        ------
        BackupError
            If there is none of that moment, or it cannot be read.
        """
        key = _backup_key(moment)
        body = self.bucket.read_object(key)
        if body is None:
            known = ", ".join(map(name_of, self.moments())) or "none"
            raise BackupError(f"There is no backup of {name_of(moment)}; there are: {known}.")
        try:
            return Backup.model_validate_json(body)
        except ValidationError as error:
            raise BackupError(
                f"{self.bucket.uri(key)} cannot be read as a backup ({error.errors()[0]['msg']}): it was changed "
                "or damaged, or is of a newer release. Take another one."
            ) from error

    def newest(self) -> Backup | None:
        """The newest backup that can be read."""
        for moment in reversed(self.moments()):
            try:
                return self.read(moment)
            except BackupError as error:
                log.warning("It counts as missing here: %s", error)
        return None

    def sizes(self) -> dict[str, int]:
        """Number of bytes by hash of all that has been copied."""
        return {item["Key"].removeprefix(OBJECTS): item["Size"] for item in self.bucket.objects(OBJECTS)}

    def fetch(self, content: Content, folder: Path) -> Path:
        """Download what was copied, and check that it still is what it was.

        Raises
        ------
        BackupError
            If it is missing, or damaged.
        """
        path = folder / content.sha256
        if not self.bucket.save(content.object_key, path, content.bytes):
            raise BackupError(f"{self.bucket.uri(content.object_key)} is missing. Take another backup.")
        if file_sha256(path) != content.sha256:
            raise BackupError(f"{self.bucket.uri(content.object_key)} is damaged. Take another backup.")
        return path


def name_of(moment: datetime) -> str:
    """What people call the backup of a moment, e.g. 2026-11-21T030500Z."""
    return moment.astimezone(UTC).strftime(_MOMENT)


def moment_of(name: str) -> datetime:
    """The moment that a backup is called by.

    Raises
    ------
    BackupError
        If it is no such name.
    """
    try:
        return datetime.strptime(name, _MOMENT).replace(tzinfo=UTC)
    except ValueError as error:
        raise BackupError(f"{name!r} is no backup's name, which is like 2026-11-21T030500Z.") from error


def fingerprint(fernet_key: str) -> str:
    """What tells a Fernet key from others, and gives nothing of it away."""
    return hashlib.sha256(f"fingerprint {fernet_key}".encode()).hexdigest()[:16] if fernet_key else ""


def exists(bucket: Lake) -> bool:
    """Whether there is such a bucket."""
    # Asked one by one, as keys that may list all buckets of a company are seldom given to one program.
    try:
        bucket.client.head_bucket(Bucket=bucket.bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise
    return True


def create(bucket: Lake) -> None:
    """Make a bucket where there is none."""
    if not exists(bucket):
        region = bucket.client.meta.region_name
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        bucket.client.create_bucket(Bucket=bucket.bucket, **({} if region == "us-east-1" else place))


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
    store.bucket.write_object(_backup_key(moment), made.model_dump_json().encode())
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
        _delete(store.bucket, _backup_key(moment))
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


def _backup_key(moment: datetime) -> str:
    return f"{BACKUPS}{name_of(moment)}.json"


def _delete(bucket: Lake, key: str) -> None:
    bucket.client.delete_object(Bucket=bucket.bucket, Key=key)
