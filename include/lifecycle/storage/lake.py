"""The lake: partitions of files on S3 that exist when their manifest exists.

A partition is `<prefix>/dt=<day>/`: files whose names carry their content hash, and `manifest.json`, written
last by one atomic PUT. A reader starts from the manifest and refuses a file whose hash differs, so it never
meets a half-written partition. Publishing the same content again writes only what is missing or damaged; a
manifest that cannot be read counts as none for whoever publishes the partition.
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
from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from include.lifecycle.storage.batches import BATCH_ROWS

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_CONNECTIONS = 8
# Boto3's transfers in parts start threads for each file, which takes longer than a small file itself.
_ONE_REQUEST_BYTES = 2**23
_BLOCK_BYTES = 2**20
_HASHED_NAME = re.compile(r"-[0-9a-f]{16}(?=\.)")
_PARTITION_KEY = re.compile(r"(?P<prefix>.+)/dt=(?P<day>[^/]*)/(?P<name>[^/]+)")
_NOT_FOUND = ("404", "NoSuchKey")


class LakeError(Exception):
    """The lake holds something else than was asked for."""


class PartitionNotFoundError(LakeError):
    """No manifest, so no partition."""


class CorruptFileError(LakeError):
    """A file's bytes are not those its manifest names."""


class MissingFileError(CorruptFileError):
    """A file that its manifest names does not exist."""


class CorruptManifestError(LakeError):
    """A manifest is not one: cut off, changed, or naming what no manifest may name."""


class NoSuchFileError(LakeError):
    """A partition has no file that was published under a name, as where its manifest is another partition's."""


class FileEntry(BaseModel):
    """A file of a partition. `name` carries the hash; `rows` is None for what has no rows, e.g. a page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int | None

    @field_validator("name")
    @classmethod
    def _stays_in_its_folder(cls, name: str) -> str:
        if not _is_plain(name) or name == MANIFEST:
            raise ValueError(f"{name!r} is no name of a file in the partition's own folder")
        return name

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

    @field_validator("inputs")
    @classmethod
    def _inputs_stay_in_the_lake(cls, inputs: dict[str, str]) -> dict[str, str]:
        for path in inputs:
            if not all(map(_is_plain, path.split("/"))):
                raise ValueError(f"{path!r} is no path of a partition in the lake")
        return inputs

    @property
    def digest(self) -> str:
        """Hash of the content alone: the version of the data, whoever wrote it and whenever."""
        content = {"files": [file.model_dump() for file in self.files], "schema": self.schema_}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def file(self, plain_name: str) -> FileEntry:
        """The file published under that name; NoSuchFileError names those there are."""
        for file in self.files:
            if file.plain_name == plain_name:
                return file
        names = [file.plain_name for file in self.files]
        raise NoSuchFileError(f"No file {plain_name!r} in the partition; it has {names}.")


@dataclass(frozen=True)
class RunInfo:
    """The run that writes. `started_at` is when it was due or triggered, so that retries give the same bytes.

    `url` is its page in Airflow, where there is one.
    """

    run_id: str
    started_at: datetime
    code_version: str
    url: str = ""


@dataclass(frozen=True)
class LocalFile:
    """A file to publish, and how many rows it holds (None for what has no rows)."""

    path: Path
    rows: int | None = None


@dataclass(frozen=True)
class Place:
    """Where an object lies: `<prefix>/dt=<day>/<name>`."""

    prefix: str
    day: date
    name: str


def partition(prefix: str, day: date) -> str:
    """Lake path of a day's partition."""
    return f"{prefix}/dt={day.isoformat()}"


