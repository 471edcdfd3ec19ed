"""The bucket of backups, and buckets that may not exist yet.

The bucket has `objects/<sha256>`, what was copied, once however many backups name it, and
`backups/<moment>.json`, of what each backup consists. That is written last, so that half a backup is none.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from botocore.exceptions import ClientError
from pydantic import ValidationError

from include.lifecycle.operations.backup_records import (
    OBJECTS,
    Backup,
    BackupError,
    Content,
    moment_of,
    name_of,
)
from include.lifecycle.storage.lake import Lake, file_sha256

log = logging.getLogger(__name__)

BACKUPS = "backups/"


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
        key = backup_key(moment)
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


def backup_key(moment: datetime) -> str:
    """Where it stands of what the backup of a moment consists."""
    return f"{BACKUPS}{name_of(moment)}.json"
