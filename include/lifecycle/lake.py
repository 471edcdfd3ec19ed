"""The lake: partitions of files on S3 that exist when their manifest exists.

A partition is `<prefix>/dt=<day>/`: files whose names carry their content hash, and `manifest.json`, written
last by one atomic PUT. A reader starts from the manifest and refuses a file whose hash differs, so it never
meets a half-written partition. Publishing the same content again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_CONNECTIONS = 8
# Boto3's transfers in parts start threads for each file, which takes longer than a small file itself.
_ONE_REQUEST_BYTES = 2**23
_HASHED_NAME = re.compile(r"-[0-9a-f]{16}(?=\.)")


class LakeError(Exception):
    """The lake holds something else than was asked for."""


class PartitionNotFoundError(LakeError):
    """No manifest, so no partition."""


class CorruptFileError(LakeError):
    """A file's bytes are not those its manifest names."""


class FileEntry(BaseModel):
    """A file of a partition. `name` carries the hash; `rows` is None for what has no rows, e.g. a page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    bytes: int
    sha256: str
    rows: int | None

    @property
    def plain_name(self) -> str:
        """The name as it was before the hash was added, e.g. `verdict.json`."""
        return _HASHED_NAME.sub("", self.name)


class Manifest(BaseModel):
    """What a partition holds, and what it was made of.

    `rows` are those of its largest file. Of text that nobody has parsed they are the lines, and `counted` says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[FileEntry, ...]
    rows: int
    schema_: dict[str, str]
    inputs: dict[str, str]
    code_version: str
    run_id: str
    created_at: datetime
    counted: Literal["rows", "lines"] = "rows"

    @property
    def digest(self) -> str:
        """Hash of the content alone: the version of the data, whoever wrote it and whenever."""
        content = {"files": [file.model_dump() for file in self.files], "schema": self.schema_}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def file(self, plain_name: str) -> FileEntry:
        """The file published under that name; KeyError names those there are."""
        for file in self.files:
            if file.plain_name == plain_name:
                return file
        names = [file.plain_name for file in self.files]
        raise KeyError(f"No file {plain_name!r} in the partition; it has {names}.")


@dataclass(frozen=True)
class RunInfo:
    """The run that writes. `started_at` is when it was due or triggered, so that retries give the same bytes."""

    run_id: str
    started_at: datetime
    code_version: str


@dataclass(frozen=True)
class LocalFile:
    """A file to publish, and how many rows it holds (None for what has no rows)."""

    path: Path
    rows: int | None = None


def partition(prefix: str, day: date) -> str:
    """Lake path of a day's partition."""
    return f"{prefix}/dt={day.isoformat()}"


