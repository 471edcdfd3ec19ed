"""What is written about a backup: the settings, of what it consists, and its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import Field, field_validator

from include.lifecycle.specs import Spec
from include.lifecycle.storage.lake import LakeError

OBJECTS = "objects/"
_MOMENT = "%Y-%m-%dT%H%M%SZ"


class BackupError(LakeError):
    """A backup does not exist, is incomplete, or does not fit."""


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
