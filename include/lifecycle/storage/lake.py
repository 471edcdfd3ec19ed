"""The lake: partitions of files on S3 that exist when their manifest exists.

A partition is `<prefix>/dt=<day>/`: files whose names carry their content hash, and `manifest.json`, written
last by one atomic PUT. A reader starts from the manifest and refuses a file whose hash differs, so it never
meets a half-written partition. Publishing the same content again writes only what is missing or damaged; a
manifest that cannot be read counts as none for whoever publishes the partition.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from include.lifecycle.storage.batches import BATCH_ROWS
from include.lifecycle.storage.manifests import (
    MANIFEST,
    CorruptFileError,
    CorruptManifestError,
    FileEntry,
    LakeError,
    LocalFile,
    Manifest,
    MissingFileError,
    NoSuchFileError,
    PartitionNotFoundError,
    Place,
    RunInfo,
    corrupt_sentence,
    file_sha256,
    missing_sentence,
    partition,
    partition_of,
    unreadable_sentence,
)
from include.lifecycle.storage.objects import PAGE_SIZE, Bucket
from include.lifecycle.storage.pinned import CONNECTIONS, Pinned

__all__ = [
    "MANIFEST",
    "CorruptFileError",
    "CorruptManifestError",
    "FileEntry",
    "Lake",
    "LakeError",
    "LocalFile",
    "Manifest",
    "MissingFileError",
    "NoSuchFileError",
    "PartitionNotFoundError",
    "Pinned",
    "Place",
    "RunInfo",
    "file_sha256",
    "partition",
    "partition_of",
]

log = logging.getLogger(__name__)

_SMALL_PAGE = 50  # enough for the files of a day


@dataclass(frozen=True)
class Lake(Bucket):
    """A bucket read and written by the manifest protocol."""

    def days(self, prefix: str, since: date = date.min, until: date = date.max) -> list[date]:
        """Days of `prefix` from `since` to `until` that have a manifest, oldest first."""
        return sorted(self.written(prefix, since, until))

    def written(self, prefix: str, since: date = date.min, until: date = date.max) -> dict[date, datetime]:
        """Each day from `since` to `until` with a manifest, and when that was written, by the server's clock."""
        listed = self._listed(prefix, since, until)
        return {place.day: item["LastModified"] for place, item in listed if place.name == MANIFEST}

    def stamps(self, prefix: str, since: date = date.min, until: date = date.max) -> dict[date, str]:
        """Each day from `since` to `until` with a manifest, and what changes whenever one of its files does.

        That is the time of writing, which a server may cut to the second, and the ETag, which is of the bytes.
        """
        said: dict[date, dict[str, str]] = defaultdict(dict)
        for place, item in self._listed(prefix, since, until):
            said[place.day][place.name] = f"{place.name} {item['LastModified'].timestamp()} {item['ETag']}"
        return {day: "\n".join(files.values()) for day, files in said.items() if MANIFEST in files}

    def oldest(self, prefix: str, since: date = date.min) -> date | None:
        """The first day of `prefix` from `since` on that has a manifest, for the price of one request."""
        listed = self._listed(prefix, since, page_size=_SMALL_PAGE)
        return next((place.day for place, _ in listed if place.name == MANIFEST), None)

    def newest(self, prefix: str, since: date = date.min) -> tuple[date, Manifest] | None:
        """The newest day from `since` on whose manifest can be read, with it."""
        for day in reversed(self.days(prefix, since)):
            manifest = self.usable_manifest(prefix, day)
            if manifest is not None:
                return day, manifest
        return None

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
            raise CorruptManifestError(unreadable_sentence(self.uri(key), error)) from error

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
                return missing_sentence(self.uri(key))
            is_right = sizes[key] == entry.bytes and self.object_sha256(key) == entry.sha256
            return None if is_right else corrupt_sentence(self.uri(key))

        with ThreadPoolExecutor(CONNECTIONS) as pool:
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

    def pin(self, prefix: str, days: Iterable[date]) -> Pinned:
        """Some days of `prefix`, to be read as their manifests are now, each manifest read once.

        Data and provenance stay together: what is read through the result is what its `inputs` name, also where
        a partition is replaced meanwhile.

            features = lake.pin(dataset.features_prefix, days)
            rows = features.scan(scratch)
            lake.publish_frame(..., inputs=features.inputs)

        Raises
        ------
        PartitionNotFoundError
            If one of the days has no manifest.
        CorruptManifestError
            If what lies there is no manifest.
        """
        asked = list(days)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            manifests = pool.map(lambda day: self.manifest(prefix, day), asked)
            return Pinned(self, prefix, dict(zip(asked, manifests, strict=True)))

    def pin_readable(self, prefix: str, days: Iterable[date]) -> tuple[Pinned, dict[date, str]]:
        """As `pin`, without the days whose manifest is missing or damaged; by such a day a sentence on it."""
        asked = list(days)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            found = dict(
                zip(asked, pool.map(lambda day: self._manifest_or_error(prefix, day), asked), strict=True)
            )
        manifests = {day: manifest for day, manifest in found.items() if isinstance(manifest, Manifest)}
        faults = {day: str(error) for day, error in found.items() if isinstance(error, LakeError)}
        return Pinned(self, prefix, manifests), faults

    def digests(self, prefix: str, days: Iterable[date]) -> dict[str, str]:
        """Path and manifest digest of each day's partition as it is now.

        What has been read from them, or will be, may be of others; who reads as well asks `pin`.

        Raises
        ------
        PartitionNotFoundError
            If one of the days has no manifest.
        """
        return self.pin(prefix, days).inputs

    def download(self, prefix: str, day: date, scratch: Path, plain_name: str | None = None) -> list[Path]:
        """Fetch a day's files, for those who need not say what they read; see `pin` and `Pinned.download`."""
        return self.pin(prefix, [day]).download(day, scratch, plain_name)

    def scan(self, prefix: str, days: Iterable[date], scratch: Path) -> pl.LazyFrame:
        """Days as a lazy frame, for those who need not say what they read; see `pin` and `Pinned.scan`."""
        return self.pin(prefix, days).scan(scratch)

    def read_json(self, prefix: str, day: date, plain_name: str) -> Any:
        """The content of a JSON file, for those who need not say what they read; see `pin`."""
        return self.pin(prefix, [day]).read_json(day, plain_name)

    def publish(
        self,
        prefix: str,
        day: date,
        files: Sequence[LocalFile],
        *,
        run: RunInfo,
        schema: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Make `files` the content of a partition: the files first, the manifest last.

        Where the partition already has this content, its manifest is returned, and only those of its files are
        written that are missing or damaged.

        Parameters
        ----------
        schema : column name to data type, for tables.
        inputs : lake path of each partition that was read to its manifest's digest; see `pin`.
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
            counted="lines" if any(file.lines is not None for file in files) else "rows",
        )
        paths = {entry: file.path for file, entry in zip(files, entries, strict=True)}
        present = self.usable_manifest(prefix, day)
        if present is not None and _content(present) == _content(manifest):
            self._repair(prefix, day, present, paths)
            return present
        self._write(prefix, day, manifest, paths)
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

    def _listed(
        self, prefix: str, since: date, until: date = date.max, page_size: int = PAGE_SIZE
    ) -> Iterator[tuple[Place, Any]]:
        """The files of the days from `since` to `until`, each with what the listing says of it."""
        end = f"{partition(prefix, until)}0"  # the character after the slash
        listed = self.objects(f"{prefix}/dt=", start_after=partition(prefix, since), page_size=page_size)
        for item in takewhile(lambda item: item["Key"] < end, listed):
            found = partition_of(item["Key"])
            if found and found.prefix == prefix:
                yield found, item

    def _write(self, prefix: str, day: date, manifest: Manifest, paths: Mapping[FileEntry, Path]) -> None:
        folder = partition(prefix, day)
        for entry, path in paths.items():
            self.upload(path, f"{folder}/{entry.name}")
        self.write_object(f"{folder}/{MANIFEST}", manifest.model_dump_json(indent=2).encode())
        log.info("Published %s: %d files, %d rows.", self.uri(folder), len(paths), manifest.rows)

    def _repair(self, prefix: str, day: date, manifest: Manifest, paths: Mapping[FileEntry, Path]) -> None:
        """Write those of a partition's files again that are missing or damaged."""
        for entry, sentence in self.damaged(prefix, day, manifest).items():
            log.warning("Written again: %s", sentence)
            self.upload(paths[entry], f"{partition(prefix, day)}/{entry.name}")

    def _manifest_or_error(self, prefix: str, day: date) -> Manifest | LakeError:
        try:
            return self.manifest(prefix, day)
        except LakeError as error:
            return error


def _entry(file: LocalFile) -> FileEntry:
    digest = file_sha256(file.path)
    name = f"{file.path.stem}-{digest[:16]}{file.path.suffix}"
    count = file.rows if file.lines is None else file.lines
    return FileEntry(name=name, bytes=file.path.stat().st_size, sha256=digest, rows=count)


def _content(manifest: Manifest) -> tuple[str, int, dict[str, str]]:
    return manifest.digest, manifest.rows, manifest.inputs