@dataclass(frozen=True)
class Lake:
    """A bucket read and written by the manifest protocol. `client` is a boto3 S3 client."""

    client: Any
    bucket: str

    def uri(self, key: str) -> str:
        """`s3://` address of a key."""
        return f"s3://{self.bucket}/{key}"

    def days(self, prefix: str, since: date = date.min, until: date = date.max) -> list[date]:
        """Days of `prefix` from `since` to `until` that have a manifest, oldest first."""
        return sorted(self.written(prefix, since, until))

    def written(self, prefix: str, since: date = date.min, until: date = date.max) -> dict[date, datetime]:
        """Each day from `since` to `until` with a manifest, and when that was written, by the server's clock."""
        end = f"{partition(prefix, until)}/{MANIFEST}"
        pattern = re.compile(re.escape(prefix) + r"/dt=(\d{4}-\d\d-\d\d)/" + re.escape(MANIFEST))
        return {
            date.fromisoformat(match[1]): item["LastModified"]
            for item in takewhile(
                lambda item: item["Key"] <= end,
                self._objects(f"{prefix}/dt=", start_after=partition(prefix, since)),
            )
            if (match := pattern.fullmatch(item["Key"]))
        }

    def keys(self, prefix: str) -> list[str]:
        """All object keys that start with `prefix`."""
        return [item["Key"] for item in self._objects(prefix)]

    def digests(self, prefix: str, days: Iterable[date]) -> dict[str, str]:
        """Path and manifest digest of each day's partition, as `inputs` name what was read.

        Raises
        ------
        PartitionNotFoundError
            If one of the days has no manifest.
        """
        asked = list(days)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            manifests = pool.map(lambda day: self.manifest(prefix, day), asked)
            return {partition(prefix, day): found.digest for day, found in zip(asked, manifests, strict=True)}

    def find_manifest(self, prefix: str, day: date) -> Manifest | None:
        """The partition's manifest, or None where there is no partition."""
        body = self.read_object(f"{partition(prefix, day)}/{MANIFEST}")
        return None if body is None else Manifest.model_validate_json(body)

    def manifest(self, prefix: str, day: date) -> Manifest:
        """The partition's manifest.

        Raises
        ------
        PartitionNotFoundError
            If the day has none.
        """
        manifest = self.find_manifest(prefix, day)
        if manifest is None:
            raise PartitionNotFoundError(
                f"{self.uri(partition(prefix, day))} has no manifest, so the partition does not exist; "
                "run the DAG that makes it for this day."
            )
        return manifest

    def publish(
        self,
        prefix: str,
        day: date,
        files: Sequence[LocalFile],
        *,
        run: RunInfo,
        schema: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        counted: Literal["rows", "lines"] = "rows",
    ) -> Manifest:
        """Make `files` the content of a partition: the files first, the manifest last.

        Where the partition already has this content, nothing is written and its manifest is returned.

        Parameters
        ----------
        schema : column name to data type, for tables.
        inputs : lake path of each partition that was read to its manifest's digest.
        counted : what the files' `rows` are.
        """
        entries = tuple(_entry(file) for file in files)
        manifest = Manifest(
            files=entries,
            rows=max((entry.rows or 0 for entry in entries), default=0),
            schema_={name: str(dtype) for name, dtype in (schema or {}).items()},
            inputs=dict(inputs or {}),
            code_version=run.code_version,
            run_id=run.run_id,
            created_at=run.started_at,
            counted=counted,
        )
        present = self.find_manifest(prefix, day)
        if present is not None and _content(present) == _content(manifest):
            return present
        folder = partition(prefix, day)
        for file, entry in zip(files, entries, strict=True):
            self.upload(file.path, f"{folder}/{entry.name}")
        self.write_object(f"{folder}/{MANIFEST}", manifest.model_dump_json(indent=2).encode())
        log.info("Published %s: %d files, %d rows.", self.uri(folder), len(entries), manifest.rows)
        return manifest

    def publish_frame(
        self,
        prefix: str,
        day: date,
        frame: pl.DataFrame,
        *,
        run: RunInfo,
        scratch: Path,
        inputs: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Publish a frame as one Parquet file, by way of the folder `scratch`."""
        path = scratch / "part.parquet"
        frame.write_parquet(path, statistics=False)
        files = [LocalFile(path, frame.height)]
        return self.publish(prefix, day, files, run=run, schema=dict(frame.schema), inputs=inputs)

    def download(self, prefix: str, day: date, scratch: Path, plain_name: str | None = None) -> list[Path]:
        """Fetch a partition's files, or the one published as `plain_name`, and check their hashes.

        Raises
        ------
        PartitionNotFoundError
            If the day has no manifest.
        CorruptFileError
            If a file's bytes are not those the manifest names.
        """
        manifest = self.manifest(prefix, day)
        entries = manifest.files if plain_name is None else (manifest.file(plain_name),)
        folder = scratch / partition(prefix, day)
        folder.mkdir(parents=True, exist_ok=True)
        return [self._fetch(f"{partition(prefix, day)}/{entry.name}", entry, folder) for entry in entries]

    def scan(self, prefix: str, days: Iterable[date], scratch: Path) -> pl.LazyFrame:
        """The Parquet partitions of `days` as one lazy frame with the partition's day in the column `dt`.

        Raises
        ------
        PartitionNotFoundError
            If `days` is empty or one of them has no manifest.
        """
        asked = list(days)
        if not asked:
            raise PartitionNotFoundError(f"No days were asked of {self.uri(prefix)}; name at least one.")
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            files = list(pool.map(lambda day: self.download(prefix, day, scratch), asked))
        frames = (
            pl.scan_parquet(paths).with_columns(dt=pl.lit(day)) for day, paths in zip(asked, files, strict=True)
        )
        return pl.concat(frames, how="vertical_relaxed")

    def read_json(self, prefix: str, day: date, plain_name: str) -> Any:
        """The content of a JSON file of a partition."""
        entry = self.manifest(prefix, day).file(plain_name)
        body = self.read_object(f"{partition(prefix, day)}/{entry.name}")
        if body is None or hashlib.sha256(body).hexdigest() != entry.sha256:
            raise CorruptFileError(_corrupt(self.uri(f"{partition(prefix, day)}/{entry.name}")))
        return json.loads(body)

    def read_object(self, key: str) -> bytes | None:
        """The bytes of an object, or None where there is none."""
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return body

    def write_object(self, key: str, body: bytes) -> None:
        """Put an object in one atomic request."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=_content_type(key))

    def upload(self, path: Path, key: str) -> None:
        """Upload a whole file."""
        if path.stat().st_size <= _ONE_REQUEST_BYTES:
            self.write_object(key, path.read_bytes())
        else:
            self.client.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": _content_type(key)})

    def _objects(self, prefix: str, start_after: str = "") -> Iterator[Any]:
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=start_after):
            yield from page.get("Contents", ())

    def _fetch(self, key: str, entry: FileEntry, folder: Path) -> Path:
        path = folder / entry.name
        if not path.exists() and entry.bytes <= _ONE_REQUEST_BYTES:
            path.write_bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        elif not path.exists():
            self.client.download_file(self.bucket, key, str(path))
        if file_sha256(path) != entry.sha256:
            path.unlink()
            raise CorruptFileError(_corrupt(self.uri(key)))
        return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(file: LocalFile) -> FileEntry:
    digest = file_sha256(file.path)
    name = f"{file.path.stem}-{digest[:16]}{file.path.suffix}"
    return FileEntry(name=name, bytes=file.path.stat().st_size, sha256=digest, rows=file.rows)


def _content(manifest: Manifest) -> tuple[str, dict[str, str]]:
    return manifest.digest, manifest.inputs


def _content_type(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "application/octet-stream"


def _corrupt(uri: str) -> str:
    return (
        f"The bytes of {uri} are not those its manifest names: the file was changed or damaged after it was "
        "published. Restore it, or run the DAG that makes the partition for this day again."
    )
