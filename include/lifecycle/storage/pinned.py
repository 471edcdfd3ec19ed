"""Reads that carry their provenance: the partitions of some days as their manifests were at one moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl

from include.lifecycle.storage.manifests import (
    CorruptFileError,
    FileEntry,
    Manifest,
    MissingFileError,
    NoSuchFileError,
    PartitionNotFoundError,
    corrupt_sentence,
    file_sha256,
    missing_sentence,
    partition,
)
from include.lifecycle.storage.objects import Bucket

CONNECTIONS = 8
"""So many requests are made at the same time."""


@dataclass(frozen=True)
class Pinned:
    """Some days of a prefix, pinned to the manifests that were found when `Lake.pin` was called.

    Whatever is read through it is what these manifests name, and `inputs` names these manifests. A partition that
    somebody replaces meanwhile changes nothing here: its files of before are still there, as their names carry
    their content's hash, and where maintenance has removed them, the read fails instead of giving others.

    Attributes
    ----------
    manifests : the manifest of each day, in the order in which the days were asked for.
    """

    bucket: Bucket
    prefix: str
    manifests: Mapping[date, Manifest]

    @property
    def days(self) -> list[date]:
        """The days, in the order in which they were asked for."""
        return list(self.manifests)

    @property
    def inputs(self) -> dict[str, str]:
        """Lake path of each partition to its manifest's digest, for the manifest of what is made of them."""
        return {partition(self.prefix, day): manifest.digest for day, manifest in self.manifests.items()}

    def only(self, days: Iterable[date]) -> Pinned:
        """The same manifests of some of the days."""
        return replace(self, manifests={day: self.manifests[day] for day in days})

    def download(self, day: date, scratch: Path, plain_name: str | None = None) -> list[Path]:
        """Fetch a day's files, or the one published as `plain_name`, and check their hashes.

        Raises
        ------
        CorruptFileError
            If a file is missing, or its bytes are not those the manifest names.
        NoSuchFileError
            If the partition has no file of that name.
        """
        entries = self.manifests[day].files if plain_name is None else (self._entry(day, plain_name),)
        folder = scratch / partition(self.prefix, day)
        folder.mkdir(parents=True, exist_ok=True)
        return [self._fetch(day, entry, folder / entry.name) for entry in entries]

    def scan(self, scratch: Path) -> pl.LazyFrame:
        """The Parquet files of all days as one lazy frame, with the partition's day in the column `dt`.

        Raises
        ------
        PartitionNotFoundError
            If there is no day.
        CorruptFileError
            As in `download`.
        """
        if not self.manifests:
            raise PartitionNotFoundError(
                f"No days were asked of {self.bucket.uri(self.prefix)}; name at least one."
            )
        files = self._download_all(scratch)
        # One scan for all days that are alike: a plan with a branch per day costs the square of their number.
        alike = groupby(files, key=lambda day: list(self.manifests[day].schema_.items()))
        scans = [_scan_together({day: files[day] for day in days}, scratch) for _, days in alike]
        return pl.concat(scans, how="vertical_relaxed")

    def frames(self, scratch: Path) -> dict[date, pl.LazyFrame]:
        """The Parquet files of each day as a lazy frame, with the day in the column `dt`.

        Raises
        ------
        CorruptFileError
            As in `download`.
        """
        files = self._download_all(scratch)
        return {day: pl.scan_parquet(paths).with_columns(dt=pl.lit(day)) for day, paths in files.items()}

    def read_json(self, day: date, plain_name: str) -> Any:
        """The content of a JSON file of a day.

        Raises
        ------
        CorruptFileError, NoSuchFileError
            As in `download`.
        """
        entry = self._entry(day, plain_name)
        body = self.bucket.read_object(self._key(day, entry))
        if body is None:
            raise MissingFileError(missing_sentence(self._uri(day, entry)))
        if hashlib.sha256(body).hexdigest() != entry.sha256:
            raise CorruptFileError(corrupt_sentence(self._uri(day, entry)))
        return json.loads(body)

    def _download_all(self, scratch: Path) -> dict[date, list[Path]]:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            files = pool.map(lambda day: self.download(day, scratch), self.days)
            return dict(zip(self.days, files, strict=True))

    def _entry(self, day: date, plain_name: str) -> FileEntry:
        try:
            return self.manifests[day].file(plain_name)
        except NoSuchFileError as error:
            uri = self.bucket.uri(partition(self.prefix, day))
            raise NoSuchFileError(f"{uri}: {error} Run the DAG that makes it for this day again.") from error

    def _fetch(self, day: date, entry: FileEntry, path: Path) -> Path:
        if not path.exists() and not self.bucket.save(self._key(day, entry), path, entry.bytes):
            raise MissingFileError(missing_sentence(self._uri(day, entry)))
        if file_sha256(path) != entry.sha256:
            path.unlink()
            raise CorruptFileError(corrupt_sentence(self._uri(day, entry)))
        return path

    def _key(self, day: date, entry: FileEntry) -> str:
        return f"{partition(self.prefix, day)}/{entry.name}"

    def _uri(self, day: date, entry: FileEntry) -> str:
        return self.bucket.uri(self._key(day, entry))


def _scan_together(files: Mapping[date, Sequence[Path]], scratch: Path) -> pl.LazyFrame:
    """Files of alike days as one scan, in their order, which opens those alone whose day is asked for.

    In a folder of their own, as polars takes each `x=y` in the path of a lone file for a column; it scans a folder
    in the order of the names.
    """
    folder = Path(mkdtemp(dir=scratch))
    for number, (day, paths) in enumerate(files.items()):
        links = folder / f"{number:06}" / f"dt={day}"
        links.mkdir(parents=True)
        for path in paths:
            (links / path.name).hardlink_to(path)
    return pl.scan_parquet(folder, glob=False, hive_partitioning=True, hive_schema={"dt": pl.Date})