def partition_of(key: str) -> Place | None:
    """The place of an object in a partition; None, with a warning, where what follows `dt=` is no day."""
    found = _PARTITION_KEY.fullmatch(key)
    if found is None:
        return None
    try:
        day = date.fromisoformat(found["day"])
    except ValueError:
        day = None
    if day is None or day.isoformat() != found["day"]:
        log.warning("%s is passed over: %r is no day, which is written as YYYY-MM-DD.", key, found["day"])
        return None
    return Place(found["prefix"], day, found["name"])


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
        listed = self.objects(f"{prefix}/dt=", start_after=partition(prefix, since))
        written = (
            (partition_of(item["Key"]), item) for item in takewhile(lambda item: item["Key"] <= end, listed)
        )
        return {
            found.day: item["LastModified"]
            for found, item in written
            if found and found.prefix == prefix and found.name == MANIFEST
        }

    def oldest(self, prefix: str) -> date | None:
        """The first day of `prefix` that has a manifest, for the price of one request."""
        found = (partition_of(item["Key"]) for item in self.objects(f"{prefix}/dt="))
        days = (file.day for file in found if file and file.prefix == prefix and file.name == MANIFEST)
        return next(days, None)

    def newest(self, prefix: str, since: date = date.min) -> tuple[date, Manifest] | None:
        """The newest day from `since` on whose manifest can be read, with it."""
        for day in reversed(self.days(prefix, since)):
            manifest = self.usable_manifest(prefix, day)
            if manifest is not None:
                return day, manifest
        return None

    def keys(self, prefix: str) -> list[str]:
        """All object keys that start with `prefix`."""
        return [item["Key"] for item in self.objects(prefix)]

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

    def has_manifest(self, prefix: str, day: date) -> bool:
        """Whether the day has a manifest, readable or not."""
        return self.read_object(f"{partition(prefix, day)}/{MANIFEST}") is not None

    def find_manifest(self, prefix: str, day: date) -> Manifest | None:
        """The partition's manifest, or None where there is no partition.

        Raises
        ------
        CorruptManifestError
            If what lies there is no manifest.
        """
        key = f"{partition(prefix, day)}/{MANIFEST}"
        body = self.read_object(key)
        if body is None:
            return None
        try:
            return Manifest.model_validate_json(body)
        except ValidationError as error:
            raise CorruptManifestError(_unreadable(self.uri(key), error)) from error

    def usable_manifest(self, prefix: str, day: date) -> Manifest | None:
        """The partition's manifest, or None where there is none that can be read: for those who rebuild it."""
        try:
            return self.find_manifest(prefix, day)
        except CorruptManifestError as error:
            log.warning("It counts as missing here: %s", error)
            return None

    def intact(self, prefix: str, day: date) -> Manifest | None:
        """The manifest of a partition of which every byte is there and right, else None."""
        manifest = self.usable_manifest(prefix, day)
        return None if manifest is None or self.damaged(prefix, day, manifest) else manifest

    def damaged(self, prefix: str, day: date, manifest: Manifest) -> dict[FileEntry, str]:
        """The partition's files that are missing, or whose bytes are not those named; each with a sentence.

        Sizes are compared first, then the hashes of the bytes: an ETag is no hash on every server.
        """
        folder = partition(prefix, day)
        sizes = {item["Key"]: item["Size"] for item in self.objects(f"{folder}/")}

        def fault(entry: FileEntry) -> str | None:
            key = f"{folder}/{entry.name}"
            if key not in sizes:
                return _missing(self.uri(key))
            is_right = sizes[key] == entry.bytes and self._sha256(key) == entry.sha256
            return None if is_right else _corrupt(self.uri(key))

        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            faults = zip(manifest.files, pool.map(fault, manifest.files), strict=True)
            return {entry: sentence for entry, sentence in faults if sentence}

    def manifest(self, prefix: str, day: date) -> Manifest:
        """The partition's manifest.

        Raises
        ------
        PartitionNotFoundError
            If the day has none.
        CorruptManifestError
            If what lies there is no manifest.
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

        Where the partition already has this content, its manifest is returned, and only those of its files are
        written that are missing or damaged.

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
        folder = partition(prefix, day)
        paths = {entry: file.path for file, entry in zip(files, entries, strict=True)}
        present = self.usable_manifest(prefix, day)
        if present is not None and _content(present) == _content(manifest):
            for entry, sentence in self.damaged(prefix, day, present).items():
                log.warning("Written again: %s", sentence)
                self.upload(paths[entry], f"{folder}/{entry.name}")
            return present
        for entry, path in paths.items():
            self.upload(path, f"{folder}/{entry.name}")
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
        """Publish a frame as one Parquet file, by way of the folder `scratch`.

        A row group is a batch: who reads batches (see `batches`) decodes each row once.
        """
        path = scratch / "part.parquet"
        frame.write_parquet(path, statistics=False, row_group_size=BATCH_ROWS)
        files = [LocalFile(path, frame.height)]
        return self.publish(prefix, day, files, run=run, schema=dict(frame.schema), inputs=inputs)

    def download(self, prefix: str, day: date, scratch: Path, plain_name: str | None = None) -> list[Path]:
        """Fetch a partition's files, or the one published as `plain_name`, and check their hashes.

        Raises
        ------
        PartitionNotFoundError
            If the day has no manifest.
        CorruptManifestError, CorruptFileError
            If the manifest cannot be read; if a file is missing, or its bytes are not those the manifest names.
        NoSuchFileError
            If the partition has no file of that name.
        """
        manifest = self.manifest(prefix, day)
        entries = manifest.files if plain_name is None else (self._file(prefix, day, manifest, plain_name),)
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
        """The content of a JSON file of a partition.

        Raises
        ------
        PartitionNotFoundError, CorruptManifestError, CorruptFileError
            As in `download`.
        """
        entry = self._file(prefix, day, self.manifest(prefix, day), plain_name)
        key = f"{partition(prefix, day)}/{entry.name}"
        body = self.read_object(key)
        if body is None:
            raise MissingFileError(_missing(self.uri(key)))
        if hashlib.sha256(body).hexdigest() != entry.sha256:
            raise CorruptFileError(_corrupt(self.uri(key)))
        return json.loads(body)

    def read_object(self, key: str) -> bytes | None:
        """The bytes of an object, or None where there is none."""
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return body

    def save(self, key: str, path: Path, size: int) -> bool:
        """Download a whole object of about `size` bytes to a file; False where there is none."""
        if size <= _ONE_REQUEST_BYTES:
            body = self.read_object(key)
            if body is None:
                return False
            path.write_bytes(body)
            return True
        try:
            self.client.download_file(self.bucket, key, str(path))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_FOUND:
                raise
            return False
        return True

    def write_object(self, key: str, body: bytes) -> None:
        """Put an object in one atomic request."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=_content_type(key))

    def upload(self, path: Path, key: str) -> None:
        """Upload a whole file."""
        if path.stat().st_size <= _ONE_REQUEST_BYTES:
            self.write_object(key, path.read_bytes())
        else:
            self.client.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": _content_type(key)})

    def objects(self, prefix: str, start_after: str = "") -> Iterator[Any]:
        """All objects that start with `prefix`, as S3 lists them: `Key`, `Size` and `LastModified` of each."""
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=start_after):
            yield from page.get("Contents", ())

    def _file(self, prefix: str, day: date, manifest: Manifest, plain_name: str) -> FileEntry:
        try:
            return manifest.file(plain_name)
        except NoSuchFileError as error:
            raise NoSuchFileError(
                f"{self.uri(partition(prefix, day))}: {error} Run the DAG that makes it for this day again."
            ) from error

    def _fetch(self, key: str, entry: FileEntry, folder: Path) -> Path:
        path = folder / entry.name
        if not path.exists() and not self.save(key, path, entry.bytes):
            raise MissingFileError(_missing(self.uri(key)))
        if file_sha256(path) != entry.sha256:
            path.unlink()
            raise CorruptFileError(_corrupt(self.uri(key)))
        return path

    def _sha256(self, key: str) -> str | None:
        """SHA-256 of an object's bytes, read in blocks; None where there is no such object."""
        try:
            body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
        except self.client.exceptions.NoSuchKey:
            return None
        digest = hashlib.sha256()
        for block in body.iter_chunks(_BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(file: LocalFile) -> FileEntry:
    digest = file_sha256(file.path)
    name = f"{file.path.stem}-{digest[:16]}{file.path.suffix}"
    return FileEntry(name=name, bytes=file.path.stat().st_size, sha256=digest, rows=file.rows)


def _content(manifest: Manifest) -> tuple[str, int, dict[str, str]]:
    return manifest.digest, manifest.rows, manifest.inputs


def _is_plain(name: str) -> bool:
    """Whether a name stays where it is looked for: no folder, no way up, nothing that cannot be seen."""
    return name not in ("", ".", "..") and name.isprintable() and not set(name) & {"/", "\\"}


def _content_type(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "application/octet-stream"


def _corrupt(uri: str) -> str:
    return (
        f"The bytes of {uri} are not those its manifest names: the file was changed or damaged after it was "
        "published. Restore it, or rebuild it: run the DAG that makes the partition for this day."
    )


def _missing(uri: str) -> str:
    return (
        f"{uri} is missing, though its manifest names it: it was deleted after it was published. Restore it, or "
        "rebuild it: run the DAG that makes the partition for this day."
    )


def _unreadable(uri: str, error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the whole of it"
    return (
        f"{uri} cannot be read as a manifest ({where}: {first['msg']}): it was changed or damaged after it was "
        "published. Restore it, or rebuild it: run the DAG that makes the partition for this day."
    )
