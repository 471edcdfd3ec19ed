"""What a partition says of itself: its manifest, where it lies, and the errors of those who read it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_HASHED_NAME = re.compile(r"-[0-9a-f]{16}(?=\.)")
_PARTITION_KEY = re.compile(r"(?P<prefix>.+)/dt=(?P<day>[^/]*)/(?P<name>[^/]+)")


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
        return json_sha256(content)

    def file(self, plain_name: str) -> FileEntry:
        """The file published under that name; NoSuchFileError names those there are."""
        for file in self.files:
            if file.plain_name == plain_name:
                return file
        names = [file.plain_name for file in self.files]
        raise NoSuchFileError(f"No file {plain_name!r} in the partition; it has {names}.")


UNKNOWN_VERSION = "unknown"


@dataclass(frozen=True)
class RunInfo:
    """The run that writes. `started_at` is when it was due or triggered, so that retries give the same bytes.

    `code_version` is UNKNOWN_VERSION where nobody said it, which may be any. `url` is its page in Airflow, if any.
    """

    run_id: str
    started_at: datetime
    code_version: str
    url: str = ""


@dataclass(frozen=True)
class LocalFile:
    """A file to publish, and how many rows it holds, or lines where nobody has parsed it; a page has neither."""

    path: Path
    rows: int | None = None
    lines: int | None = None


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


def json_sha256(content: Any) -> str:
    """SHA-256 of content as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_plain(name: str) -> bool:
    """Whether a name stays where it is looked for: no folder, no way up, nothing that cannot be seen."""
    return name not in ("", ".", "..") and name.isprintable() and not set(name) & {"/", "\\"}


def corrupt_sentence(uri: str) -> str:
    """Of a file whose bytes are not those that its manifest names."""
    return (
        f"The bytes of {uri} are not those its manifest names: the file was changed or damaged after it was "
        "published. Restore it, or rebuild it: run the DAG that makes the partition for this day."
    )


def missing_sentence(uri: str) -> str:
    """Of a file that its manifest names and that is not there."""
    return (
        f"{uri} is missing, though its manifest names it: it was deleted after it was published. Restore it, or "
        "rebuild it: run the DAG that makes the partition for this day."
    )


def unreadable_sentence(uri: str, error: ValidationError) -> str:
    """Of what lies where a manifest should lie."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the whole of it"
    return (
        f"{uri} cannot be read as a manifest ({where}: {first['msg']}): it was changed or damaged after it was "
        "published. Restore it, or rebuild it: run the DAG that makes the partition for this day."
    )
